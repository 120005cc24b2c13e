"""What every back end of the store promises, sentence by sentence of ``subscriber.store``.

A back end's test module subclasses these and provides the fixtures ``store``, ``clock`` and ``url``; see
``test_sqlite.py``. Nothing here knows which back end it talks to.
"""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta

import pytest

from subscriber.errors import InvalidCursor, LeaseLost, StoreUnavailable
from subscriber.model import (
    DETAIL_CHARS,
    Attempt,
    Dead,
    Done,
    Hold,
    Identity,
    Notification,
    Outcome,
    Retry,
    State,
    Tenant,
    with_repeat,
)
from subscriber.store import (
    CHANNEL_FACT_BYTES,
    REPEAT_WINDOW,
    ByReason,
    Counter,
    Counts,
    DeadFilter,
    Gap,
    Pause,
    Pruned,
    ReasonCount,
    Reports,
    Retention,
    RowFilter,
    Store,
    SubscriptionRow,
    TenantState,
    open_store,
    paging,
)
from tests.store.making import (
    ACME,
    OTHER,
    START,
    TOPIC,
    Clock,
    channel,
    fact,
    key,
    lane,
    lease_all,
    lease_one,
    lease_ordered,
    letter,
    notification,
    several,
)

DAY = timedelta(days=1)
DEADLINE_S = 20.0  # of what comes about by itself
KEEP = Retention(horizon=7 * DAY, payload=7 * DAY, dead=90 * DAY, tombstone=7 * DAY)


def outcomes(store: Store, *notifications: Notification) -> list[Outcome]:
    return [receipt.outcome for receipt in store.inbox.add(notifications)]


def counted(store: Store) -> dict[str, int]:
    """Event → count, over all minutes."""
    totals: dict[str, int] = {}
    for _, event, count in store.reports.minutes(START - 365 * DAY):
        totals[event] = totals.get(event, 0) + count
    return totals


class AddingContract:
    def test_a_new_notification_is_kept_as_it_came(self, store: Store) -> None:
        given = notification(action="CREATE", content=b"digest")
        (receipt,) = store.inbox.add([given])
        assert (receipt.tenant, receipt.key, receipt.outcome) == (ACME, given.key, Outcome.NEW)
        row = store.reports.row(ACME, given.key)
        assert row is not None
        assert row.notification == given
        assert (row.state, row.attempts, row.reason) == (State.PENDING, 0, "")

    def test_receipts_come_in_the_order_of_the_notifications(self, store: Store) -> None:
        store.inbox.add([notification("b")])
        given = [notification(name) for name in "abc"]
        receipts = store.inbox.add(given)
        assert [receipt.key for receipt in receipts] == [item.key for item in given]
        assert [receipt.outcome for receipt in receipts] == [Outcome.NEW, Outcome.DUPLICATE, Outcome.NEW]

    def test_nothing_given_is_nothing_done(self, store: Store) -> None:
        assert store.inbox.add([]) == []

    def test_a_redelivery_is_a_duplicate_whatever_became_of_the_first(self, store: Store, clock: Clock) -> None:
        assert outcomes(store, notification()) == [Outcome.NEW]
        assert outcomes(store, notification()) == [Outcome.DUPLICATE]
        store.inbox.settle(lease_one(store), Done())
        clock.advance(days=4)
        assert outcomes(store, notification()) == [Outcome.DUPLICATE]

    def test_of_two_equal_keys_in_one_batch_the_first_is_new(self, store: Store) -> None:
        assert outcomes(store, notification(), notification()) == [Outcome.NEW, Outcome.DUPLICATE]
        assert store.reports.counts().pending == 1

    def test_equal_keys_of_two_tenants_are_two_notifications(self, store: Store) -> None:
        assert outcomes(store, notification(), notification(tenant=OTHER)) == [Outcome.NEW, Outcome.NEW]

    def test_a_large_batch_is_stored_whole(self, store: Store) -> None:
        given = several(2_500)
        assert set(outcomes(store, *given)) == {Outcome.NEW}
        assert outcomes(store, *given).count(Outcome.DUPLICATE) == 2_500

    def test_seq_follows_the_order_of_arrival(self, store: Store) -> None:
        names = [f"n{number}" for number in range(50)]
        store.inbox.add([notification(name) for name in names])
        page = store.reports.rows(RowFilter(), 100)
        assert [row.notification.key for row in reversed(page.rows)] == [key(name) for name in names]

    def test_a_value_that_cannot_be_stored_is_refused_and_nothing_is_stored(self, store: Store) -> None:
        with pytest.raises(StoreUnavailable) as refusal:
            store.inbox.add([notification("good"), notification("bad", source="lone \ud800 surrogate")])
        assert refusal.value.reason == "unstorable"
        assert store.reports.counts().pending == 0

    def test_a_bad_row_never_spoils_another_callers(self, store: Store) -> None:
        submissions = [
            store.inbox.submit([notification(f"n{number}", source="\ud800" if number == 3 else "fine")])
            for number in range(8)
        ]
        failed = []
        for number, submission in enumerate(submissions):
            try:
                submission.receipts()
            except StoreUnavailable:
                failed.append(number)
        assert failed == [3]
        assert store.reports.counts().pending == 7

    def test_the_same_id_with_equal_or_unknown_content_is_a_duplicate(self, store: Store) -> None:
        store.inbox.add([notification("known", identity=Identity.ID, content=b"1")])
        store.inbox.add([notification("unknown", identity=Identity.ID, content=None)])
        assert (
            outcomes(
                store,
                notification("known", identity=Identity.ID, content=b"1"),
                notification("known", identity=Identity.ID, content=None),
                notification("unknown", identity=Identity.ID, content=b"2"),
            )
            == [Outcome.DUPLICATE] * 3
        )

    def test_the_same_id_with_other_content_is_kept_as_a_dead_letter(self, store: Store) -> None:
        first = notification(identity=Identity.ID, content=b"1", body=b'{"a":1}')
        second = notification(identity=Identity.ID, content=b"2", body=b'{"a":2}')
        assert outcomes(store, first, second, second) == [Outcome.NEW, Outcome.CONFLICT, Outcome.CONFLICT]
        row = store.reports.row(ACME, first.key)
        assert row is not None and row.notification.body == b'{"a":1}'
        (found,) = store.reports.dead_letters(ACME, 10)
        assert found.letter.reason == "conflicting_duplicate"
        assert (found.letter.key, found.letter.body, found.count) == (first.key, b'{"a":2}', 2)

    def test_equal_content_is_a_duplicate_until_the_first_is_settled(self, store: Store, clock: Clock) -> None:
        given = notification(identity=Identity.CONTENT)
        assert outcomes(store, given, given) == [Outcome.NEW, Outcome.DUPLICATE]
        clock.advance(days=2)
        assert outcomes(store, given) == [Outcome.DUPLICATE]
        attempt = lease_one(store)
        assert outcomes(store, given) == [Outcome.DUPLICATE]
        store.inbox.settle(attempt, Done())
        assert outcomes(store, given) == [Outcome.NEW]

    def test_equal_content_is_a_duplicate_within_the_window_of_its_acceptance(
        self, store: Store, clock: Clock
    ) -> None:
        given = notification(identity=Identity.CONTENT)
        store.inbox.add([given])
        store.inbox.settle(lease_one(store), Done())
        clock.now = START + REPEAT_WINDOW
        assert outcomes(store, given) == [Outcome.DUPLICATE]
        clock.advance(milliseconds=1)
        assert outcomes(store, given) == [Outcome.NEW]

    def test_equal_content_said_again_gets_the_next_repeat_number_and_key(self, store: Store, clock: Clock) -> None:
        for number in range(3):
            given = notification(identity=Identity.CONTENT, received_at=clock())
            (receipt,) = store.inbox.add([given])
            assert (receipt.outcome, receipt.key) == (Outcome.NEW, with_repeat(key("one"), number))
            attempt = lease_one(store)
            assert (attempt.notification.repeat, attempt.notification.key) == (number, receipt.key)
            store.inbox.settle(attempt, Dead("failed"))
            clock.advance(minutes=2)

    def test_a_duplicate_of_repeated_content_names_the_latest_copy(self, store: Store, clock: Clock) -> None:
        given = notification(identity=Identity.CONTENT)
        store.inbox.add([given])
        store.inbox.settle(lease_one(store), Done())
        clock.advance(minutes=2)
        receipts = store.inbox.add([given, given])
        assert [receipt.outcome for receipt in receipts] == [Outcome.NEW, Outcome.DUPLICATE]
        assert receipts[0].key == receipts[1].key == with_repeat(key("one"), 1)

    def test_a_dead_letter_that_comes_again_is_counted_not_kept_twice(self, store: Store, clock: Clock) -> None:
        store.inbox.add([], [letter(at=START), letter("else")])
        clock.advance(hours=1)
        store.inbox.add([], [letter(at=clock())])
        newest, oldest = store.reports.dead_letters(ACME, 10)
        assert (newest.count, oldest.count) == (1, 2)
        assert (oldest.letter.buried_at, oldest.last_at) == (START, START + timedelta(hours=1))
        assert oldest.letter.body == b"{"

    def test_dead_letters_share_the_transaction_of_the_notifications(self, store: Store) -> None:
        with pytest.raises(StoreUnavailable):
            store.inbox.add([notification(source="\ud800")], [letter()])
        assert store.reports.dead_letters(None, 10) == []

    def test_detail_is_cut_to_its_limit(self, store: Store) -> None:
        store.inbox.add([], [letter(detail="x" * 2 * DETAIL_CHARS)])
        (found,) = store.reports.dead_letters(None, 1)
        assert found.letter.detail == "x" * DETAIL_CHARS

    def test_unknown_tenants_become_active_ones(self, store: Store) -> None:
        store.inbox.add([notification()], [letter(tenant=OTHER)])
        assert [(row.tenant, row.state) for row in store.registry.tenants()] == [
            (ACME, TenantState.ACTIVE),
            (OTHER, TenantState.ACTIVE),
        ]

    def test_nothing_is_stored_for_a_tenant_that_is_gone(self, store: Store) -> None:
        store.inbox.add([notification(), notification(tenant=OTHER)])
        store.inbox.erase(ACME)
        assert outcomes(store, notification("two"), notification("two", tenant=OTHER)) == [
            Outcome.ERASED,
            Outcome.NEW,
        ]
        store.inbox.add([], [letter()])
        assert store.reports.counts(ACME) == Counts(
            pending=0, running=0, done=0, dead=0, duplicates=0, dead_letters=0
        )
        assert counted(store)[Counter.ERASED] == 2

    def test_a_tenant_erased_by_another_store_gets_no_rows(self, store: Store, url: str, clock: Clock) -> None:
        store.inbox.add([notification()])
        store.inbox.add([notification("two")])  # by now this store knows the tenant well
        with closing(open_store(url, clock=clock)) as another:
            another.inbox.erase(ACME)
        assert outcomes(store, notification("three")) == [Outcome.ERASED]
        assert store.reports.rows(RowFilter(), 10).rows == []

    def test_a_tenant_that_comes_back_is_served_again(self, store: Store) -> None:
        store.inbox.add([notification()])
        store.inbox.erase(ACME)
        store.registry.put_tenant(ACME, TenantState.ACTIVE)
        assert outcomes(store, notification()) == [Outcome.NEW]

    def test_counters_tell_what_became_of_everything(self, store: Store) -> None:
        store.inbox.add([*several(3), notification("n1")], [letter()])
        conflicting = [notification("id", identity=Identity.ID, content=content) for content in (b"1", b"2")]
        store.inbox.add(conflicting)
        assert counted(store) == {
            Counter.ACCEPTED: 4,
            Counter.DUPLICATE: 1,
            Counter.DEAD_LETTER: 1,
            Counter.CONFLICT: 1,
        }

    def test_a_submission_is_answered_without_waiting(self, store: Store) -> None:
        called = threading.Event()
        submission = store.inbox.submit([notification()])
        submission.when_done(called.set)
        assert called.wait(5)
        assert [receipt.outcome for receipt in submission.receipts()] == [Outcome.NEW]
        assert [receipt.outcome for receipt in submission.receipts()] == [Outcome.NEW]

    def test_a_submission_that_is_done_calls_back_at_once(self, store: Store) -> None:
        submission = store.inbox.submit([notification()])
        submission.receipts()
        calls: list[int] = []
        submission.when_done(lambda: calls.append(threading.get_ident()))
        assert calls == [threading.get_ident()]

    def test_who_asked_for_it_is_told_that_something_arrived(self, store: Store) -> None:
        arrived = threading.Event()
        store.inbox.on_arrival(arrived.set)
        store.inbox.add([notification()])
        assert arrived.wait(5)

    def test_a_closed_store_takes_nothing(self, store: Store) -> None:
        store.close()
        with pytest.raises(StoreUnavailable):
            store.inbox.add([notification()])

    def test_what_waits_when_the_store_closes_is_finished(self, store: Store, url: str, clock: Clock) -> None:
        submissions = [store.inbox.submit([item]) for item in several(20)]
        store.close()
        assert all(submission.receipts()[0].outcome is Outcome.NEW for submission in submissions)
        with closing(open_store(url, clock=clock)) as again:
            assert again.reports.counts().pending == 20

    def test_a_probe_passes_while_the_store_can_write(self, store: Store) -> None:
        store.inbox.probe()
        store.inbox.add([notification()])
        store.inbox.probe()


