"""The error body, media types, and bodies that are none."""

from __future__ import annotations

import pytest

from emulator.cumulocity.errors import Refused, media_type, refusal
from tests.emulator.cumulocity.running import Tenant


def test_a_refusal_has_error_message_and_info_as_texts(tenant: Tenant) -> None:
    """N2-3.7"""
    answer = tenant.ask("GET", "/notification2/subscriptions/4711")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("application/vnd.com.nsn.cumulocity.error+json")
    body = answer.json()
    assert body["error"] == "reliable-notification/Not Found"
    assert body["message"] == "Finding subscription from database failed"
    assert body["info"].startswith("https://")


def test_an_unknown_address_is_refused_in_the_platforms_words(tenant: Tenant) -> None:
    answer = tenant.ask("GET", "/nothing")
    assert (answer.status_code, answer.json()["error"]) == (404, "general/Not Found")


@pytest.mark.parametrize("body", ["[]", "{", "\xff", '"x"', '{"text":"\\ud800"}'])
def test_a_body_that_is_no_object_is_unprocessable(tenant: Tenant, body: str) -> None:
    """N2-3.1"""
    answer = tenant.session.post(f"{tenant.base}/notification2/token", data=body.encode())
    assert (answer.status_code, answer.json()["error"]) == (422, "general/Unprocessable Entity")


def test_a_wrong_verb_is_refused_with_405(tenant: Tenant) -> None:
    """N2-3.1: a subscription cannot be changed."""
    for path in ("/notification2/subscriptions/1", "/inventory/managedObjects", "/alarm/alarms"):
        assert tenant.ask("PUT", path, {}).status_code == 405


def test_any_media_type_is_read(tenant: Tenant) -> None:
    """N2-3.2: clients send the vendor's or the plain one."""
    body = b'{"context":"tenant","subscription":"A"}'
    kind = {"Content-Type": "application/vnd.com.nsn.cumulocity.subscription+json"}
    answer = tenant.session.post(f"{tenant.base}/notification2/subscriptions", data=body, headers=kind)
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == media_type("subscription")


def test_a_strangers_words_are_repeated_only_so_far() -> None:
    assert len(Refused(422, "x/y", "z" * 1000).message) == 300
    assert refusal(Refused(401, "x/y", "")).headers["WWW-Authenticate"].startswith("Basic")
