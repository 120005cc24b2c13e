"""The proof itself is tried: a store whose commits do not wait for the log is found out when its server dies."""

from __future__ import annotations

import random

import pytest

from proof.power import postgres
from subscriber.store.postgres import driver
from tests.servers.postgres import running

DEATHS = 20  # the log of a lazy server is often on the disk all the same, but not each time


def test_a_store_that_does_not_wait_for_the_log_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "SYNCHRONOUS", "SELECT set_config('synchronous_commit', 'off', false)")
    with running(postgres.SERVER) as server, postgres.silence():
        found = (postgres.die_often(server, range(life, life + 1), random.Random(life))[1] for life in range(DEATHS))
        assert any("acknowledged and lost" in text for broken in found for text in broken)


def test_the_real_store_keeps_its_promises_when_its_server_dies() -> None:
    found = postgres.run(0)
    assert found.tried == postgres.LEAST_DEATHS
    assert found.broken == []


def test_a_server_that_was_killed_leaves_no_process_and_starts_again() -> None:
    with running(postgres.SERVER) as server:
        postgres.kill_all(server)
        server.start()
        assert server.admin("SELECT 1") == [(1,)]