class LeasingContract:
    def test_lanes_are_the_tenants_and_topics_with_due_rows(self, store: Store, clock: Clock) -> None:
        assert store.inbox.lanes() == []
        store.inbox.add([notification("a"), notification("b"), notification("c", topic="t2")])
        store.inbox.add([notification("d", tenant=OTHER, topic="t0")])
        assert sorted(store.inbox.lanes()) == sorted([lane(), lane(topic="t2"), lane(OTHER, "t0")])

    def test_a_lane_whose_rows_wait_for_their_time_is_not_listed(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification()])
        store.inbox.settle(lease_one(store), Retry(START + timedelta(minutes=1)))
        assert store.inbox.lanes() == []
        clock.advance(minutes=1)
        assert store.inbox.lanes() == [lane()]

    def test_an_attempt_is_the_right_to_work_on_a_row_for_a_while(self, store: Store) -> None:
        given = notification()
        store.inbox.add([given])
        attempt = lease_one(store, seconds=30)
        assert (attempt.notification, attempt.number) == (given, 1)
        assert attempt.lease_until == START + timedelta(seconds=30)
        assert attempt.sinks_done == frozenset()
        row = store.reports.row(ACME, given.key)
        assert row is not None and (row.state, row.attempts) == (State.RUNNING, 1)

    def test_a_leased_row_is_nobody_elses_until_its_lease_ran_out(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification()])
        first = lease_one(store, seconds=30)
        clock.advance(seconds=29.999)
        assert store.inbox.lanes() == []
        assert store.inbox.lease([lane()], 10, 30) == []
        clock.advance(seconds=0.001)
        assert store.inbox.lanes() == [lane()]
        second = lease_one(store)
        assert second.number == 2
        assert second.lease > first.lease

    def test_lanes_take_turns_in_the_given_order(self, store: Store) -> None:
        store.inbox.add(several(5, prefix="a") + several(2, prefix="b", tenant=OTHER))
        attempts = store.inbox.lease([lane(OTHER), lane()], 6, 30)
        assert [attempt.notification.tenant.name for attempt in attempts] == [
            "custbb",
            "custaa",
            "custbb",
            "custaa",
            "custaa",
            "custaa",
        ]

    def test_a_noisy_lane_leaves_every_other_its_turn(self, store: Store) -> None:
        store.inbox.add(several(500, prefix="noise"))
        quiet = [notification("quiet", topic=f"t{number}") for number in range(3)]
        store.inbox.add([notification(f"q{number}", topic=item.topic) for number, item in enumerate(quiet)])
        attempts = lease_all(store, 8)
        assert {attempt.notification.topic for attempt in attempts} == {TOPIC, "t0", "t1", "t2"}

    def test_with_more_lanes_than_places_the_first_lanes_with_work_are_served(self, store: Store) -> None:
        store.inbox.add([notification(f"n{number}", topic=f"t{number}") for number in range(10)])
        wanted = [lane(topic="none"), *(lane(topic=f"t{number}") for number in (7, 3, 5, 1))]
        attempts = store.inbox.lease(wanted, 3, 30)
        assert [attempt.notification.topic for attempt in attempts] == ["t7", "t3", "t5"]

    def test_only_the_given_lanes_are_leased(self, store: Store) -> None:
        store.inbox.add([notification("a"), notification("b", topic="t2"), notification("c", tenant=OTHER)])
        (attempt,) = store.inbox.lease([lane(topic="t2")], 10, 30)
        assert attempt.notification.key == key("b")
        assert store.inbox.lease([], 10, 30) == []

    def test_the_oldest_due_row_of_a_lane_goes_first(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification("first")])
        store.inbox.settle(lease_one(store), Retry(START + timedelta(seconds=10)))
        clock.advance(seconds=5)
        store.inbox.add([notification("second")])
        clock.advance(seconds=1)
        store.inbox.add([notification("third")])
        clock.advance(seconds=60)
        order = [attempt.notification.key for attempt in lease_all(store)]
        assert order == [key("second"), key("third"), key("first")]

    def test_rows_accepted_together_go_in_the_order_they_came(self, store: Store) -> None:
        given = several(20)
        store.inbox.add(given)
        assert [attempt.notification for attempt in lease_all(store)] == given

    def test_extending_moves_the_end_of_the_lease(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification()])
        attempt = lease_one(store, seconds=30)
        clock.advance(seconds=20)
        assert store.inbox.extend(attempt, 30) is True
        clock.advance(seconds=29)
        assert store.inbox.lease([lane()], 1, 30) == []

    def test_a_lost_lease_can_neither_be_extended_nor_settled(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification()])
        lost = lease_one(store, seconds=1)
        clock.advance(seconds=2)
        held = lease_one(store)
        for decision in (Done(), Dead("x"), Retry(START), Hold(START, "x")):
            assert store.inbox.settle(lost, decision) is False
        assert store.inbox.extend(lost, 30) is False
        assert store.inbox.settle(held, Done()) is True

    def test_a_settled_attempt_cannot_be_settled_again(self, store: Store) -> None:
        store.inbox.add([notification()])
        attempt = lease_one(store)
        assert store.inbox.settle(attempt, Done()) is True
        assert store.inbox.settle(attempt, Dead("late")) is False

    def test_a_lease_that_ran_out_but_nobody_took_still_settles(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification()])
        attempt = lease_one(store, seconds=1)
        clock.advance(seconds=60)
        assert store.inbox.settle(attempt, Done()) is True

    def test_done_and_dead_end_a_row(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification("a"), notification("b")])
        first, second = lease_all(store)
        clock.advance(seconds=1)
        store.inbox.settle(first, Done("superseded"))
        store.inbox.settle(second, Dead("unrouted", "no route takes it"))
        done, dead = store.reports.row(ACME, key("a")), store.reports.row(ACME, key("b"))
        assert done is not None and dead is not None
        assert (done.state, done.reason, done.settled_at) == (State.DONE, "superseded", clock())
        assert (dead.state, dead.reason, dead.detail) == (State.DEAD, "unrouted", "no route takes it")
        assert store.inbox.lanes() == []

    def test_retry_puts_a_row_back_and_counts_the_attempt(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification()])
        store.inbox.settle(lease_one(store), Retry(START + timedelta(seconds=5), "sink", "said 500"))
        row = store.reports.row(ACME, key("one"))
        assert row is not None
        assert (row.state, row.attempts, row.not_before) == (State.PENDING, 1, START + timedelta(seconds=5))
        assert (row.reason, row.detail) == ("sink", "said 500")
        clock.advance(seconds=5)
        assert lease_one(store).number == 2

    def test_a_retry_without_a_time_is_refused(self, store: Store) -> None:
        store.inbox.add([notification()])
        with pytest.raises(ValueError, match="time"):
            store.inbox.settle(lease_one(store), Retry())

    def test_a_detail_that_is_no_text_is_made_one(self, store: Store) -> None:
        store.inbox.add([notification()])
        assert store.inbox.settle(lease_one(store), Dead("attempts", "said \ud800 and \0")) is True
        row = store.reports.row(ACME, key("one"))
        assert row is not None and row.detail == "said ? and ?"

    def test_hold_puts_a_row_back_without_counting_the_attempt(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification()])
        store.inbox.settle(lease_one(store), Hold(START + timedelta(minutes=1), "sink_unavailable"))
        clock.advance(minutes=1)
        assert lease_one(store).number == 1

    def test_sinks_that_succeeded_are_remembered(self, store: Store) -> None:
        store.inbox.add([notification()])
        store.inbox.settle(lease_one(store), Retry(START), frozenset({"https://a,b", "handler"}))
        again = lease_one(store)
        assert again.sinks_done == {"https://a,b", "handler"}
        store.inbox.settle(again, Hold(START, "x"), frozenset({"third"}))
        assert lease_one(store).sinks_done == {"https://a,b", "handler", "third"}

    def test_superseded_asks_for_a_later_one_of_the_same_tenant_topic_and_source(
        self, store: Store, clock: Clock
    ) -> None:
        later = START + timedelta(seconds=1)
        old = notification("old")
        store.inbox.add([old])
        for other in (
            notification("topic", topic="t2", occurred_at=later),
            notification("source", source="asset-2", occurred_at=later),
            notification("tenant", tenant=OTHER, occurred_at=later),
            notification("equal", occurred_at=START),
            notification("timeless", occurred_at=None),
        ):
            store.inbox.add([other])
            assert store.inbox.superseded(old) is False
        store.inbox.add([notification("new", occurred_at=later)])
        assert store.inbox.superseded(old) is True
        for attempt in lease_all(store):
            store.inbox.settle(attempt, Done())
        assert store.inbox.superseded(old) is True

    def test_a_notification_without_source_or_time_is_never_superseded(self, store: Store) -> None:
        store.inbox.add([notification("new", source="", occurred_at=START + DAY)])
        assert store.inbox.superseded(notification("a", source="")) is False
        assert store.inbox.superseded(notification("b", occurred_at=None)) is False


