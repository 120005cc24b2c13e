"""The proof itself is tried: a service that tells what it should not is found out."""

from __future__ import annotations

from pathlib import Path

from proof import leaks
from proof.front import CLIENT_SECRET, front
from proof.raw import HIDDEN, cases

CHATTY = """
import logging
from subscriber import tokens
whole = tokens.Verifier.verify
def verify(self, authorization, zones):
    logging.getLogger("chatty").warning("reading %s", authorization)
    return whole(self, authorization, zones)
tokens.Verifier.verify = verify
"""


def test_a_service_that_logs_tokens_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(CHATTY)
    with front(tmp_path, PYTHONPATH=f"{tmp_path}:{Path.cwd()}") as server:
        assert leaks.told(server).broken == []
        found = leaks.repeated(server)
    assert any(text.startswith("log: a canary") for text in found)
    assert "log: a token" in found


def test_every_secret_of_the_server_is_a_canary_and_the_hidden_request_is_a_good_one(tmp_path: Path) -> None:
    with front(tmp_path) as server:
        assert server.say(server.delivery(HIDDEN)) == [204, 200]
        assert server.stored_rows() == [HIDDEN]
        assert leaks.repeated(server) == []
        assert leaks.CANARY in CLIENT_SECRET.encode()
        assert all(case.name for case in cases(server.authorization, b""))
