"""Making changes: each alone, each remembered before the next, none begun after the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from subscriber.errors import PlatformRefused, PlatformUnavailable, StoreUnavailable
from subscriber.model import Tenant
from subscriber.registration.apply import CEILING, OUTAGE_CALLS, REPORTED_FAILURES, Applied, Applier
from subscriber.registration.broker import Broker
from subscriber.registration.plan import Change, Keep, Subscribe, Subscription, Unsubscribe
from subscriber.store import Fence, Store
from tests.registration.conftest import ASSETS, CUSTAA, EVENTS, remembered, row, subscription


class SmallBroker(Broker):
    """Answers what the test says; counts what was asked and how many calls ran at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Subscription]] = []
        self.errors: dict[str, Exception] = {}  # by tenant or topic
        self.missing = False
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        self.meet: threading.Barrier | None = None

    def _ask(self, verb: str, wanted: Subscription) -> None:
        with self._lock:
            self.asked.append((verb, wanted))
            self._now += 1
            self.most = max(self.most, self._now)
        if self.meet:
            self.meet.wait(10)
        with self._lock:
            self._now -= 1
        for name in (wanted.tenant.name, wanted.topic, wanted.version):
            if name in self.errors:
                raise self.errors[name]

    def subscribe(self, subscription: Subscription) -> None:
        self._ask("subscribe", subscription)

    def holds(self, subscription: Subscription) -> bool:
        self._ask("holds", subscription)
        return not self.missing

    def unsubscribe(self, subscription: Subscription) -> None:
        self._ask("unsubscribe", subscription)


@pytest.fixture
def broker() -> SmallBroker:
    return SmallBroker()


def refused(status: int = 403) -> PlatformRefused:
    return PlatformRefused("no", reason="broker_refused", upstream_status=status)


def tenant(number: int) -> Tenant:
    return Tenant("mindsphere", f"c{number:04}")


def news(count: int) -> Iterator[Sequence[Change]]:
    return ([Subscribe(subscription(tenant(number)), "new")] for number in range(count))


def applier(broker: Broker, store: Store, **more: object) -> Applier:
    return Applier(broker.perform, store.registry, **{"stop": threading.Event(), **more})  # type: ignore[arg-type]


def test_many_tenants_are_served_at_once_and_no_more_than_the_ceiling(broker: SmallBroker, store: Store) -> None:
    broker.meet = threading.Barrier(CEILING)
    work = applier(broker, store)
    work.run(news(2 * CEILING))
    assert (broker.most, len(broker.asked)) == (CEILING, 2 * CEILING)
    assert work.report.ok and work.report.outcomes == {"done": 2 * CEILING}


def test_changes_are_taken_as_threads_come_free(broker: SmallBroker, store: Store) -> None:
    taken: list[int] = []

    def groups() -> Iterator[Sequence[Change]]:
        for number, group in enumerate(news(3 * CEILING)):
            taken.append(number)
            assert len(taken) <= len(broker.asked) + CEILING
            yield group

    applier(broker, store).run(groups())
    assert len(taken) == 3 * CEILING


def test_each_answer_is_remembered_before_the_tenant_s_next_call(broker: SmallBroker, store: Store) -> None:
    seen: list[int] = []
    group = [Subscribe(subscription(topic=f"t{number}"), "new") for number in range(5)]
    ask = broker._ask

    def looking(verb: str, wanted: Subscription) -> None:
        seen.append(len(store.registry.subscriptions("mindsphere")))
        ask(verb, wanted)

    broker._ask = looking  # type: ignore[method-assign]
    applier(broker, store).run_one(group)
    assert seen == [0, 1, 2, 3, 4]


def test_a_refused_topic_fails_alone_and_is_told_with_its_cause(broker: SmallBroker, store: Store) -> None:
    broker.errors[ASSETS] = refused(404)
    work = applier(broker, store)
    work.run(iter([[Subscribe(subscription(topic=topic), "new") for topic in (ASSETS, EVENTS)]]))
    assert remembered(store) == {("custaa", ASSETS): "failed", ("custaa", EVENTS): "active"}
    assert [(one.change.subscription.topic, one.detail) for one in work.report.failures] == [(ASSETS, "no")]
    assert not work.report.ok