class OrderedContract:
    def test_of_each_source_only_the_first_row_is_leased(self, store: Store) -> None:
        store.inbox.add([of("a1", "a"), of("a2", "a"), of("b1", "b"), of("b2", "b")])
        attempts = lease_ordered(store)
        assert keys(attempts) == [key("a1"), key("b1")]
        assert lease_ordered(store) == []
        store.inbox.settle(attempts[1], Done())
        assert keys(lease_ordered(store)) == [key("b2")]

    def test_a_retry_and_a_hold_hold_back_their_own_source_only(self, store: Store, clock: Clock) -> None:
        store.inbox.add([of(f"{source}{number}", source) for number in (1, 2) for source in "abc"])
        first, second, third = lease_ordered(store)
        store.inbox.settle(first, Retry(clock() + DAY))
        store.inbox.settle(second, Hold(clock() + DAY, "away"))
        store.inbox.settle(third, Done())
        assert keys(lease_ordered(store)) == [key("c2")]
        clock.advance(days=1)
        assert set(keys(lease_ordered(store))) == {key("a1"), key("b1"), key("c2")}

    def test_a_dead_row_holds_back_nothing(self, store: Store) -> None:
        store.inbox.add([of("a1", "a"), of("a2", "a")])
        store.inbox.settle(lease_ordered(store)[0], Dead("broken"))
        assert keys(lease_ordered(store)) == [key("a2")]

    def test_rows_without_a_source_have_no_order(self, store: Store) -> None:
        store.inbox.add([of("x1", ""), of("x2", "")])
        assert keys(lease_ordered(store)) == [key("x1"), key("x2")]

    def test_equal_sources_of_two_tenants_are_two_sources(self, store: Store) -> None:
        store.inbox.add([notification("one"), notification("two", tenant=OTHER)])
        assert len(lease_ordered(store)) == 2

    def test_a_row_whose_lease_ran_out_goes_first_again(self, store: Store, clock: Clock) -> None:
        store.inbox.add([of("a1", "a"), of("a2", "a")])
        lease_ordered(store)
        assert lease_ordered(store) == []
        clock.advance(minutes=1)
        assert keys(lease_ordered(store)) == [key("a1")]

    def test_order_extends_over_the_topics_that_the_patterns_match(self, store: Store) -> None:
        store.inbox.add([of("1", "a", topic="t1"), of("2", "a", topic="t2"), of("3", "a", topic="u1")])
        assert keys(lease_ordered(store, over=["t?", "u[2-9]"])) == [key("1")]
        lanes = store.inbox.lanes()
        (other,) = store.inbox.lease(lanes, 10, 30, {lane(topic="t2"): ["t?"], lane(topic="u1"): ["u1"]})
        assert other.notification.key == key("3")

    @pytest.mark.parametrize(
        ("pattern", "topic", "held"),
        [
            ("t.1", "t.1", True),
            ("t*", "t.1", True),
            ("t.[!2]", "t.1", True),
            ("T.1", "t.1", False),
            ("t.1", "tx1", False),
            ("t_1", "t.1", False),
            ("t%", "t.1", False),
            ("[t", "t.1", False),
        ],
    )
    def test_patterns_are_those_of_fnmatch_and_case_differs(
        self, store: Store, pattern: str, topic: str, held: bool
    ) -> None:
        store.inbox.add([of("first", "a", topic=topic), of("second", "a", topic="z")])
        attempts = store.inbox.lease([lane(topic="z")], 10, 30, {lane(topic="z"): [pattern, "z"]})
        assert keys(attempts) == ([] if held else [key("second")])

    def test_lanes_with_and_without_order_take_turns(self, store: Store) -> None:
        store.inbox.add([of(f"a{number}", "a", topic="t1") for number in (1, 2)])
        store.inbox.add([of(f"b{number}", "b", topic="t2") for number in (1, 2)])
        ordered, free = lane(topic="t1"), lane(topic="t2")
        attempts = store.inbox.lease([ordered, free], 10, 30, {ordered: ["t1"]})
        assert keys(attempts) == [key("a1"), key("b1"), key("b2")]

    def test_a_replayed_row_takes_its_old_place(self, store: Store) -> None:
        store.inbox.add([of(f"a{number}", "a") for number in (1, 2, 3)])
        store.inbox.settle(lease_ordered(store)[0], Dead("broken"))
        store.inbox.settle(lease_ordered(store)[0], Retry(START))
        assert store.inbox.replay(ACME, [key("a1")]) == 1
        for name in ("a1", "a2", "a3"):
            (attempt,) = lease_ordered(store)
            assert attempt.notification.key == key(name)
            store.inbox.settle(attempt, Done())

    def test_a_replayed_row_does_not_run_beside_a_later_one(self, store: Store, clock: Clock) -> None:
        store.inbox.add([of(f"a{number}", "a") for number in (1, 2, 3)])
        store.inbox.settle(lease_ordered(store)[0], Dead("broken"))
        (second,) = lease_ordered(store)
        store.inbox.replay(ACME, [key("a1")])
        assert lease_ordered(store) == []
        store.inbox.settle(second, Retry(clock()))
        assert keys(lease_ordered(store)) == [key("a1")]

    def test_what_was_held_back_is_leased_once_there_is_no_order(self, store: Store, clock: Clock) -> None:
        store.inbox.add([of(f"a{number}", "a") for number in range(40)])
        store.inbox.settle(lease_ordered(store, 8)[0], Retry(clock() + DAY))
        assert lease_ordered(store, 8) == []
        assert keys(lease_all(store)) == [key(f"a{number}") for number in range(1, 40)]

    def test_what_runs_without_order_holds_back_what_has_one(self, store: Store) -> None:
        store.inbox.add([of(f"a{number}", "a") for number in range(4)])
        first, second = lease_all(store, 2)
        assert lease_ordered(store) == []
        store.inbox.settle(first, Done())
        assert lease_ordered(store) == []
        store.inbox.settle(second, Done())
        assert keys(lease_ordered(store)) == [key("a2")]

    def test_others_are_found_behind_a_source_that_stands_still(self, store: Store, clock: Clock) -> None:
        store.inbox.add([of("a", "a")])
        store.inbox.settle(lease_ordered(store)[0], Retry(clock() + DAY))
        store.inbox.add([of(f"a{number}", "a") for number in range(3_000)])
        store.inbox.add([of("b", "b")])
        assert keys([attempt for _ in range(5) for attempt in lease_ordered(store, 8)]) == [key("b")]

    def test_an_erased_tenants_order_hinders_nobody(self, store: Store) -> None:
        store.inbox.add([of(f"a{number}", "a") for number in range(40)])
        lease_ordered(store, 8)
        assert store.inbox.erase(ACME) == 40
        assert store.inbox.lanes() == []

    def test_whatever_happens_rows_of_a_source_run_one_by_one_in_order(self, store: Store, clock: Clock) -> None:
        chance = random.Random(11)
        store.inbox.add([of(str(number), chance.choice("abc"), topic=chance.choice("tu")) for number in range(120)])
        running: list[Attempt] = []
        done: dict[str, list[int]] = {}
        for _ in range(10_000):
            if running and chance.random() < 0.6:
                attempt = running.pop(chance.randrange(len(running)))
                decision = chance.choice([Done(), Dead("x"), Retry(clock() + timedelta(seconds=1)), Done()])
                assert store.inbox.settle(attempt, decision)
                if not isinstance(decision, Retry):
                    done.setdefault(attempt.notification.source, []).append(int(attempt.seq))
            else:
                running += lease_ordered(store, chance.choice([1, 2, 10]))
                sources = [attempt.notification.source for attempt in running]
                assert len(sources) == len(set(sources))
                clock.advance(seconds=chance.choice([0, 0, 1]))
            if sum(map(len, done.values())) == 120:
                break
        assert sum(map(len, done.values())) == 120
        assert all(seqs == sorted(seqs) for seqs in done.values())


