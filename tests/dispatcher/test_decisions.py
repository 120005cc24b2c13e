"""What handlers and sinks say, and the one decision that follows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.dispatcher.decisions import (
    Away,
    RetryPolicy,
    Settled,
    Verdict,
    decide,
    outcome_of,
    read_answer,
    read_error,
)
from subscriber.errors import HandlerError, PlatformUnavailable, SinkUnavailable
from subscriber.model import DETAIL_CHARS, Dead, Decision, Done, Hold, Retry

NOW = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
TOMORROW = NOW + timedelta(days=1)
HOLD_AT = NOW + timedelta(minutes=1)
POLICY = RetryPolicy(max_attempts=3, base_seconds=5, max_seconds=3600)
ERROR = Retry(None, "handler_error", "KeyError: 'a'")
REFUSED = Retry(None, "refused_by_receiver", "the receiver answered 400")


def soon(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("verdicts", "number", "decision"),
    [
        ([], 1, Done()),
        ([Done()], 1, Done()),
        ([Done("skipped")], 1, Done("skipped")),
        ([Done(), Done()], 3, Done()),
        ([Dead("spam")], 1, Dead("spam")),
        ([Done(), Dead("pruned")], 1, Dead("pruned")),
        ([ERROR], 1, Retry(soon(2.5), "handler_error", "KeyError: 'a'")),
        ([ERROR], 2, Retry(soon(5), "handler_error", "KeyError: 'a'")),
        ([ERROR], 3, Dead("attempts", "handler_error: KeyError: 'a'")),
        ([ERROR], 4, Dead("attempts", "handler_error: KeyError: 'a'")),
        ([Retry(TOMORROW, "later")], 1, Retry(TOMORROW, "later")),
        ([Retry(TOMORROW, "later", "why")], 3, Dead("attempts", "later: why")),
        ([Retry(TOMORROW, "later"), REFUSED], 1, Retry(TOMORROW, "later")),
        ([Dead("spam"), REFUSED], 1, Retry(soon(2.5), "refused_by_receiver", "the receiver answered 400")),
        ([Away("down")], 1, Hold(HOLD_AT, "sink_unavailable", "down")),
        ([Done(), Away("down")], 99, Hold(HOLD_AT, "sink_unavailable", "down")),
        ([ERROR, Away("down")], 3, Hold(HOLD_AT, "sink_unavailable", "down")),
        ([Dead("spam"), Away("down")], 1, Hold(HOLD_AT, "sink_unavailable", "down")),
    ],
)
def test_a_row_ends_only_when_every_part_of_it_has_ended(
    verdicts: list[Verdict], number: int, decision: Decision
) -> None:
    assert decide(verdicts, number, POLICY, now=NOW, jitter=0.5, hold_at=HOLD_AT) == decision


def test_a_route_may_want_other_attempts_than_the_rest() -> None:
    assert POLICY.limited_to(None) is POLICY
    once = POLICY.limited_to(1)
    assert isinstance(decide([ERROR], 1, once, now=NOW, jitter=0, hold_at=HOLD_AT), Dead)


@pytest.mark.parametrize(("number", "ceiling"), [(1, 5), (2, 10), (3, 20), (10, 2560), (11, 3600), (5000, 3600)])
def test_waits_double_up_to_the_longest(number: int, ceiling: float) -> None:
    assert POLICY.wait(number, 1.0) == timedelta(seconds=ceiling)


@given(number=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_jitter_is_full_and_never_exceeds_the_longest_wait(number: int, jitter: float) -> None:
    wait = POLICY.wait(number, jitter)
    assert timedelta(0) <= wait <= timedelta(seconds=3600)
    assert POLICY.wait(number, 0.0) == timedelta(0)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        Done(),
        Done("skipped"),
        Dead("spam", "why"),
        Retry(),
        Retry(TOMORROW, "later", "why"),
        Retry(None, "busy"),
    ],
)
def test_a_handler_may_return_none_done_retry_or_dead(answer: object) -> None:
    assert read_answer(answer) == (answer or Done())


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (Retry(datetime(2026, 3, 2)), "Retry.at must be a datetime with a time zone, or None"),
        (Retry(5), "Retry.at must be a datetime with a time zone, or None"),  # type: ignore[arg-type]
        (Retry(None, 7), "Retry: reason and detail must be text"),  # type: ignore[arg-type]
        (Dead(None), "Dead: reason and detail must be text"),  # type: ignore[arg-type]
        (Dead("a", b"b"), "Dead: reason and detail must be text"),  # type: ignore[arg-type]
        (Done(1), "Done: reason and detail must be text"),  # type: ignore[arg-type]
        (True, "returned bool: not None, Done, Retry or Dead"),
        (Hold(NOW, "mine"), "returned Hold: not None, Done, Retry or Dead"),
        (Dead, "returned type: not None, Done, Retry or Dead"),
    ],
)
def test_any_other_answer_is_the_handlers_error_and_says_which(answer: object, detail: str) -> None:
    assert read_answer(answer) == Retry(None, "handler_error", detail)


def test_another_time_zone_is_as_good() -> None:
    elsewhere = TOMORROW.astimezone(timezone(timedelta(hours=5)))
    decision = decide([read_answer(Retry(elsewhere))], 1, POLICY, now=NOW, jitter=0, hold_at=HOLD_AT)
    assert isinstance(decision, Retry) and decision.at == TOMORROW


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (KeyError("a"), ERROR),
        (SystemExit(3), Retry(None, "handler_error", "SystemExit: 3")),
        (SinkUnavailable("down"), Away("down")),
        (
            HandlerError("no such asset", reason="asset_gone"),
            Retry(None, "asset_gone", "HandlerError: asset_gone: no such asset"),
        ),
        (
            PlatformUnavailable("x"),
            Retry(None, "platform_unavailable", "PlatformUnavailable: platform_unavailable: x"),
        ),
    ],
)
def test_an_exception_is_tried_again_under_its_name(error: BaseException, verdict: Verdict) -> None:
    assert read_error(error) == verdict


def test_text_from_a_handler_is_cut_and_fit_for_every_database() -> None:
    verdict = read_error(ValueError("\0\ud800" + "x" * 10_000))
    assert isinstance(verdict, Retry)
    assert verdict.detail.startswith("ValueError: ??x") and len(verdict.detail) == DETAIL_CHARS
    assert read_answer(Dead("r" * 1000)) == Dead("r" * 80)
    assert read_answer(Retry(TOMORROW, "r" * 1000)) == Retry(TOMORROW, "r" * 80)
    assert read_answer(Done("r" * 1000)) == Done("r" * 80)
    assert read_error(HandlerError("x", reason="r" * 1000)).reason == "r" * 80  # type: ignore[union-attr]


def test_whoever_gives_no_reason_gets_one() -> None:
    assert read_answer(Dead("")) == Dead("dead")
    assert read_answer(Retry(TOMORROW, "")) == Retry(TOMORROW, "retry")


@pytest.mark.parametrize(
    ("decision", "outcome"),
    [
        (Done(), Settled.DONE),
        (Retry(), Settled.RETRY),
        (Dead("x"), Settled.DEAD),
        (Hold(NOW, "x"), Settled.HELD),
    ],
)
def test_every_decision_is_counted_as_itself(decision: Decision, outcome: Settled) -> None:
    assert outcome_of(decision) is outcome
