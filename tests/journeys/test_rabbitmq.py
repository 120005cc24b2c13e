"""Handing on through RabbitMQ while the broker comes and goes: everything arrives, repetitions say so by their id."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

import migrations
from emulator.processes import wait_until
from subscriber.dispatcher import Dispatcher, RetryPolicy
from subscriber.handlers import Route, keep
from subscriber.sinks import publish
from subscriber.store import Store, open_store
from tests.dispatcher.stories import notification, rows_of
from tests.journeys.rehearsal import FULL, TENANTS, TOPICS, Rehearsal
from tests.servers.rabbitmq import RabbitMQ
from tests.sinks.consuming import consume, ids

pytestmark = pytest.mark.journey

COUNT = 20_000 if FULL else 2_000
OUTAGES = 5 if FULL else 2
BURST = 200 if FULL else 40  # messages a tenant and topic
PATIENCE = 300.0
HASTE = 30  # so many times faster goes the clock by which a held route is probed once a minute


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RabbitMQ]:
    with RabbitMQ(tmp_path / "rabbitmq") as broker:
        yield broker


def hasty_clock() -> Callable[[], datetime]:
    start = datetime.now(UTC)
    return lambda: start + (datetime.now(UTC) - start) * HASTE


@contextmanager
def dispatching(store: Store, clock: Callable[[], datetime], broker: RabbitMQ) -> Iterator[None]:
    stop = threading.Event()
    with closing(publish(broker.url)) as sink:
        dispatcher = Dispatcher(
            store.inbox,
            store.registry,
            [Route(handler=keep)],
            policy=RetryPolicy(max_attempts=2, base_seconds=1, max_seconds=1),
            threads=8,
            sinks=[sink],
            clock=clock,
            lease_seconds=3600,  # by the hasty clock
        )
        running = threading.Thread(target=dispatcher.run, args=(stop,))
        running.start()
        try:
            yield
        finally:
            stop.set()
            running.join(30)


def test_a_broker_stopped_and_killed_under_load_gets_everything(tmp_path: Path, broker: RabbitMQ) -> None:
    clock = hasty_clock()
    sent = [notification(tenant=f"t{number % 5}", source=str(number % 50)) for number in range(COUNT)]
    share = COUNT // OUTAGES
    url = f"sqlite:///{tmp_path}/inbox.db"
    migrations.apply(url)
    with closing(open_store(url, clock=clock)) as store:
        with dispatching(store, clock, broker):
            for first in range(0, COUNT, share):
                store.inbox.add(sent[first : first + share])
                wait_until("half of it", partial(has_done, store, first + share // 2), PATIENCE)
                # In order at first: a node killed within a second of declaring a queue forgets the queue's log.
                (broker.kill if first else broker.stop)()
                broker.start()
            wait_until("the rest", partial(has_done, store, COUNT), PATIENCE)
        counts = store.reports.counts()
        assert (counts.pending, counts.running, counts.dead) == (0, 0, 0)
        assert {row.attempts for row in rows_of(store)} == {1}, "an outage of the broker costs no attempt"
    seen = Counter(ids(consume(broker, "notifications")))
    assert seen.keys() == {each.id for each in sent}
    repeated = seen.total() - COUNT
    print(f"{COUNT} notifications, {OUTAGES} outages, {repeated} messages came twice")
    assert repeated <= OUTAGES * 8 * 2, "no more than was under way when the broker went"


def has_done(store: Store, count: int) -> bool:
    return store.reports.counts().done >= count


def test_the_service_publishes_beside_forwarding_and_each_part_is_repeated_for_itself(
    tmp_path: Path, broker: RabbitMQ
) -> None:
    with Rehearsal(tmp_path, AMQP_URL=broker.url, AMQP_EXCHANGE="alarms") as world:
        world.start()
        world.publish_everywhere(BURST, duplicate=0.2, reorder=0.2)
        wait_until("some effects", lambda: len(world.receiver.effects) > BURST, PATIENCE)
        broker.stop()
        broker.start()
        world.settle()
        books = world.books()
        assert books.even and books.published == BURST * len(TENANTS) * len(TOPICS)
        rows = world.run("inbox", "list", "--limit", "100000")
        seen = Counter(ids(consume(broker, "alarms")))
        assert seen.keys() == {f"{row['tenant'].replace('/', '.')}.{row['key']}" for row in rows}
        assert world.counts()["dead"] == 0
        assert broker.url not in world.log() and "guest:" not in world.log()
