"""Answers given after the application has returned."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import migrations
from subscriber.web.answers import Answer, plain_answer
from subscriber.web.deferral import Deferral
from tests.signing import KeyServer, bearer, broker_claims, jwk, mint
from tests.web.serving import Server, post, receive, serving


def yes() -> Answer:
    return plain_answer(204)


def test_an_answer_given_after_the_application_left_is_ready_at_once() -> None:
    told: list[str] = []
    deferral = Deferral(lambda: told.append("ready"))
    deferral.leave()
    assert told == []
    deferral.give(yes)
    assert told == ["ready"] and deferral.make is yes


def test_an_answer_given_before_is_ready_when_the_application_leaves() -> None:
    told: list[str] = []
    deferral = Deferral(lambda: told.append("ready"))
    deferral.give(yes)
    assert told == []
    deferral.leave()
    assert told == ["ready"]


def test_giving_and_leaving_at_the_same_moment_is_told_once() -> None:
    for _ in range(200):
        told: list[str] = []
        deferral = Deferral(lambda told=told: told.append("ready"))  # type: ignore[misc]
        threads = [threading.Thread(target=deferral.leave), threading.Thread(target=deferral.give, args=(yes,))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert told == ["ready"]


class Front:
    """The product's own server over a real store."""

    def __init__(self, server: Server, keys: KeyServer, database: Path) -> None:
        self.server = server
        self.database = database
        self._token = bearer(mint(broker_claims(keys.issuer("core"))))

    def request(self, number: int) -> bytes:
        asset = {"id": f"m-{number}", "timestamp": "2026-03-02T10:00:00.000Z"}
        body = json.dumps({"header": {"topic": "t", "tenantContext": ["custaa"]}, "asset": asset}).encode()
        return post("/notifications/mindsphere", body, f"Authorization: {self._token}")


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    database = tmp_path / "inbox.db"
    migrations.apply(f"sqlite:///{database}")
    with KeyServer() as keys:
        keys.publish([jwk()])
        settings = {
            "DATABASE_URL": f"sqlite:///{database}",
            "MDSP_PIAM_URL": keys.url + "/{tenant}.piam",
            "MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-v1.4.2",
            "MDSP_KEY_STORE_CLIENT_SECRET": "s",
            "MDSP_OS_VM_APP_NAME": "alarmapi",
            "MDSP_OS_VM_APP_VERSION": "v1.4.2",
        }
        with serving(tmp_path, app="app:app", **settings) as server:
            yield Front(server, keys, database)


def test_many_more_deliveries_than_threads_wait_for_one_commit(front: Front) -> None:
    connections = [front.server.connect() for _ in range(100)]
    lock = os.open(f"{front.database}.lock", os.O_RDONLY | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        for number, connection in enumerate(connections):
            connection.sendall(front.request(number))
        # While all of them wait, other requests are answered: no thread is held.
        assert front.server.ask(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n").status == 404
    finally:
        os.close(lock)
    assert {receive(connection).status for connection in connections} == {204}
    for connection in connections:
        connection.close()


def test_a_delivery_whose_turn_to_write_does_not_come_is_answered_503_and_not_stored(front: Front) -> None:
    assert front.server.ask(front.request(1)).status == 204
    lock = os.open(f"{front.database}.lock", os.O_RDONLY | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        answer = front.server.ask(front.request(2))
    finally:
        os.close(lock)
    assert (answer.status, json.loads(answer.body)["error"]["reason"]) == (503, "store_busy")
    assert answer.headers["retry-after"]
    assert front.server.ask(front.request(2)).status == 204


def test_a_connection_is_used_again_after_a_promised_answer(front: Front) -> None:
    with front.server.connect() as connection:
        for number in (1, 2, 1):
            connection.sendall(front.request(number))
            assert receive(connection).status == 204


def test_requests_sent_without_waiting_are_answered_in_order(front: Front) -> None:
    with front.server.connect() as connection:
        connection.sendall(front.request(1) + b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" + front.request(2))
        assert [receive(connection).status for _ in range(3)] == [204, 404, 204]
