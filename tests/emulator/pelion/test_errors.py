"""Refusals in the platform's two shapes."""

from __future__ import annotations

from emulator.pelion.errors import Refusal, refusal_response
from tests.emulator.pelion.conftest import Pelion


def test_a_refusal_is_an_object_with_code_and_type(pelion: Pelion) -> None:
    answer = pelion.call("GET", "/v2/notification/callback")
    assert answer.status_code == 404
    body = answer.json()
    assert (body["object"], body["code"], body["type"]) == ("error", 404, "not_found")
    assert len(body["request_id"]) == 32


def test_a_device_request_is_refused_with_a_word() -> None:
    response = refusal_response(Refusal(400, "long text", word="QUEUE_IS_FULL"))
    assert (response.status, response.text, response.content_type) == (400, "QUEUE_IS_FULL", "text/plain")


def test_throttling_says_when_to_come_again() -> None:
    assert refusal_response(Refusal(429, "slow down")).headers["Retry-After"] == "1"


def test_a_body_has_a_bound(pelion: Pelion) -> None:
    answer = pelion.call("PUT", "/v2/subscriptions", data=b"[" + b" " * 4_200_000 + b"]")
    assert answer.status_code == 413
