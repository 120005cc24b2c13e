"""Forwarding: what a receiver gets, and what its answers mean. Against a real receiver on loopback."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured
from cloudevents.core.formats.json import JSONFormat
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from subscriber.errors import HandlerError, SettingsError, SinkUnavailable
from subscriber.model import Dead
from subscriber.routes import HANDLER, Handler, Sink
from subscriber.sinks import forward
from tests.sinks.samples import ATTEMPT, NOTIFICATION, NOW, free_port
from tests.small_receiver import SmallReceiver

SECRET = "whsec_" + b64encode(bytes(range(32))).decode()


@pytest.fixture
def receiver() -> Iterator[SmallReceiver]:
    with SmallReceiver() as receiver:
        yield receiver


def test_the_receiver_reads_the_event_with_the_public_library(receiver: SmallReceiver) -> None:
    assert forward(receiver.url).send(NOTIFICATION) is None
    [request] = receiver.requests
    assert (request.path, request.headers["content-type"]) == ("/hook", "application/cloudevents+json")
    event = from_structured(HTTPMessage(request.headers, request.body), JSONFormat())
    assert (event.get_id(), event.get_subject(), event.get_extension("tenant")) == ("01ff", "a1b2", "custaa")
    assert event.get_time() == NOTIFICATION.occurred_at
    assert NOTIFICATION.body is not None and NOTIFICATION.body in request.body


def test_a_secret_signs_so_that_the_public_library_verifies(receiver: SmallReceiver) -> None:
    forward(receiver.url, SECRET).send(NOTIFICATION)
    [request] = receiver.requests
    assert request.headers["webhook-id"] == "mindsphere.custaa.01ff"
    Webhook(SECRET).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body + b" ", request.headers)


def test_the_signature_carries_the_time_of_sending(receiver: SmallReceiver) -> None:
    forward(receiver.url, SECRET, clock=lambda: NOW).send(NOTIFICATION)
    assert receiver.requests[0].headers["webhook-timestamp"] == str(int(NOW.timestamp()))


def test_a_secret_without_the_prefix_is_taken_as_it_is(receiver: SmallReceiver) -> None:
    forward(receiver.url, "correct horse battery staple").send(NOTIFICATION)
    Webhook(b"correct horse battery staple").verify(receiver.requests[0].body, receiver.requests[0].headers)


def test_without_a_secret_there_is_an_id_to_recognise_repetitions_and_no_signature(receiver: SmallReceiver) -> None:
    forward(receiver.url).send(NOTIFICATION)
    headers = receiver.requests[0].headers
    assert headers["webhook-id"] == NOTIFICATION.id
    assert not headers.keys() & {"webhook-signature", "webhook-timestamp", "authorization", "cookie"}


def test_it_serves_as_a_handler_and_as_a_sink(receiver: SmallReceiver) -> None:
    both = forward(receiver.url)
    handler: Handler = both
    sink: Sink = both
    assert sink.name == "forward" != HANDLER
    assert handler(NOTIFICATION, ATTEMPT) is None and sink.send(NOTIFICATION) is None
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_means_delivered(receiver: SmallReceiver, status: int) -> None:
    receiver.status = status
    assert forward(receiver.url).send(NOTIFICATION) is None


@pytest.mark.parametrize("status", [408, 410, 429, 500, 502, 503])
def test_an_answer_about_the_receiver_itself_means_it_is_away(receiver: SmallReceiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(SinkUnavailable, match=str(status)):
        forward(receiver.url).send(NOTIFICATION)
    assert len(receiver.requests) == 1, "nothing is repeated at once: the route is held instead"


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 409, 413, 422])
def test_any_other_answer_is_an_error_of_this_attempt(receiver: SmallReceiver, status: int) -> None:
    receiver.status, receiver.extra_headers = status, {"Location": receiver.url}
    with pytest.raises(HandlerError, match=str(status)) as caught:
        forward(receiver.url).send(NOTIFICATION)
    assert caught.value.reason == "refused_by_receiver"
    assert len(receiver.requests) == 1, "redirects are not followed"


def test_an_unreachable_receiver_is_away() -> None:
    with pytest.raises(SinkUnavailable):
        forward(f"http://127.0.0.1:{free_port()}/hook").send(NOTIFICATION)


def test_a_receiver_that_does_not_answer_in_time_is_away(receiver: SmallReceiver) -> None:
    receiver.open.clear()
    with pytest.raises(SinkUnavailable):
        forward(receiver.url, timeout_seconds=0.2).send(NOTIFICATION)


def test_a_receiver_that_speaks_no_tls_is_away_and_is_not_asked_in_the_clear(receiver: SmallReceiver) -> None:
    with pytest.raises(SinkUnavailable):
        forward(receiver.url.replace("http:", "https:")).send(NOTIFICATION)
    assert receiver.requests == []


def test_connections_are_used_again(receiver: SmallReceiver) -> None:
    sink = forward(receiver.url)
    for _ in range(3):
        sink.send(NOTIFICATION)
    assert len({request.connection for request in receiver.requests}) == 1


def test_a_connection_that_breaks_is_tried_once_more_and_no_more(receiver: SmallReceiver) -> None:
    sink = forward(receiver.url)
    receiver.hang_up = 1
    assert sink.send(NOTIFICATION) is None
    receiver.hang_up = 2
    with pytest.raises(SinkUnavailable):
        sink.send(NOTIFICATION)
    assert len(receiver.requests) == 4


def test_a_pruned_notification_is_dead_as_there_is_nothing_to_hand_on(receiver: SmallReceiver) -> None:
    verdict = forward(receiver.url).send(replace(NOTIFICATION, body=None))
    assert isinstance(verdict, Dead) and verdict.reason == "pruned"
    assert receiver.requests == []


def test_the_query_of_the_address_is_kept(receiver: SmallReceiver) -> None:
    forward(receiver.url + "/?key=1").send(NOTIFICATION)
    assert receiver.requests[0].path == "/hook/?key=1"


@pytest.mark.parametrize("url", ["", "nowhere", "ftp://host/x", "http://", "http://user:pass@host/"])
def test_an_address_that_cannot_be_used_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        forward(url)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_***", "whsec_A"])
def test_a_secret_that_cannot_be_used_is_refused_at_the_start_and_not_quoted(secret: str) -> None:
    with pytest.raises(SettingsError) as caught:
        forward("http://127.0.0.1/", secret)
    assert secret not in str(caught.value).replace("whsec_ there", "")


def test_a_secret_may_lack_its_padding(receiver: SmallReceiver) -> None:
    forward(receiver.url, SECRET.rstrip("=")).send(NOTIFICATION)
    Webhook(SECRET).verify(receiver.requests[0].body, receiver.requests[0].headers)


def test_a_short_secret_works_and_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "subscriber.sinks"):
        forward("http://127.0.0.1/", "whsec_" + b64encode(b"short").decode())
    [record] = caplog.records
    assert record.__dict__["action"] == "weak_secret"
    assert "short: 5 bytes" in record.getMessage()


def test_after_closing_it_connects_anew(receiver: SmallReceiver) -> None:
    sink = forward(receiver.url)
    sink.send(NOTIFICATION)
    sink.close()
    assert sink.send(NOTIFICATION) is None
    assert len({request.connection for request in receiver.requests}) == 2