class SettlingContract:
    def test_effects_and_the_end_of_the_attempt_are_one_commit(self, store: Store) -> None:
        with_table(store)
        attempt = leased(store, "one")
        with store.inbox.settling(attempt) as settling:
            settling.cursor.execute("INSERT INTO effects VALUES ('one')")
            settling.settle(Done("kept"), frozenset({"handler"}))
        row = store.reports.row(ACME, key("one"))
        assert row is not None
        assert (row.state, row.reason, row.sinks_done) == (State.DONE, "kept", {"handler"})
        assert effects(store) == ["one"]
        assert store.inbox.settle(attempt, Done()) is False

    def test_it_counts_as_any_other_end_does(self, store: Store) -> None:
        with store.inbox.settling(leased(store, "one")) as settling:
            settling.settle(Done())
        assert counted(store)[Counter.DONE] == store.reports.counts().done == 1

    def test_a_block_that_raises_leaves_nothing_and_its_error_passes_as_it_is(self, store: Store) -> None:
        with_table(store)
        attempt, error = leased(store, "one"), KeyError("the handler's own")
        with pytest.raises(KeyError) as raised, store.inbox.settling(attempt) as settling:
            settling.cursor.execute("INSERT INTO effects VALUES ('one')")
            settling.settle(Done())
            raise error
        assert raised.value is error
        assert effects(store) == []
        assert store.inbox.settle(attempt, Done()) is True

    def test_a_block_that_does_not_settle_leaves_nothing(self, store: Store) -> None:
        with_table(store)
        attempt = leased(store, "one")
        with store.inbox.settling(attempt) as settling:
            settling.cursor.execute("INSERT INTO effects VALUES ('one')")
        assert effects(store) == []
        assert store.inbox.settle(attempt, Done()) is True

    def test_any_decision_settles(self, store: Store, clock: Clock) -> None:
        with_table(store)
        with store.inbox.settling(leased(store, "one")) as settling:
            settling.cursor.execute("INSERT INTO effects VALUES ('one')")
            settling.settle(Retry(clock() + DAY, "sink"), frozenset({"handler"}))
        row = store.reports.row(ACME, key("one"))
        assert row is not None
        assert (row.state, row.not_before, row.sinks_done) == (State.PENDING, clock() + DAY, {"handler"})
        assert effects(store) == ["one"]

    def test_without_its_lease_an_attempt_gets_no_transaction(self, store: Store, clock: Clock) -> None:
        attempt = leased(store, "one")
        clock.advance(minutes=1)
        lease_all(store)
        with pytest.raises(LeaseLost), store.inbox.settling(attempt):
            pytest.fail("the block ran")

    def test_a_second_settle_undoes_everything(self, store: Store) -> None:
        with_table(store)
        attempt = leased(store, "one")
        with pytest.raises(LeaseLost), store.inbox.settling(attempt) as settling:
            settling.cursor.execute("INSERT INTO effects VALUES ('one')")
            settling.settle(Done())
            settling.settle(Done())
        assert effects(store) == []
        assert store.inbox.settle(attempt, Done()) is True

    @pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK", "/* so */ END", "BEGIN"])
    def test_a_handler_cannot_end_its_transaction(self, store: Store, statement: str) -> None:
        with_table(store)
        attempt = leased(store, "one")
        with pytest.raises(Exception), store.inbox.settling(attempt) as settling:  # noqa: B017 whatever it is called
            settling.cursor.execute("INSERT INTO effects VALUES ('one')")
            settling.cursor.execute(statement)
            settling.settle(Done())
        assert effects(store) == []
        assert store.inbox.settle(attempt, Done()) is True

    def test_a_handlers_broken_statement_is_its_own_and_harms_nobody(self, store: Store) -> None:
        with_table(store)
        attempt = leased(store, "one")
        with pytest.raises(Exception) as raised, store.inbox.settling(attempt) as settling:
            settling.cursor.execute("INSERT INTO nowhere VALUES (1)")
        assert not isinstance(raised.value, StoreUnavailable)
        assert store.inbox.settle(attempt, Done()) is True

    def test_a_cursor_reads_as_any_cursor_does(self, store: Store) -> None:
        with store.inbox.settling(leased(store, "one")) as settling:
            cursor = settling.cursor
            cursor.execute("SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 ORDER BY 1")
            assert cursor.description is not None and cursor.description[0][0] == "n"
            assert (cursor.fetchone(), cursor.fetchmany(2), cursor.fetchall()) == ((1,), [(2,), (3,)], [(4,)])
            assert cursor.fetchone() is None
            cursor.execute("SELECT 5")
            assert list(cursor) == [(5,)]

    def test_a_cursor_is_dead_after_its_block(self, store: Store) -> None:
        with store.inbox.settling(leased(store, "one")) as settling:
            cursor = settling.cursor
        with pytest.raises(Exception):  # noqa: B017 whatever it is called
            cursor.execute("SELECT 1")

    def test_many_threads_settle_each_once_while_others_write(self, store: Store) -> None:
        with_table(store)
        names = [f"n{number}" for number in range(50)]
        store.inbox.add([notification(name, source=name) for name in names])
        errors: list[Exception] = []

        def settle(attempt: Attempt) -> None:
            try:
                with store.inbox.settling(attempt) as settling:
                    settling.cursor.execute(f"INSERT INTO effects VALUES ('{attempt.notification.source}')")
                    settling.settle(Done())
                store.inbox.add([notification(f"after {attempt.seq}", topic="later")])
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=settle, args=(attempt,)) for attempt in lease_all(store)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert store.reports.counts(ACME).done == 51
        assert effects(store) == sorted(names)
        assert store.reports.counts(ACME).pending == 50


def of(name: str, source: str, *, topic: str = TOPIC) -> Notification:
    return notification(name, source=source, topic=topic)


def keys(attempts: Sequence[Attempt]) -> list[bytes]:
    return [attempt.notification.key for attempt in attempts]


def leased(store: Store, name: str) -> Attempt:
    store.inbox.add([notification(name)])
    return lease_one(store)


def with_table(store: Store) -> None:
    """A table of the team's own, made by a handler."""
    with store.inbox.settling(leased(store, "table")) as settling:
        settling.cursor.execute("CREATE TABLE effects (name TEXT)")
        settling.settle(Done())


def effects(store: Store) -> list[str]:
    store.inbox.add([notification("looking", topic="looking")])
    (attempt,) = store.inbox.lease([lane(topic="looking")], 1, 30)
    with store.inbox.settling(attempt) as settling:
        settling.cursor.execute("SELECT name FROM effects ORDER BY name")
        return [name for (name,) in settling.cursor.fetchall()]


class ReplayContract:
    def test_done_and_dead_rows_come_back_with_fresh_attempts(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification("a"), notification("b"), notification("c")])
        first, second, _ = lease_all(store)
        store.inbox.settle(first, Done("kept"))
        store.inbox.settle(second, Dead("attempts", "said 500"))
        clock.advance(hours=1)
        assert store.inbox.replay(ACME, [key("a"), key("b"), key("c"), key("unknown")]) == 2
        for name in "ab":
            row = store.reports.row(ACME, key(name))
            assert row is not None
            assert (row.state, row.attempts, row.not_before) == (State.PENDING, 0, clock())
            assert (row.reason, row.detail, row.settled_at) == ("", "", None)
            assert row.notification.received_at == START

    def test_a_replayed_dead_row_repeats_only_what_has_not_succeeded(self, store: Store) -> None:
        store.inbox.add([notification()])
        store.inbox.settle(lease_one(store), Dead("attempts"), frozenset({"handler"}))
        store.inbox.replay(ACME, [key("one")])
        attempt = lease_one(store)
        assert attempt.sinks_done == {"handler"}
        store.inbox.settle(attempt, Done(), frozenset({"sink"}))
        store.inbox.replay(ACME, [key("one")])
        assert lease_one(store).sinks_done == frozenset()

    def test_another_tenants_rows_are_not_replayed(self, store: Store) -> None:
        store.inbox.add([notification()])
        store.inbox.settle(lease_one(store), Dead("x"))
        assert store.inbox.replay(OTHER, [key("one")]) == 0

    def test_the_total_of_done_does_not_fall(self, store: Store) -> None:
        store.inbox.add([notification()])
        store.inbox.settle(lease_one(store), Done())
        store.inbox.replay(ACME, [key("one")])
        assert store.reports.counts().done == 1

    def test_an_attempt_from_before_the_replay_has_lost_its_lease(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification()])
        old = lease_one(store, seconds=1)
        clock.advance(seconds=2)
        store.inbox.settle(lease_one(store), Dead("x"))
        store.inbox.replay(ACME, [key("one")])
        new = lease_one(store)
        assert new.lease > old.lease
        assert store.inbox.settle(old, Done()) is False

    @pytest.mark.parametrize(
        ("tenant", "reason", "moved"), [(None, None, 6), (ACME, None, 4), (None, "b", 3), (ACME, "b", 2)]
    )
    def test_all_dead_rows_of_a_tenant_and_reason_come_back(
        self, store: Store, tenant: Tenant | None, reason: str | None, moved: int
    ) -> None:
        store.inbox.add(several(4) + several(2, tenant=OTHER))
        for number, attempt in enumerate(lease_all(store)):
            tenants_turn = number // 2 if number < 4 else number
            store.inbox.settle(attempt, Dead("ab"[tenants_turn % 2]))
        assert store.inbox.replay_dead(tenant, reason) == moved
        assert store.reports.counts().pending == moved

    @pytest.mark.parametrize("tenant", [None, ACME])
    def test_only_what_died_in_a_time_comes_back(self, store: Store, clock: Clock, tenant: Tenant | None) -> None:
        died(store, clock, [("a", "x"), ("b", "x"), ("c", "y"), ("d", "x")])
        since, until = START + timedelta(minutes=2), START + timedelta(minutes=4)
        assert store.inbox.replay_dead(tenant, "x", since, until) == 1
        assert store.inbox.replay_dead(tenant, None, since, until) == 1
        assert [row.notification.key for row in store.reports.rows(RowFilter(state=State.PENDING), 9).rows] == [
            key("c"),
            key("b"),
        ]


