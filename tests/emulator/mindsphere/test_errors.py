"""C16: one envelope for every refusal."""

from __future__ import annotations

import json

import pytest

from emulator.mindsphere.errors import MESSAGE_CHARS, STATUS_BY_CODE, PlatformError, envelope, parse_object
from tests.emulator.conftest import World


@pytest.mark.parametrize("code", STATUS_BY_CODE)
def test_the_envelope_names_code_reference_and_message(code: str) -> None:
    answer = envelope(PlatformError(code, "because", retry_after_s=3))
    assert answer.status == STATUS_BY_CODE[code]
    assert answer.headers["Retry-After"] == "3"
    assert answer.text is not None
    (error,) = json.loads(answer.text)["errors"]
    assert set(error) == {"code", "logref", "message"}
    assert error["code"] == f"mdsp.core.generic.{code}"
    assert error["message"] == "because" and len(error["logref"]) == 16


def test_a_message_repeats_little_of_a_strangers_words() -> None:
    assert len(PlatformError("invalidParameter", "x" * 10_000).message) == MESSAGE_CHARS


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(PlatformError) as refusal:
        parse_object(body)
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "noMatch"),
        ("PATCH", "/token_keys", 405, "methodNotAllowed"),
        ("GET", "/gateway/api/messagebroker/v4/nothing", 401, "unauthorized"),
        ("GET", "/api/anything-acmeop/v1/x", 401, "unauthorized"),
        ("GET", "/zzzzzz.piam/token_keys", 404, "noMatch"),
        ("POST", "/core.piam/oauth/token", 401, "unauthorized"),
        ("POST", "/api/technicaltokenmanager/v3/oauth/token", 401, "unauthorized"),
        ("GET", "/api/technicaltokenmanager/v3/userTenants", 401, "unauthorized"),
    ],
)
def test_the_envelope_is_everywhere(world: World, method: str, path: str, status: int, code: str) -> None:
    answer = world.client.session.request(method, world.emulator.url + path)
    assert answer.status_code == status
    (error,) = answer.json()["errors"]
    assert error["code"] == f"mdsp.core.generic.{code}"
