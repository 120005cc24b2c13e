"""What an answer means for the conversation."""

from __future__ import annotations

import pytest

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.platforms.smartrest import messages, records, verdicts
from subscriber.platforms.smartrest.messages import Contents
from subscriber.platforms.smartrest.transitions import Event, State

POLL, HANDSHAKE = State.CONNECT, State.HANDSHAKE


def read(body: str) -> Contents:
    return messages.contents(records.read(body.encode()), "mine")


@pytest.mark.parametrize(
    ("state", "status", "event", "reason"),
    [
        (POLL, 401, Event.FAILED, "credentials_refused"),
        (POLL, 403, Event.FAILED, "access_refused"),
        (POLL, 400, Event.GONE, "platform_refused"),
        (POLL, 404, Event.GONE, "platform_refused"),
        (POLL, 302, Event.GONE, "platform_refused"),
        (POLL, 501, Event.GONE, "platform_refused"),
        (HANDSHAKE, 404, Event.FAILED, "platform_refused"),
        (State.CHECK, 404, Event.FAILED, "platform_refused"),
        (State.DISCONNECT, 404, Event.GONE, "platform_refused"),
        (POLL, 408, Event.FAILED, "unavailable"),
        (POLL, 429, Event.FAILED, "unavailable"),
        (POLL, 500, Event.FAILED, "unavailable"),
        (POLL, 503, Event.FAILED, "unavailable"),
        (POLL, 520, Event.FAILED, "unavailable"),
        (POLL, 100, Event.FAILED, "unavailable"),
    ],
)
def test_a_status_other_than_success_fails_the_step(state: State, status: int, event: Event, reason: str) -> None:
    verdict = verdicts.of_status(state, status, None)
    assert verdict is not None and verdict.failure is not None
    assert (verdict.event, verdict.failure.reason) == (event, reason)


def test_success_is_to_be_read() -> None:
    assert verdicts.of_status(POLL, 200, None) is None
    assert verdicts.of_status(POLL, 204, None) is None


def test_a_wish_to_come_later_is_passed_on() -> None:
    verdict = verdicts.of_status(POLL, 503, 30)
    assert verdict is not None and isinstance(verdict.failure, PlatformUnavailable)
    assert verdict.failure.retry_after_seconds == 30


@pytest.mark.parametrize(
    "body", ["Un1q31d3nt1f13r", "\n3k9x0q7w1vj2m5d8t4b6\n", "abc\n86,,0,retry", "86,,0,retry\nabc"]
)
def test_a_handshake_is_answered_by_a_client_id_with_advice_before_or_behind_it(body: str) -> None:
    assert verdicts.of_contents(HANDSHAKE, read(body)).event is Event.DONE


@pytest.mark.parametrize(
    "body",
    ["", "<html>", "Service\nUnavailable", '{"error":"x"}', "500,a", "abc\n500,a", "a b", "x" * 129, "86,,,handshake"]
    + ["45,1,wrong number of arguments", "abc\n50,1,500", '"abc', "45,1,402::Unknown client"],
)
def test_any_other_answer_to_a_handshake_is_a_failure_that_another_form_may_avoid(body: str) -> None:
    verdict = verdicts.of_contents(HANDSHAKE, read(body))
    assert (verdict.event, verdict.refused, verdict.failure is None) == (Event.FAILED, True, False)


@pytest.mark.parametrize(
    ("state", "body", "event"),
    [
        (State.SUBSCRIBE, "<html>", Event.FAILED),
        (State.SUBSCRIBE, "86,,0,retry\n<html>", Event.FAILED),
        (State.SUBSCRIBE, "500,a", Event.DONE),
        (POLL, "<html>\n</html>", Event.FAILED),
        (POLL, "500,a\n<html>", Event.DONE),
        (POLL, "86,,0,retry\n<html>", Event.DONE),
    ],
)
def test_a_page_that_is_not_the_protocol_s_is_a_failure(state: State, body: str, event: Event) -> None:
    verdict = verdicts.of_contents(state, read(body))
    assert verdict.event is event
    assert verdict.failure is None or verdict.failure.reason == "unreadable_answer"


@pytest.mark.parametrize("state", [HANDSHAKE, State.SUBSCRIBE, POLL])
def test_advice_none_stops_from_wherever_it_comes(state: State) -> None:
    verdict = verdicts.of_contents(state, read("abc\n86,,,none"))
    assert verdict.event is Event.NONE and isinstance(verdict.failure, PlatformRefused)
    assert verdict.failure.reason == "stopped"


@pytest.mark.parametrize("state", [HANDSHAKE, State.SUBSCRIBE, POLL])
def test_a_missing_template_is_known_from_wherever_it_comes(state: State) -> None:
    assert verdicts.of_contents(state, read('40,"No template for this X-ID."')).event is Event.MISSING


@pytest.mark.parametrize(
    ("body", "event", "reason"),
    [
        ("", Event.DONE, None),
        ("500,a", Event.DONE, None),
        ("86,,0,retry", Event.DONE, None),
        ("86,,0,handshake", Event.GONE, None),
        ("50,1,402::Unknown client", Event.GONE, None),
        ("50,1,503", Event.FAILED, "row_failed"),
        ("50,1,404", Event.GONE, "row_refused"),
        ("45,1,wrong number of arguments", Event.GONE, "row_refused"),
        ("42,1", Event.GONE, "row_refused"),
    ],
)
def test_what_a_poll_s_answer_says_decides(body: str, event: Event, reason: str | None) -> None:
    verdict = verdicts.of_contents(POLL, read(body))
    assert (verdict.event, verdict.failure and verdict.failure.reason) == (event, reason)