class ForgettingContract:
    def test_a_key_outlives_its_body_and_is_forgotten_after_the_horizon(self, store: Store, clock: Clock) -> None:
        wanted = Retention(horizon=7 * DAY, payload=2 * DAY, dead=90 * DAY, tombstone=7 * DAY)
        store.inbox.add([notification()])
        store.inbox.settle(lease_one(store), Done())
        clock.advance(days=2, milliseconds=1)
        assert store.inbox.prune(wanted).bodies == 1
        row = store.reports.row(ACME, key("one"))
        assert row is not None and row.notification.body is None and row.notification.payload is None
        clock.advance(days=4)
        assert store.inbox.prune(wanted).rows == 0
        assert outcomes(store, notification()) == [Outcome.DUPLICATE]
        clock.advance(days=1)
        assert store.inbox.prune(wanted).rows == 1
        assert outcomes(store, notification()) == [Outcome.NEW]

    def test_no_key_younger_than_the_horizon_goes_whatever_the_other_ages(self, store: Store, clock: Clock) -> None:
        eager = Retention(horizon=7 * DAY, payload=timedelta(0), dead=timedelta(0), tombstone=timedelta(0))
        store.inbox.add([notification("done"), notification("dead")])
        first, second = lease_all(store)
        store.inbox.settle(first, Done())
        store.inbox.settle(second, Dead("x"))
        clock.advance(days=6)
        for _ in range(3):
            assert store.inbox.prune(eager).rows == 0

    def test_rows_that_wait_or_run_are_never_pruned(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification("runs"), notification("waits", topic="t2")])
        store.inbox.lease([lane()], 1, 30)
        clock.advance(days=365)
        pruned = store.inbox.prune(KEEP)
        assert (pruned.bodies, pruned.rows) == (0, 0)

    def test_dead_rows_and_letters_go_after_their_own_age(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification()], [letter()])
        store.inbox.settle(lease_one(store), Dead("x"))
        clock.advance(days=89)
        assert store.inbox.prune(KEEP).rows == 0
        clock.advance(days=2)
        pruned = store.inbox.prune(KEEP)
        assert (pruned.rows, pruned.dead_letters) == (1, 1)

    def test_totals_survive_pruning(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification(), notification()])
        store.inbox.settle(lease_one(store), Done())
        clock.advance(days=400)
        while any(numbers(store.inbox.prune(KEEP))):
            pass
        counts = store.reports.counts()
        assert (counts.done, counts.duplicates) == (1, 1)
        assert counted(store) == {}

    def test_one_call_forgets_at_most_its_limit(self, store: Store, clock: Clock) -> None:
        store.inbox.add(several(30), [letter(f"l{number}") for number in range(30)])
        for number, attempt in enumerate(lease_all(store)):
            store.inbox.settle(attempt, Done() if number % 2 else Dead("x"))
        clock.advance(days=365)
        seen = []
        while any(pruned := numbers(store.inbox.prune(KEEP, limit=10))):
            seen.append(pruned)
        assert max(max(pruned) for pruned in seen) == 10
        assert [sum(kind) for kind in zip(*seen, strict=True)] == [15, 30, 30, 0]

    def test_the_first_copy_of_repeated_content_stays_while_a_later_one_does(
        self, store: Store, clock: Clock
    ) -> None:
        given = notification(identity=Identity.CONTENT)
        store.inbox.add([given])
        store.inbox.settle(lease_one(store), Done())
        clock.advance(days=6)
        store.inbox.add([notification(identity=Identity.CONTENT, received_at=clock())])
        clock.advance(days=2)
        for _ in range(3):
            store.inbox.prune(KEEP)
        assert outcomes(store, given) == [Outcome.DUPLICATE]  # of the second copy, which nobody has handled yet
        store.inbox.settle(lease_one(store), Done())
        clock.advance(days=30)
        while any(numbers(store.inbox.prune(KEEP))):
            pass
        assert store.reports.rows(RowFilter(), 10).rows == []

    def test_erasing_takes_everything_but_a_tombstone(self, store: Store, clock: Clock) -> None:
        store.inbox.add([*several(3), notification(tenant=OTHER)], [letter(), letter(tenant=OTHER)])
        store.registry.put_subscription(subscription())
        assert store.inbox.erase(ACME) == 4
        assert store.reports.counts() == Counts(pending=1, running=0, done=0, dead=0, duplicates=0, dead_letters=1)
        assert store.registry.subscriptions("mindsphere") == []
        states = {row.tenant: row.state for row in store.registry.tenants()}
        assert states == {ACME: TenantState.GONE, OTHER: TenantState.ACTIVE}

    def test_totals_survive_an_erasure(self, store: Store) -> None:
        store.inbox.add([notification(), notification()])
        store.inbox.settle(lease_one(store), Done())
        store.inbox.erase(ACME)
        counts = store.reports.counts()
        assert (counts.done, counts.duplicates) == (1, 1)

    def test_erasing_an_unknown_tenant_does_nothing(self, store: Store) -> None:
        assert store.inbox.erase(ACME) == 0
        assert store.registry.tenants() == []

    def test_an_erasure_can_be_repeated(self, store: Store) -> None:
        store.inbox.add([notification()])
        assert [store.inbox.erase(ACME), store.inbox.erase(ACME)] == [1, 0]

    def test_who_works_on_an_erased_row_has_lost_the_lease(self, store: Store) -> None:
        store.inbox.add([notification()])
        attempt = lease_one(store)
        store.inbox.erase(ACME)
        assert store.inbox.settle(attempt, Done()) is False

    def test_a_tombstone_goes_after_its_age(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification()])
        store.inbox.erase(ACME)
        clock.advance(days=6)
        assert store.inbox.prune(KEEP).tenants == 0
        clock.advance(days=2)
        assert store.inbox.prune(KEEP).tenants == 1
        assert store.registry.tenants() == []
        assert outcomes(store, notification()) == [Outcome.NEW]


def numbers(pruned: Pruned) -> tuple[int, ...]:
    return dataclasses.astuple(pruned)


def subscription(topic: str = TOPIC, state: str = "active") -> SubscriptionRow:
    return SubscriptionRow(
        tenant=ACME,
        topic=topic,
        subscriber="app",
        version="v1.0.0",
        uri="https://example.com/notifications",
        state=state,
        detail="",
        updated_at=START,
    )


class RegistryContract:
    def test_a_tenants_state_changes_when_it_is_another(self, store: Store, clock: Clock) -> None:
        assert store.registry.put_tenant(ACME, TenantState.ACTIVE) is True
        assert store.registry.put_tenant(ACME, TenantState.ACTIVE) is False
        clock.advance(hours=1)
        assert store.registry.put_tenant(ACME, TenantState.LEAVING) is True
        (row,) = store.registry.tenants()
        assert (row.tenant, row.state, row.since) == (ACME, TenantState.LEAVING, clock())

    def test_the_state_of_one_tenant_is_asked_by_platform_and_name(self, store: Store) -> None:
        store.registry.put_tenant(ACME, TenantState.LEAVING)
        assert store.registry.tenant_state(ACME) == TenantState.LEAVING
        assert store.registry.tenant_state(Tenant("elsewhere", ACME.name)) == ""

    def test_credentials_count_from_when_they_were_first_seen(self, store: Store, clock: Clock) -> None:
        registry = store.registry
        assert registry.credentials_since("acmeop-app-v1.0.0") is None
        registry.see_credentials("acmeop-app-v1.0.0")
        clock.advance(days=3)
        registry.see_credentials("acmeop-app-v1.0.0")
        assert registry.credentials_since("acmeop-app-v1.0.0") == START
        assert registry.credentials_since("acmeop-app-v2.0.0") is None

    def test_renewed_credentials_count_from_then(self, store: Store, clock: Clock) -> None:
        store.registry.see_credentials("acmeop-app-v1.0.0")
        clock.advance(days=3)
        store.registry.renew_credentials("acmeop-app-v1.0.0")
        assert store.registry.credentials_since("acmeop-app-v1.0.0") == clock()
        store.registry.renew_credentials("never-seen")
        assert store.registry.credentials_since("never-seen") == clock()

    def test_a_subscription_is_replaced_by_its_tenant_topic_subscriber_and_version(
        self, store: Store, clock: Clock
    ) -> None:
        store.registry.put_subscription(subscription())
        store.registry.put_subscription(subscription("t2"))
        clock.advance(hours=1)
        store.registry.put_subscription(subscription(state="failed"))
        rows = store.registry.subscriptions("mindsphere")
        assert [(row.topic, row.state, row.updated_at) for row in rows] == [
            (TOPIC, "failed", clock()),
            ("t2", "active", START),
        ]
        assert store.registry.subscriptions("cumulocity") == []

    def test_a_removed_subscription_is_gone(self, store: Store) -> None:
        store.registry.put_subscription(subscription())
        store.registry.remove_subscription(subscription())
        assert store.registry.subscriptions("mindsphere") == []

    def test_what_is_not_in_place_is_found_whatever_its_tenant(self, store: Store) -> None:
        store.registry.put_subscription(subscription())
        store.registry.put_subscription(subscription("t2", state="failed"))
        elsewhere = dataclasses.replace(subscription("t3", state="stale"), tenant=Tenant("cumulocity", "t1"))
        store.registry.put_subscription(elsewhere)
        assert [row.topic for row in store.registry.astray(10)] == ["t3", "t2"]
        assert [row.topic for row in store.registry.astray(1)] == ["t3"]

    def test_strangers_that_were_refused_are_counted_for_no_tenant(self, store: Store, clock: Clock) -> None:
        store.registry.count_refused(3)
        store.registry.count_refused(2)
        assert store.reports.minutes(START) == [(START, Counter.REFUSED, 5)]
        assert store.reports.within([ACME]).minutes(START) == []

    def test_who_did_what_is_told_newest_first(self, store: Store, clock: Clock) -> None:
        store.registry.audit("ann (acmeop)", "pause", "topic t")
        clock.advance(minutes=1)
        store.registry.audit("cli", "resume", "topic t" * 1000)
        newest, first = store.registry.audited(10)
        assert (first.at, first.actor, first.action, first.detail) == (START, "ann (acmeop)", "pause", "topic t")
        assert (newest.at, len(newest.detail)) == (clock(), DETAIL_CHARS)
        assert store.registry.audited(1) == [newest]
        assert store.registry.audited(10, newest.id) == [first]

    def test_a_pause_lasts_until_it_is_resumed(self, store: Store) -> None:
        assert store.registry.pause("tenant", "mindsphere/custaa") is True
        assert store.registry.pause("tenant", "mindsphere/custaa") is False
        assert store.registry.pauses() == [Pause(kind="tenant", name="mindsphere/custaa", since=START)]
        assert store.registry.resume("tenant", "mindsphere/custaa") is True
        assert store.registry.resume("tenant", "mindsphere/custaa") is False
        assert store.registry.pauses() == []

    def test_a_gap_is_what_was_published_while_we_were_away_too_long(self, store: Store, clock: Clock) -> None:
        assert store.registry.heartbeat("mindsphere", 4 * DAY) is None
        clock.advance(days=4)
        assert store.registry.heartbeat("mindsphere", 4 * DAY) is None
        clock.advance(days=10)
        gap = store.registry.heartbeat("mindsphere", 4 * DAY)
        assert gap == Gap(
            tenant=None,
            platform="mindsphere",
            channel="",
            lost_from=START + 4 * DAY,
            lost_until=START + 10 * DAY,
            reason="away",
            noticed_at=clock(),
        )
        assert store.registry.gaps() == [gap]
        assert store.registry.heartbeat("mindsphere", 4 * DAY) is None

    def test_gaps_come_newest_first(self, store: Store) -> None:
        gaps = [
            Gap(
                tenant=tenant,
                platform="mindsphere",
                channel="c",
                lost_from=START,
                lost_until=START + DAY,
                reason="buffer",
                noticed_at=START,
            )
            for tenant in (ACME, None)
        ]
        for gap in gaps:
            store.registry.add_gap(gap)
        assert store.registry.gaps() == gaps[::-1]
        assert store.registry.gaps(1) == gaps[1:]

    def test_a_lock_has_one_holder_until_it_ends_or_is_released(self, store: Store, clock: Clock) -> None:
        first = store.registry.acquire("prune", "a", 10)
        assert first is not None
        assert store.registry.acquire("prune", "b", 10) is None
        assert store.registry.acquire("prune", "a", 10) == first
        clock.advance(seconds=10)
        second = store.registry.acquire("prune", "b", 10)
        assert second is not None and second > first
        store.registry.release("prune", "a")
        assert store.registry.acquire("prune", "a", 10) is None
        store.registry.release("prune", "b")
        third = store.registry.acquire("prune", "a", 10)
        assert third is not None and third > second

    def test_locks_of_other_names_are_other_locks(self, store: Store) -> None:
        assert store.registry.acquire("prune", "a", 10) is not None
        assert store.registry.acquire("register", "b", 10) is not None


