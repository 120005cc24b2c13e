"""The way in: what is answered without Flask, and what goes on to it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

import migrations
from subscriber.errors import InvalidToken
from subscriber.intake import Gate, Intake
from subscriber.metrics import Metrics
from subscriber.model import MINDSPHERE, Claims
from subscriber.services import utc_now
from subscriber.store import open_store
from subscriber.web.correlation import OfRequest, correlation_id
from subscriber.web.door import Door
from subscriber.web.webhooks import Webhook

PATH = "/notifications/mindsphere"


class Doorman:
    """A gate with a bug, for some."""

    def authenticate(self, authorization: str | None) -> Claims:
        if authorization == "bug":
            raise RuntimeError("the secret is 42")
        raise InvalidToken("nobody knows you")


def behind(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """An application that says which request it was asked."""
    start_response("200 OK", [])
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {correlation_id()}".encode()]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    address = f"sqlite:///{tmp_path}/inbox.db"
    migrations.apply(address)
    store = open_store(address)
    intake = Intake(store.inbox, {MINDSPHERE: cast(Gate, Doorman())}, utc_now)
    yield Client(Door(behind, Webhook(intake, Metrics(), 1000)))
    store.close()


def test_what_is_not_for_the_webhook_goes_on_and_is_known_by_its_id(client: Client) -> None:
    answer = client.post("/health", headers={"X-Request-ID": "r-1"})
    assert (answer.status_code, answer.text) == (200, "POST /health r-1")


def test_the_webhook_s_refusals_are_answered_at_the_door(client: Client) -> None:
    answer = client.post(PATH, data=b"{}")
    assert (answer.status_code, answer.json) == (401, {"error": {"reason": "token", "detail": "nobody knows you"}})


def test_a_bug_is_logged_with_its_request_and_shown_to_nobody(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(OfRequest())
    with caplog.at_level(logging.ERROR):
        answer = client.post(PATH, data=b"{}", headers={"Authorization": "bug", "X-Request-ID": "r-2"})
    assert (answer.status_code, answer.json) == (500, {"error": {"reason": "internal", "detail": ""}})
    (record,) = caplog.records
    assert record.exc_info is not None and record.__dict__["request"] == "r-2"


def test_an_answer_to_head_has_no_body(client: Client) -> None:
    pieces, status, headers = run_wsgi_app(client.application, EnvironBuilder(PATH, method="HEAD").get_environ())
    assert (status, headers["Allow"], b"".join(pieces)) == ("405 Method Not Allowed", "POST", b"")


def test_an_id_is_forgotten_with_its_request(client: Client) -> None:
    client.post(PATH, headers={"X-Request-ID": "r-3"})
    assert correlation_id() == ""
