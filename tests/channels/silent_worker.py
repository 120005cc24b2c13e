"""A worker that stores frames and never learns of it, so acknowledges nothing: to be killed.

python -m tests.channels.silent_worker ADDRESS DATABASE_URL
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from subscriber.channels.cumulocity import line
from subscriber.channels.runner import running
from subscriber.metrics import Metrics
from subscriber.model import DeadLetter, Notification
from subscriber.services import utc_now
from subscriber.store import ChannelFact, Inbox, Submission, open_store
from tests.channels.working import consumer


class Silent:
    """A submission that says nothing when it is done."""

    def when_done(self, callback: Callable[[], None]) -> None:
        """Never."""


class SilentInbox:
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def submit(
        self,
        notifications: Sequence[Notification],
        dead_letters: Sequence[DeadLetter] = (),
        facts: Sequence[ChannelFact] = (),
    ) -> Submission:
        self._inbox.submit(notifications, dead_letters, facts)
        return cast(Submission, Silent())


def main(url: str, database: str) -> None:
    store = open_store(database)
    deaf = replace(store, inbox=cast(Inbox, SilentInbox(store.inbox)))
    with running([line(lambda: [consumer(url)], lambda _: None)], deaf, Metrics(), utc_now, threading.Event()):
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