class ChannelsContract:
    # what a channel remembers

    def test_a_fact_is_kept_with_its_notifications_until_another_takes_its_place(self, store: Store) -> None:
        assert store.registry.channel_fact(ACME, "c", "client") == b""
        store.inbox.add([notification("a")], facts=[fact(b"1")])
        assert store.registry.channel_fact(ACME, "c", "client") == b"1"
        store.inbox.add([notification("b")], facts=[fact(b"\x00\xff")])
        assert store.registry.channel_fact(ACME, "c", "client") == b"\x00\xff"
        assert store.reports.counts().pending == 2

    def test_a_fact_belongs_to_its_tenant_channel_and_name(self, store: Store) -> None:
        store.inbox.add([], facts=[fact()])
        others = [
            (OTHER, "c", "client"),
            (ACME, "d", "client"),
            (ACME, "c", ""),
            (Tenant("pelion", ACME.name), "c", "client"),
        ]
        assert [store.registry.channel_fact(*place) for place in others] == [b""] * 4

    def test_facts_may_come_alone_and_their_tenants_become_active(self, store: Store) -> None:
        assert store.inbox.add([], facts=[fact(), fact(tenant=OTHER)]) == []
        assert {row.tenant: row.state for row in store.registry.tenants()} == {
            ACME: TenantState.ACTIVE,
            OTHER: TenantState.ACTIVE,
        }
        assert counted(store) == {}

    def test_an_empty_value_forgets(self, store: Store) -> None:
        store.inbox.add([], facts=[fact(), fact(name="other")])
        store.inbox.add([], facts=[fact(b"")])
        assert store.registry.channel_fact(ACME, "c", "client") == b""
        assert store.registry.channel_fact(ACME, "c", "other") == b"seen"
        store.inbox.add([], facts=[fact(b"")])

    @pytest.mark.parametrize(("values", "kept"), [((b"1", b"2"), b"2"), ((b"1", b""), b""), ((b"", b"1"), b"1")])
    def test_of_several_of_one_place_the_last_stands(
        self, store: Store, values: tuple[bytes, bytes], kept: bytes
    ) -> None:
        store.inbox.add([], facts=[fact(b"before")])
        store.inbox.add([], facts=[fact(value) for value in values])
        assert store.registry.channel_fact(ACME, "c", "client") == kept

    def test_a_fact_that_grows_is_not_written_over_a_greater_one(self, store: Store) -> None:
        for value, kept in ((b"\x01", b"\x01"), (b"\x02a", b"\x02a"), (b"\x02", b"\x02a"), (b"\xff", b"\xff")):
            store.inbox.add([notification(kept.hex())], facts=[fact(value, grows=True)])
            assert store.registry.channel_fact(ACME, "c", "client") == kept
        store.inbox.add([], facts=[fact(b"", grows=True)])
        assert store.registry.channel_fact(ACME, "c", "client") == b""

    def test_of_several_that_grow_the_greatest_stands(self, store: Store) -> None:
        store.inbox.add([], facts=[fact(value, grows=True) for value in (b"1", b"3", b"2")])
        assert store.registry.channel_fact(ACME, "c", "client") == b"3"

    def test_submissions_that_share_a_commit_keep_their_order(self, store: Store) -> None:
        submissions = [
            store.inbox.submit([notification(f"n{number}")], facts=[fact(str(number).encode())])
            for number in range(50)
        ]
        assert {submission.receipts()[0].outcome for submission in submissions} == {Outcome.NEW}
        assert store.registry.channel_fact(ACME, "c", "client") == b"49"

    def test_a_batch_keeps_facts_of_many_channels(self, store: Store) -> None:
        facts = [fact(str(number).encode(), channel=f"c{number}") for number in range(300)]
        assert len(store.inbox.add(several(1_000), [letter()], facts)) == 1_000
        assert [store.registry.channel_fact(ACME, f"c{number}", "client") for number in range(300)] == [
            fact.value for fact in facts
        ]

    def test_a_fact_is_written_though_all_else_is_known_already(self, store: Store) -> None:
        store.inbox.add([notification()], facts=[fact(b"1")])
        (receipt,) = store.inbox.add([notification()], facts=[fact(b"2")])
        assert receipt.outcome is Outcome.DUPLICATE
        assert store.registry.channel_fact(ACME, "c", "client") == b"2"

    def test_notifications_and_facts_are_stored_together_or_not_at_all(self, store: Store) -> None:
        with pytest.raises(StoreUnavailable) as refusal:
            store.inbox.add([notification(source="lone \ud800 surrogate")], facts=[fact()])
        assert refusal.value.reason == "unstorable"
        assert store.registry.channel_fact(ACME, "c", "client") == b""

    def test_a_fact_has_a_largest_size(self, store: Store) -> None:
        largest = b"x" * CHANNEL_FACT_BYTES
        store.inbox.add([], facts=[fact(largest)])
        with pytest.raises(StoreUnavailable) as refusal:
            store.inbox.add([notification()], facts=[fact(largest + b"x")])
        assert refusal.value.reason == "unstorable"
        assert store.registry.channel_fact(ACME, "c", "client") == largest
        assert store.reports.counts().pending == 0

    def test_facts_of_an_erased_tenant_go_and_none_come(self, store: Store) -> None:
        store.inbox.add([], facts=[fact(), fact(tenant=OTHER)])
        store.inbox.erase(ACME)
        assert store.registry.channel_fact(ACME, "c", "client") == b""
        store.inbox.add([notification(tenant=OTHER)], facts=[fact(), fact(b"new", tenant=OTHER)])
        assert store.registry.channel_fact(ACME, "c", "client") == b""
        assert store.registry.channel_fact(OTHER, "c", "client") == b"new"

    def test_a_process_that_has_not_heard_of_the_erasure_keeps_no_facts(
        self, store: Store, url: str, clock: Clock
    ) -> None:
        store.inbox.add([notification()], facts=[fact()])
        with closing(open_store(url, clock=clock)) as another:
            another.inbox.erase(ACME)
        store.inbox.add([notification("b")], facts=[fact()])
        assert store.registry.channel_fact(ACME, "c", "client") == b""

    # how channels are

    def test_a_channel_is_kept_once_with_the_time_it_was_last_seen(self, store: Store, clock: Clock) -> None:
        store.registry.put_channels([channel(), channel("other", detail="\ud800" + "x" * 2 * DETAIL_CHARS)])
        clock.advance(seconds=5)
        now = channel(state="waiting", detail="refused", since=clock())
        store.registry.put_channels([now])
        first, second = store.registry.channels()
        assert first == dataclasses.replace(now, seen_at=clock())
        assert (second.name, second.seen_at, len(second.detail)) == ("other", START, DETAIL_CHARS)

    def test_the_last_of_equal_channels_stands(self, store: Store) -> None:
        store.registry.put_channels([channel(state="connecting"), channel(), channel(state="stopped")])
        assert [row.state for row in store.registry.channels()] == ["stopped"]

    def test_channels_come_by_tenant_channel_and_name_and_by_platform(self, store: Store) -> None:
        pelion = Tenant("pelion", "aaa")
        rows = [channel("b"), channel("B"), channel("a", channel="b"), channel(tenant=OTHER), channel(tenant=pelion)]
        store.registry.put_channels(rows[::-1])
        order = [rows[2], rows[1], rows[0], rows[3], rows[4]]
        assert store.registry.channels() == order
        assert store.registry.channels("pelion") == order[4:]
        assert store.registry.channels("mindsphere") == order[:4]
        assert store.registry.channels("cumulocity") == []

    def test_some_hundred_channels_are_put_and_removed_at_once(self, store: Store) -> None:
        rows = [channel(f"n{number:03}", tenant=Tenant("cumulocity", f"t{number % 90}")) for number in range(300)]
        store.registry.put_channels(rows)
        assert len(store.registry.channels("cumulocity")) == 300
        store.registry.remove_channels(rows[:299])
        assert store.registry.channels() == rows[299:]

    def test_a_removed_channel_leaves_the_others(self, store: Store) -> None:
        rows = [channel(), channel("other"), channel(channel="d"), channel(tenant=OTHER)]
        store.registry.put_channels(rows)
        store.registry.remove_channels([channel(), channel(tenant=Tenant("pelion", "unknown"))])
        assert store.registry.channels() == [rows[1], rows[2], rows[3]]
        assert {row.tenant for row in store.registry.tenants()} == {ACME, OTHER}

    def test_no_channels_are_nothing_to_do(self, store: Store) -> None:
        store.registry.put_channels([])
        store.registry.remove_channels([])
        assert store.registry.channels() == []

    def test_channels_of_an_erased_tenant_go_and_none_come(self, store: Store) -> None:
        store.registry.put_channels([channel(), channel(tenant=OTHER)])
        store.inbox.erase(ACME)
        store.registry.put_channels([channel(), channel("new", tenant=OTHER)])
        assert [(row.tenant, row.name) for row in store.registry.channels()] == [(OTHER, "client"), (OTHER, "new")]

    def test_what_is_left_of_a_tombstones_channels_goes_with_it(self, store: Store, clock: Clock) -> None:
        store.inbox.add([], facts=[fact()])
        store.registry.put_channels([channel()])
        store.registry.put_tenant(ACME, TenantState.GONE)  # as by an older program, which knows of no channels
        clock.advance(days=8)
        assert store.inbox.prune(KEEP).tenants == 1
        assert (store.registry.tenants(), store.registry.channels()) == ([], [])
        store.inbox.add([notification()])
        assert store.registry.channel_fact(ACME, "c", "client") == b""


