"""A route whose receiver is away is held, and probed once a minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from subscriber.dispatcher.holds import Admission, Change, Holds

NOW = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def held() -> Holds:
    holds = Holds()
    assert holds.report("a", Admission.RUN, away=True, now=NOW) is Change.HELD
    return holds


def test_an_open_route_runs() -> None:
    holds = Holds()
    assert holds.admit("a", NOW) is Admission.RUN
    assert holds.report("a", Admission.RUN, away=False, now=NOW) is Change.NONE
    assert not holds.held("a")


def test_an_absent_receiver_holds_its_route_and_no_other() -> None:
    holds = held()
    assert holds.held("a") and not holds.held("b")
    assert holds.admit("a", NOW) is Admission.WAIT
    assert holds.admit("b", NOW) is Admission.RUN


def test_one_probe_a_minute_is_let_through() -> None:
    holds = held()
    assert not holds.probe_due("a", NOW + MINUTE - timedelta(milliseconds=1))
    assert holds.probe_due("a", NOW + MINUTE)
    assert holds.admit("a", NOW + MINUTE) is Admission.PROBE
    assert holds.admit("a", NOW + MINUTE) is Admission.WAIT
    assert not holds.probe_due("a", NOW + 5 * MINUTE), "while one is on its way there is no second"


def test_a_failed_probe_begins_another_minute() -> None:
    holds = held()
    probed_at = NOW + 3 * MINUTE
    probe = holds.admit("a", probed_at)
    assert holds.report("a", probe, away=True, now=probed_at) is Change.NONE
    assert holds.held("a") and not holds.probe_due("a", probed_at)
    assert holds.probe_due("a", probed_at + MINUTE)


def test_a_good_probe_ends_the_hold_at_once() -> None:
    holds = held()
    probe = holds.admit("a", NOW + MINUTE)
    assert holds.report("a", probe, away=False, now=NOW + MINUTE) is Change.RELEASED
    assert holds.admit("a", NOW + MINUTE) is Admission.RUN


def test_what_had_started_before_the_hold_says_nothing_about_it() -> None:
    holds = held()
    assert holds.report("a", Admission.RUN, away=False, now=NOW + MINUTE) is Change.NONE
    assert holds.report("a", Admission.RUN, away=True, now=NOW + MINUTE) is Change.NONE
    assert holds.probe_due("a", NOW + MINUTE), "late news of the same outage do not put the probe off"


def test_whoever_waits_may_ask_again_when_the_next_probe_is_due() -> None:
    holds = held()
    assert holds.next_probe("b", NOW) == NOW
    assert holds.next_probe("a", NOW) == NOW + MINUTE
    assert holds.next_probe("a", NOW + 2 * MINUTE) == NOW + 2 * MINUTE
    holds.admit("a", NOW + 2 * MINUTE)
    assert holds.next_probe("a", NOW + 2 * MINUTE) == NOW + 3 * MINUTE
