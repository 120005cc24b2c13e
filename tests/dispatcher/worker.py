"""A worker process that dies: ``python -m tests.dispatcher.worker URL SEED``.

Works off the inbox at ``URL`` with an ordered, transactional route. At random its handler raises, asks for another
attempt, or kills the process without a word: before it writes, or after, in the middle of its transaction.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading

from subscriber.dispatcher import Dispatcher, RetryPolicy
from subscriber.handlers import Retry, Route
from subscriber.model import Notification
from subscriber.routes import Answer, RunningAttempt
from subscriber.store import open_store
from tests.dispatcher.stories import Effects

LEASE_SECONDS = 1.0  # how long a killed process delays what it had
POLICY = RetryPolicy(max_attempts=1000, base_seconds=0.01, max_seconds=0.05)
FATES = {"done": 78, "error": 8, "retry": 8, "killed_before": 3, "killed_after": 3}


class Handler:
    """Writes one effect for each notification, when it is let."""

    def __init__(self, effects: Effects, seed: int) -> None:
        self._effects = effects
        self._random = random.Random(seed)

    def __call__(self, notification: Notification, attempt: RunningAttempt) -> Answer:
        fate = self._random.choices(list(FATES), list(FATES.values()))[0]
        if fate == "killed_before":
            os.kill(os.getpid(), signal.SIGKILL)
        self._effects.write(attempt.cursor, notification.source, notification.key.hex())
        if fate == "killed_after":
            os.kill(os.getpid(), signal.SIGKILL)
        if fate == "error":
            raise ValueError("at random")
        return Retry(None, "again") if fate == "retry" else None


def main(url: str, seed: int) -> None:
    store = open_store(url)
    routes = [Route(handler=Handler(Effects(url), seed), ordered=True, transactional=True)]
    work = Dispatcher(store.inbox, store.registry, routes, policy=POLICY, threads=4, lease_seconds=LEASE_SECONDS)
    stop = threading.Event()
    thread = threading.Thread(target=work.run, args=(stop,))
    thread.start()
    while store.reports.counts().pending + store.reports.counts().running:
        stop.wait(0.05)
    stop.set()
    thread.join()
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