def test_a_call_without_an_answer_teaches_nothing(broker: SmallBroker, store: Store) -> None:
    store.registry.put_subscription(row(subscription()))
    broker.errors[EVENTS] = PlatformUnavailable("gone")
    work = applier(broker, store)
    work.run(iter([[Keep(subscription())], [Subscribe(subscription(tenant(1)), "new")]]))
    assert remembered(store) == {("custaa", EVENTS): "active"}
    assert work.report.outcomes == {"unanswered": 2} and not work.report.ok


def test_what_is_kept_is_asked_about_and_made_anew_where_it_is_missing(broker: SmallBroker, store: Store) -> None:
    work = applier(broker, store)
    work.run_one([Keep(subscription())])
    assert [verb for verb, _ in broker.asked] == ["holds"] and work.report.repaired == 0
    broker.missing = True
    work.run_one([Keep(subscription())])
    assert [verb for verb, _ in broker.asked] == ["holds", "holds", "subscribe"] and work.report.repaired == 1


def test_what_is_removed_is_forgotten(broker: SmallBroker, store: Store) -> None:
    store.registry.put_subscription(row(subscription()))
    applier(broker, store).run_one([Unsubscribe(subscription(), "topic")])
    assert remembered(store) == {}


@pytest.mark.parametrize("status", [401, 403])
def test_what_these_credentials_cannot_remove_stays_as_stale(broker: SmallBroker, store: Store, status: int) -> None:
    broker.errors[EVENTS] = refused(status)
    work = applier(broker, store)
    work.run_one([Unsubscribe(subscription(), "version")])
    assert remembered(store) == {("custaa", EVENTS): "stale"} and work.report.ok


def test_an_older_version_stays_until_the_tenant_s_new_one_is_in_place(broker: SmallBroker, store: Store) -> None:
    broker.errors["v1.5.0"] = refused(404)
    group = [Subscribe(subscription(version="v1.5.0"), "new"), Unsubscribe(subscription(), "version")]
    applier(broker, store).run_one(group)
    assert [verb for verb, _ in broker.asked] == ["subscribe"]
    broker.errors.clear()
    applier(broker, store).run_one(group)
    assert [verb for verb, _ in broker.asked[1:]] == ["subscribe", "unsubscribe"]


def test_a_platform_that_is_away_is_not_asked_for_every_tenant(broker: SmallBroker, store: Store) -> None:
    broker.errors[EVENTS] = PlatformUnavailable("gone")
    work = applier(broker, store)
    work.run(news(1000))
    assert work.report.cut_short == "platform_away"
    assert OUTAGE_CALLS <= len(broker.asked) <= OUTAGE_CALLS + CEILING


def test_nothing_is_begun_after_a_stop(broker: SmallBroker, store: Store) -> None:
    stop = threading.Event()
    stop.set()
    work = applier(broker, store, stop=stop)
    work.run(news(5))
    assert (broker.asked, work.report.cut_short, work.report.ok) == ([], "stopped", False)


def test_whoever_lost_the_lock_writes_nothing_and_ends(broker: SmallBroker, store: Store) -> None:
    number = store.registry.acquire("registration", "me", 60)
    assert number is not None
    store.registry.release("registration", "me")
    store.registry.acquire("registration", "another", 60)
    work = applier(broker, store, fence=Fence(name="registration", holder="me", number=number))
    work.run(news(1000))
    assert (work.report.cut_short, remembered(store)) == ("lock_lost", {})
    assert len(broker.asked) <= CEILING


def test_an_error_of_the_store_ends_it_and_is_raised(broker: SmallBroker, store: Store) -> None:
    store.close()
    with pytest.raises(StoreUnavailable):
        applier(broker, store).run(news(1000))
    assert len(broker.asked) <= CEILING


def test_every_result_is_told_one_at_a_time(broker: SmallBroker, store: Store) -> None:
    told: list[Applied] = []
    applier(broker, store, observe=told.append).run(news(50))
    assert len(told) == 50 and all(one.ok for one in told)


def test_failures_are_counted_all_and_kept_up_to_a_limit(
    broker: SmallBroker, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    broker.errors[EVENTS] = refused(404)
    work = applier(broker, store)
    work.run(news(REPORTED_FAILURES + 50))
    assert work.report.outcomes["failed"] == REPORTED_FAILURES + 50
    assert len(work.report.failures) == len(caplog.records) == REPORTED_FAILURES


def test_a_tenant_erased_meanwhile_leaves_no_row(broker: SmallBroker, store: Store) -> None:
    store.registry.put_tenant(CUSTAA, "gone")
    applier(broker, store).run_one([Subscribe(subscription(), "new")])
    assert remembered(store) == {}
