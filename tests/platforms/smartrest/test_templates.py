"""Are the templates there, and registering those that are not."""

from __future__ import annotations

import pytest

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.platforms.smartrest.realtime import Realtime, Template
from subscriber.platforms.smartrest.templates import Collections
from tests.platforms.smartrest.conversing import X_ID, realtime

CHILD = "com.acme.child-v1"
KNOWN = [
    Template(x_id=X_ID, id="500", columns=("id", "device"), paths=("$.id", "$.deviceId"), condition="$.c8y_Restart"),
    Template(x_id=X_ID, id="510", columns=("id",), paths=("$.id",), base="$.operations", condition="$.c8y_Restart"),
    Template(x_id=X_ID, id="511", columns=("text",), paths=('$.text,"odd"',)),
]


def several() -> Realtime:
    return realtime("/5010", x_ids=(CHILD,), templates=KNOWN)


def test_one_collection_is_asked_for_by_the_header_alone() -> None:
    assert Collections(realtime()).check() == ({"X-Id": X_ID}, b"")


def test_several_are_asked_for_in_one_request_without_the_header() -> None:
    assert Collections(several()).check() == ({}, b"15,com.acme.gw-v3\n15,com.acme.child-v1")


@pytest.mark.parametrize("body", [b"20,77120\n20,77121\n", b"87,1,com.acme.gw-v3\r\n20,77120\r\n20,77121"])
def test_collections_that_exist_are_taken_as_they_are(body: bytes) -> None:
    assert Collections(several()).lacking(body) is False


def test_a_lacking_collection_is_registered_with_its_response_templates() -> None:
    collections = Collections(several())
    assert collections.lacking(b'40,"No template for this X-ID."\n20,77121')
    assert collections.register() == (
        {"X-Id": X_ID},
        b'11,500,,$.c8y_Restart,$.id,$.deviceId\n11,510,$.operations,$.c8y_Restart,$.id\n11,511,,,"$.text,""odd"""',
    )
    collections.registered(b"20,77120")


def test_a_lacking_collection_that_is_not_known_here_is_refused_by_name() -> None:
    with pytest.raises(PlatformRefused, match=CHILD) as caught:
        Collections(several()).lacking(b"20,77120\n40,none")
    assert caught.value.reason == "no_template"


def test_what_is_registered_and_still_not_there_is_not_registered_for_ever() -> None:
    collections = Collections(realtime(templates=KNOWN))
    assert collections.lacking(b"40,none")
    collections.registered(b"20,1")
    with pytest.raises(PlatformUnavailable, match="registered, and not there"):
        collections.lacking(b"40,none")


@pytest.mark.parametrize("body", [b"", b"20,1\n20,2", b"<html>", b"\xff"])
def test_an_answer_that_is_none_to_the_check_is_unreadable(body: bytes) -> None:
    with pytest.raises(PlatformUnavailable, match="unreadable_answer"):
        Collections(realtime()).lacking(body)


def test_what_the_platform_says_against_a_template_is_told() -> None:
    with pytest.raises(PlatformRefused, match="row 41 2 invalid JsonPath") as caught:
        Collections(realtime()).registered(b"41,2,invalid JsonPath")
    assert caught.value.reason == "template_refused"


@pytest.mark.parametrize("body", [b"", b"40,none", b"ok"])
def test_without_word_that_it_was_created_it_was_not(body: bytes) -> None:
    with pytest.raises(PlatformUnavailable):
        Collections(realtime()).registered(body)