class ReportsContract:
    def test_counts_are_rows_now_and_totals_that_never_fall(self, store: Store) -> None:
        store.inbox.add([*several(5), notification("n0")], [letter()])
        first, second, third, _ = lease_all(store, 4)
        store.inbox.settle(first, Done())
        store.inbox.settle(second, Done())
        store.inbox.settle(third, Dead("x"))
        expected = Counts(pending=1, running=1, done=2, dead=1, duplicates=1, dead_letters=1)
        assert store.reports.counts() == expected
        assert store.reports.counts(ACME) == expected
        assert store.reports.counts(OTHER) == Counts(
            pending=0, running=0, done=0, dead=0, duplicates=0, dead_letters=0
        )

    def test_rows_come_newest_first_page_by_page(self, store: Store) -> None:
        store.inbox.add(several(7))
        seen, before = [], None
        while True:
            page = store.reports.rows(RowFilter(), 3, before)
            seen += [row.notification.key for row in page.rows]
            if page.next is None:
                break
            before = page.next
        assert seen == [key(f"n{number}") for number in reversed(range(7))]

    def test_filters_are_exact_and_combine(self, store: Store, clock: Clock) -> None:
        store.inbox.add(
            [
                notification("a", source="s1"),
                notification("b", source="s2"),
                notification("c", source="s1", topic="t2"),
                notification("d", source="s1", tenant=OTHER),
                notification("e", source="s1", received_at=START + timedelta(hours=1)),
            ]
        )
        (attempt,) = store.inbox.lease([lane(OTHER)], 1, 30)
        store.inbox.settle(attempt, Dead("x"))
        later = START + timedelta(minutes=30)

        def names(wanted: RowFilter) -> set[str]:
            keys = {row.notification.key for row in store.reports.rows(wanted, 100).rows}
            return {name for name in "abcde" if key(name) in keys}

        assert names(RowFilter(tenant=ACME)) == set("abce")
        assert names(RowFilter(tenant=ACME, source="s1")) == set("ace")
        assert names(RowFilter(source="s1")) == set("acde")
        assert names(RowFilter(topic="t2")) == set("c")
        assert names(RowFilter(state=State.DEAD)) == set("d")
        assert names(RowFilter(state=State.DEAD, reason="x")) == names(RowFilter(reason="x")) == set("d")
        assert names(RowFilter(state=State.DEAD, reason="y")) == set()
        assert names(RowFilter(state=State.PENDING, tenant=ACME, source="s2")) == set("b")
        assert names(RowFilter(since=later)) == set("e")
        assert names(RowFilter(until=later)) == set("abcd")
        assert names(RowFilter(tenant=ACME, topic="none")) == set()

    def test_a_platform_is_a_filter_of_both_lists(self, store: Store) -> None:
        there = Tenant("cumulocity", ACME.name)
        store.inbox.add([notification("here"), notification("there", tenant=there), notification("later")])
        for wanted, names in (
            (RowFilter(platform="mindsphere"), ["here", "later"]),
            (RowFilter(platform="cumulocity"), ["there"]),
            (RowFilter(platform="cumulocity", tenant=there, state=State.PENDING), ["there"]),
            (RowFilter(platform="cumulocity", tenant=ACME), []),
            (RowFilter(platform="pelion"), []),
        ):
            newest = [row.notification.key for row in store.reports.rows(wanted, 10).rows]
            assert newest[::-1] == told(store.reports, wanted, "", 10, len(names))[0] == list(map(key, names))

    def test_an_empty_page_of_an_empty_store_has_no_next(self, store: Store) -> None:
        page = store.reports.rows(RowFilter(), 10)
        assert (page.rows, page.next, page.scanned_to) == ([], None, None)

    def test_a_row_is_found_by_tenant_and_key(self, store: Store) -> None:
        store.inbox.add([notification()])
        assert store.reports.row(ACME, key("one")) is not None
        assert store.reports.row(OTHER, key("one")) is None
        assert store.reports.row(ACME, key("two")) is None

    def test_dead_letters_come_newest_first_and_by_tenant(self, store: Store) -> None:
        store.inbox.add([], [letter(f"l{number}") for number in range(3)] + [letter(tenant=OTHER)])
        everything = store.reports.dead_letters(None, 10)
        assert [row.letter.tenant for row in everything] == [OTHER, ACME, ACME, ACME]
        own = store.reports.dead_letters(ACME, 2)
        assert [row.letter.digest for row in own] == [key("l2"), key("l1")]
        assert [row.letter.digest for row in store.reports.dead_letters(ACME, 2, own[-1].id)] == [key("l0")]

    def test_dead_letters_of_one_reason_come_newest_first(self, store: Store) -> None:
        odd = dataclasses.replace(letter("odd"), reason="too_large")
        store.inbox.add([], [letter("l0"), odd, letter("l1"), dataclasses.replace(odd, tenant=OTHER)])
        found = store.reports.dead_letters(None, 10, reason="too_large")
        assert [row.letter.tenant for row in found] == [OTHER, ACME]
        assert [row.letter.tenant for row in store.reports.dead_letters(ACME, 10, reason="too_large")] == [ACME]
        assert [row.letter.tenant for row in store.reports.dead_letters(None, 1, found[0].id, "too_large")] == [ACME]
        assert store.reports.dead_letters(None, 10, reason="none") == []

    def test_dead_rows_are_counted_by_reason_the_largest_group_first(self, store: Store, clock: Clock) -> None:
        died(store, clock, [("a", "early"), ("b", "late"), ("c", "late")])
        found = store.reports.dead_by_reason(DeadFilter())
        assert found == ByReason(
            reasons=[
                ReasonCount(
                    reason="late",
                    count=2,
                    first_at=START + timedelta(minutes=2),
                    last_at=START + timedelta(minutes=3),
                ),
                ReasonCount(
                    reason="early",
                    count=1,
                    first_at=START + timedelta(minutes=1),
                    last_at=START + timedelta(minutes=1),
                ),
            ],
            complete=True,
        )
        assert found.count == 3
        assert store.reports.dead_by_reason(DeadFilter(tenant=OTHER)) == ByReason(reasons=[], complete=True)

    @pytest.mark.parametrize("tenant", [None, ACME])
    def test_dead_rows_are_counted_in_a_time_and_of_a_reason(
        self, store: Store, clock: Clock, tenant: Tenant | None
    ) -> None:
        died(store, clock, [("a", "x"), ("b", "x"), ("c", "y"), ("d", "x")])

        def count(reason: str | None = None, since: int | None = None, until: int | None = None) -> int:
            times = [None if minute is None else START + timedelta(minutes=minute) for minute in (since, until)]
            wanted = DeadFilter(tenant=tenant, reason=reason, since=times[0], until=times[1])
            return store.reports.dead_by_reason(wanted).count

        assert [count(), count("x"), count("z")] == [4, 3, 0]
        assert [count(since=2), count(since=2, until=4), count("x", 2, 4), count(until=1)] == [3, 2, 1, 0]

    def test_counting_by_reason_looks_at_a_bounded_number_and_says_so(
        self, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        died(store, clock, [("a", "x"), ("b", "x"), ("c", "x")])
        store.inbox.add([], [letter(f"l{number}") for number in range(3)])
        monkeypatch.setattr(paging, "GROUPED_ROWS", 2)
        for found in (
            store.reports.dead_by_reason(DeadFilter()),
            store.reports.dead_by_reason(DeadFilter(tenant=ACME)),
            store.reports.letters_by_reason(),
        ):
            assert not found.complete and 2 <= found.count <= 3
        monkeypatch.setattr(paging, "GROUPED_ROWS", 3)
        assert store.reports.dead_by_reason(DeadFilter()).complete

    def test_dead_letters_are_counted_by_reason(self, store: Store) -> None:
        odd = dataclasses.replace(letter("odd", at=START + timedelta(minutes=1)), reason="too_large")
        store.inbox.add([], [letter("l0"), letter("l1"), odd, letter("l0", tenant=OTHER)])
        found = store.reports.letters_by_reason()
        assert [(one.reason, one.count) for one in found.reasons] == [("malformed", 3), ("too_large", 1)]
        assert [(one.reason, one.count) for one in store.reports.letters_by_reason(OTHER).reasons] == [
            ("malformed", 1)
        ]

    def test_a_dead_letter_is_only_found_by_its_tenant(self, store: Store) -> None:
        store.inbox.add([], [letter()])
        (row,) = store.reports.dead_letters(None, 1)
        assert store.reports.dead_letter(ACME, row.id) == row
        assert store.reports.dead_letter(OTHER, row.id) is None

    def test_the_oldest_pending_is_the_one_that_waits_longest_past_its_time(self, store: Store, clock: Clock) -> None:
        assert store.reports.oldest_pending() is None
        store.inbox.add([notification("later", topic="t1", tenant=OTHER)])
        store.inbox.settle(lease_one(store), Retry(START + timedelta(hours=1)))
        assert store.reports.oldest_pending() is None
        clock.advance(minutes=10)
        store.inbox.add([notification()])
        assert store.reports.oldest_pending() == START + timedelta(minutes=10)
        clock.advance(hours=1)
        store.inbox.settle(store.inbox.lease([lane()], 1, 30)[0], Done())
        assert store.reports.oldest_pending() == START + timedelta(hours=1)

    def test_minutes_sum_all_tenants_oldest_first(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification(), notification(tenant=OTHER)])
        clock.advance(minutes=1, seconds=30)
        store.inbox.add([notification()])
        store.inbox.settle(lease_all(store)[0], Retry(clock()))
        minute = START + timedelta(minutes=1)
        assert store.reports.minutes(START) == [
            (START, Counter.ACCEPTED, 2),
            (minute, Counter.DUPLICATE, 1),
            (minute, Counter.RETRY, 1),
        ]
        assert [found for found, _, _ in store.reports.minutes(minute)] == [minute, minute]

    def test_quarters_of_an_hour_say_the_same_before_and_after_they_are_summed(
        self, store: Store, clock: Clock
    ) -> None:
        for minute in range(0, 120, 8):
            store.inbox.add([notification(f"a{minute}"), notification(f"b{minute}", tenant=OTHER)])
            clock.advance(minutes=8)
        store.registry.count_refused(1)
        reports = [store.reports, store.reports.within([OTHER])]
        before = [one.quarters(START) for one in reports]
        assert [count for _, event, count in before[0] if event == Counter.ACCEPTED] == [4, 4, 4, 4, 4, 4, 4, 2]
        assert [count for _, event, count in before[1] if event == Counter.ACCEPTED] == [2, 2, 2, 2, 2, 2, 2, 1]
        assert before[0][-1] == (START + timedelta(hours=2), Counter.REFUSED, 1)
        store.inbox.prune(KEEP)
        assert [one.quarters(START) for one in reports] == before
        clock.advance(minutes=20)
        store.inbox.prune(KEEP)
        store.inbox.add([notification("late")])
        assert store.reports.quarters(START)[:-1] == before[0]
        later = START + timedelta(minutes=40)
        assert store.reports.quarters(later)[0] == (START + timedelta(minutes=30), Counter.ACCEPTED, 4)

    def test_what_is_summed_goes_with_its_minutes(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification()])
        clock.advance(hours=1)
        store.inbox.prune(KEEP)
        clock.advance(days=32)
        store.inbox.prune(KEEP)
        assert store.reports.quarters(START) == []

    def test_check_finds_nothing_wrong_with_a_sound_store(self, store: Store) -> None:
        store.inbox.add(several(10))
        assert [finding for finding in store.inbox.check() if not finding.ok] == []

    def test_who_may_see_some_tenants_gets_nothing_of_others(self, store: Store) -> None:
        theirs = [notification("n0", tenant=OTHER), notification("n0", tenant=OTHER)]
        store.inbox.add([*several(3), *theirs], [letter(), letter(tenant=OTHER)])
        everything = store.reports
        own = everything.within([ACME])
        (foreign,) = everything.dead_letters(OTHER, 10)
        assert own.counts() == own.counts(ACME) == everything.counts(ACME)
        assert own.counts(OTHER) == Counts(pending=0, running=0, done=0, dead=0, duplicates=0, dead_letters=0)
        assert {row.notification.tenant for row in own.rows(RowFilter(), 100).rows} == {ACME}
        assert told(own, RowFilter(), "", 100, 3)[0] == [key(f"n{number}") for number in range(3)]
        assert own.rows(RowFilter(tenant=OTHER), 100).rows == own.after(RowFilter(tenant=OTHER), "", 100).rows == []
        assert own.row(OTHER, key("n0")) is None and own.row(ACME, key("n0")) is not None
        assert [row.letter.tenant for row in own.dead_letters(None, 10)] == [ACME]
        assert own.dead_letters(OTHER, 10) == []
        assert own.dead_letter(OTHER, foreign.id) is None
        assert own.letters_by_reason().count == 1 and own.letters_by_reason(OTHER).count == 0
        assert own.dead_letters(None, 10, reason="malformed")[0].letter.tenant == ACME
        assert own.dead_by_reason(DeadFilter(tenant=OTHER)).count == 0
        assert own.minutes(START) == [(START, Counter.ACCEPTED, 3), (START, Counter.DEAD_LETTER, 1)]

    def test_who_may_see_several_tenants_sees_them_as_one_list(self, store: Store) -> None:
        third = Tenant("pelion", "custaa")
        tenants = [ACME, OTHER, third] * 3
        store.inbox.add([notification(f"n{number}", tenant=tenant) for number, tenant in enumerate(tenants)])
        store.inbox.add([], [letter(tenant=tenant) for tenant in tenants])
        some = store.reports.within([third, ACME])
        newest = [key(f"n{number}") for number in (8, 6, 5, 3, 2, 0)]
        assert [row.notification.key for row in some.rows(RowFilter(), 4).rows] == newest[:4]
        assert [row.notification.key for row in some.rows(RowFilter(source="asset-1"), 100).rows] == newest
        assert [row.notification.key for row in some.rows(RowFilter(state=State.PENDING), 100).rows] == newest
        assert told(some, RowFilter(), "", 100, 6)[0] == newest[::-1]
        assert [row.letter.tenant for row in some.dead_letters(None, 10)] == [third, ACME]
        assert some.counts().pending == 6

    def test_whose_time_has_come_is_said_of_the_tenants_in_sight(self, store: Store, clock: Clock) -> None:
        store.inbox.add([notification(tenant=OTHER)])
        clock.advance(minutes=1)
        store.inbox.add([notification()])
        assert store.reports.within([ACME]).oldest_pending() == clock()
        assert store.reports.within([]).oldest_pending() is None

    def test_what_is_in_sight_only_ever_narrows(self, store: Store) -> None:
        store.inbox.add([notification(), notification(tenant=OTHER)])
        narrow = store.reports.within([ACME]).within([ACME, OTHER])
        assert [row.notification.tenant for row in narrow.rows(RowFilter(), 10).rows] == [ACME]
        assert store.reports.within([ACME]).within([OTHER]).rows(RowFilter(), 10).rows == []

    def test_who_may_see_nobody_sees_nothing(self, store: Store) -> None:
        store.inbox.add([notification()], [letter()])
        for nobody in (store.reports.within([]), store.reports.within([Tenant("pelion", "unknown")])):
            assert nobody.rows(RowFilter(), 10).rows == nobody.after(RowFilter(), "", 10).rows == []
            assert nobody.dead_letters(None, 10) == []
            assert nobody.counts().pending == 0
            assert nobody.minutes(START) == []


