"""What an equal key means, asked for many at once. What it means is in the contract."""

from __future__ import annotations

import random
import threading
from contextlib import closing

from subscriber.model import Done, Identity, Outcome, with_repeat
from subscriber.store import Store
from subscriber.store.postgres import open_store
from tests.store.making import Clock, key, lease_all, notification


def test_a_mixed_batch_is_answered_in_its_order(store: Store, clock: Clock) -> None:
    timed = notification("timed")
    kept, other = (notification("id", identity=Identity.ID, content=content) for content in (b"1", b"2"))
    event = notification("event", identity=Identity.CONTENT)
    store.inbox.add([timed, kept, event])
    for attempt in lease_all(store):
        store.inbox.settle(attempt, Done())
    clock.advance(minutes=2)
    receipts = store.inbox.add([event, other, timed, event, kept, notification("new")])
    assert [receipt.outcome for receipt in receipts] == [
        Outcome.NEW,
        Outcome.CONFLICT,
        Outcome.DUPLICATE,
        Outcome.DUPLICATE,
        Outcome.DUPLICATE,
        Outcome.NEW,
    ]
    assert receipts[0].key == receipts[3].key == with_repeat(key("event"), 1)


def test_content_that_is_said_again_to_several_processes_is_one_new_fact(
    url: str, store: Store, clock: Clock
) -> None:
    events = [notification(f"event{number}", identity=Identity.CONTENT) for number in range(30)]
    store.inbox.add(events)
    for attempt in lease_all(store):
        store.inbox.settle(attempt, Done())
    clock.advance(minutes=2)
    outcomes: list[Outcome] = []

    def add(seed: int) -> None:
        with closing(open_store(url, clock=clock)) as another:
            mixed = random.Random(seed).sample(events, len(events))
            outcomes.extend(receipt.outcome for receipt in another.inbox.add(mixed))

    threads = [threading.Thread(target=add, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count(Outcome.NEW), outcomes.count(Outcome.DUPLICATE)) == (30, 90)
