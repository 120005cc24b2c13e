"""What is recorded: processes that accept, handle and forget notifications through the real store.

Run as ``python -m proof.power.workload ROLE URL SEED COUNT``. Each says in the trace what it is about to do (``try``)
and what it was told is done (``ack``, ``done``, ``effect``), with the notification's number.
"""

from __future__ import annotations

import ctypes
import random
import sys
import time
from contextlib import closing
from datetime import timedelta

from subscriber.errors import SubscriberError
from subscriber.model import Done, Notification
from subscriber.store import Retention, Store, open_store
from subscriber.store.sqlite import driver
from tests.store.making import fact, notification

SOURCES = 5
BATCH = 8  # rows of one call at most
LONGEST = 3000  # bytes of a body
LOG_PAGES = 60  # the log is moved that often, so that cuts meet it; the product waits for 2,000 pages
IDLE_SECONDS = 3.0  # nothing more comes
HANDLED = "INSERT INTO effects (name) VALUES (?)"
FORGET = Retention(
    horizon=timedelta(days=7), payload=timedelta(0), dead=timedelta(days=90), tombstone=timedelta(days=7)
)


def name(seed: int, number: int) -> str:
    return f"{seed}-{number}"


def made(seed: int, number: int) -> Notification:
    """Notification ``number`` of a writer: always the same."""
    size = random.Random(f"{seed}/{number}").randint(10, LONGEST)
    body = b'{"text":"' + b"x" * size + b'"}'
    return notification(name(seed, number), source=f"asset-{number % SOURCES}", body=body)


def mark(word: str, *names: str) -> None:
    text = f"{word} {' '.join(names)}".encode()
    ctypes.CDLL(None).power_mark(text, ctypes.c_size_t(len(text)))


def accept(store: Store, seed: int, count: int) -> None:
    """Hand in ``count`` notifications, some of them twice, with facts beside them."""
    chance, number = random.Random(seed), 0
    while number < count:
        numbers = range(number, min(count, number + chance.randint(1, BATCH)))
        names = [name(seed, each) for each in numbers]
        mark("try", *names)
        for _ in range(chance.choice((1, 1, 2))):
            store.inbox.add([made(seed, each) for each in numbers], (), [fact(names[-1].encode(), name=str(seed))])
        mark("ack", *names)
        number = numbers.stop


def handle(store: Store, seed: int, _count: int) -> None:
    """Settle what there is, half of it with an effect in the same transaction, and forget bodies now and then."""
    chance, quiet_since = random.Random(seed), time.monotonic()
    while time.monotonic() - quiet_since < IDLE_SECONDS:
        for attempt in store.inbox.lease(store.inbox.lanes(), 4, 30.0):
            quiet_since = time.monotonic()
            known = attempt.notification.body
            assert known is not None
            if chance.random() < 0.5:
                store.inbox.settle(attempt, Done())
                mark("done", attempt.notification.key.hex())
                continue
            with store.inbox.settling(attempt) as settling:
                settling.cursor.execute(HANDLED, (attempt.notification.key.hex(),))
                settling.settle(Done())
            mark("effect", attempt.notification.key.hex())
        if chance.random() < 0.05:
            store.inbox.prune(FORGET, limit=50)


def main(role: str, url: str, seed: str, count: str) -> None:
    driver.LONG_LOG_PAGES = LOG_PAGES
    with closing(open_store(url)) as store:
        {"accept": accept, "handle": handle}[role](store, int(seed), int(count))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except SubscriberError as error:
        sys.exit(str(error))