def died(store: Store, clock: Clock, rows: Sequence[tuple[str, str]]) -> None:
    """Rows of the first tenant, (name, reason) each, that died a minute apart, the first after one."""
    for name, reason in rows:
        clock.advance(minutes=1)
        store.inbox.add([notification(name)])
        store.inbox.settle(lease_one(store), Dead(reason))


def told(reports: Reports, wanted: RowFilter, cursor: str, limit: int, count: int) -> tuple[list[bytes], str]:
    """Keys of the ``count`` rows behind the cursor, and of more if there are, by as many looks as that takes.

    And the last cursor. Rows may be held back for a moment while anybody's older transaction runs.
    """
    keys: list[bytes] = []
    deadline = time.monotonic() + DEADLINE_S
    while True:
        tail = reports.after(wanted, cursor, limit)
        cursor = tail.cursor
        keys += [row.notification.key for row in tail.rows]
        if not tail.rows and (len(keys) >= count or time.monotonic() > deadline):
            return keys, cursor


class TailContract:
    def test_rows_come_in_order_of_arrival_from_the_first_one_kept_on(self, store: Store) -> None:
        store.inbox.add(several(5))
        keys, cursor = told(store.reports, RowFilter(), "", 10, 5)
        assert keys == [key(f"n{number}") for number in range(5)]
        assert store.reports.after(RowFilter(), cursor, 10).rows == []

    def test_nothing_is_behind_the_end_until_something_arrives(self, store: Store) -> None:
        store.inbox.add(several(3))
        told(store.reports, RowFilter(), "", 10, 3)
        end = store.reports.end()
        assert store.reports.after(RowFilter(), end, 10).rows == []
        store.inbox.add([notification("late"), notification("n0")])
        assert told(store.reports, RowFilter(), end, 10, 1)[0] == [key("late")]

    def test_the_end_of_an_empty_store_is_a_place_as_well(self, store: Store) -> None:
        end = store.reports.end()
        assert store.reports.after(RowFilter(), end, 10).rows == []
        store.inbox.add([notification()])
        assert told(store.reports, RowFilter(), end, 10, 1)[0] == [key("one")]

    def test_whoever_goes_on_meets_every_row_once(self, store: Store) -> None:
        cursor, seen = "", []
        for number in range(4):
            store.inbox.add(several(5, prefix=f"r{number}-"))
            tail = store.reports.after(RowFilter(), cursor, 3)
            cursor, seen = tail.cursor, seen + [row.notification.key for row in tail.rows]
        rest, _ = told(store.reports, RowFilter(), cursor, 3, 20 - len(seen))
        assert seen + rest == [key(f"r{number}-{place}") for number in range(4) for place in range(5)]

    def test_one_goes_on_behind_any_row(self, store: Store) -> None:
        store.inbox.add(several(5))
        tail = store.reports.after(RowFilter(), "", 4)
        assert len(tail.behind) == 4 and tail.behind[-1] == tail.cursor and tail.more
        for place, cursor in enumerate(tail.behind):
            rest, _ = told(store.reports, RowFilter(), cursor, 10, 4 - place)
            assert rest == [key(f"n{number}") for number in range(place + 1, 5)]

    def test_a_look_says_whether_it_ended_with_what_there_is(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = store.reports.within([ACME])
        store.inbox.add(several(3))
        _, end = told(own, RowFilter(), "", 10, 3)
        store.inbox.add([notification("theirs", tenant=OTHER)])
        assert not own.after(RowFilter(), end, 10).more
        monkeypatch.setattr(paging, "SCAN_ROWS", 2)
        assert own.after(RowFilter(topic="rare"), "", 10).more

    def test_filters_are_exact_and_combine(self, store: Store) -> None:
        store.inbox.add(
            [
                notification("a", source="s1"),
                notification("b", source="s2"),
                notification("c", source="s1", topic="t2"),
                notification("d", source="s1", tenant=OTHER),
                notification("e", source="s1", received_at=START + timedelta(hours=1)),
            ]
        )
        later = START + timedelta(minutes=30)
        for wanted, names in (
            (RowFilter(tenant=ACME), "abce"),
            (RowFilter(tenant=ACME, source="s1"), "ace"),
            (RowFilter(source="s1", topic="t2"), "c"),
            (RowFilter(state=State.DONE), ""),
            (RowFilter(since=later), "e"),
            (RowFilter(until=later, tenant=ACME), "abc"),
            (RowFilter(tenant=Tenant("pelion", "unknown")), ""),
        ):
            assert told(store.reports, wanted, "", 2, len(names))[0] == [key(name) for name in names]

    def test_a_look_sees_a_bounded_number_of_rows_and_goes_on_behind_them(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(paging, "SCAN_ROWS", 10)
        store.inbox.add([*several(25), notification("rare", topic="rare"), notification(tenant=OTHER)])
        told(store.reports, RowFilter(), "", 1000, 27)
        first = store.reports.after(RowFilter(topic="rare"), "", 5)
        second = store.reports.after(RowFilter(topic="rare"), first.cursor, 5)
        third = store.reports.after(RowFilter(topic="rare"), second.cursor, 5)
        assert first.rows == second.rows == []
        assert [row.notification.key for row in third.rows] == [key("rare")]
        assert told(store.reports, RowFilter(tenant=OTHER), "", 5, 1)[0] == [key("one")]

    def test_a_look_has_a_limit_of_its_own(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(paging, "LARGEST_PAGE", 3)
        store.inbox.add(several(5))
        told(store.reports, RowFilter(), "", 1, 5)
        assert len(store.reports.after(RowFilter(), "", 1_000_000).rows) == 3

    def test_what_was_handled_or_replayed_does_not_come_again(self, store: Store) -> None:
        store.inbox.add(several(3))
        _, cursor = told(store.reports, RowFilter(), "", 10, 3)
        for attempt in lease_all(store):
            store.inbox.settle(attempt, Dead("x"))
        store.inbox.replay_dead(None, None)
        assert told(store.reports, RowFilter(), cursor, 10, 0)[0] == []

    def test_a_cursor_outlives_the_rows_before_it(self, store: Store) -> None:
        store.inbox.add([*several(3), notification("theirs", tenant=OTHER)])
        _, cursor = told(store.reports, RowFilter(), "", 10, 4)
        store.inbox.erase(ACME)
        store.inbox.add([notification("new", tenant=OTHER)])
        assert told(store.reports, RowFilter(), cursor, 10, 1)[0] == [key("new")]
        assert told(store.reports, RowFilter(), "", 10, 2)[0] == [key("theirs"), key("new")]

    @pytest.mark.parametrize("cursor", ["x", "-1", "1-", "1.5", "0x1", "٣", " 1", "1\n", "1" * 30, "1-1-1-1", "\0"])
    def test_a_cursor_that_no_store_gives_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(InvalidCursor):
            store.reports.after(RowFilter(), cursor, 10)

    def test_a_cursor_of_a_place_that_was_never_reached_is_refused(self, store: Store) -> None:
        beyond = "-".join(str(2**62) for _ in store.reports.end().split("-"))
        with pytest.raises(InvalidCursor):
            store.reports.after(RowFilter(), beyond, 10)

    def test_every_row_is_met_once_while_several_add(self, store: Store) -> None:
        def add(prefix: str) -> None:
            for number in range(40):
                store.inbox.add([notification(f"{prefix}{number}", tenant=OTHER if number % 3 else ACME)])

        adding = [threading.Thread(target=add, args=(prefix,)) for prefix in "abcd"]
        for thread in adding:
            thread.start()
        met, _ = told(store.reports, RowFilter(), "", 7, 160)
        for thread in adding:
            thread.join()
        assert len(met) == len(set(met)) == 160
