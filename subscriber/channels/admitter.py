"""All channels' frames into the store, as few and large submissions, one after another.

Channels hand in bursts. What waits when a submission ends goes into the next one together, so the busier the
channels, the more share a commit. Each begins in the store's own thread at the moment the one before it has
committed: the event loop may be busy with reading just then, and the store would stand idle.

Submissions follow one another, in the order of bursts, and one that failed, were it by a bug, is made again before
any other. So no failure can turn the order of a source round, or leave a channel with a memory of frames that were
not stored.

While the store cannot take anything, channels stop reading once they hold a window of frames, or all together
``PENDING_BYTES``. Nothing is acknowledged that is not stored.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from subscriber.errors import SubscriberError, place_of
from subscriber.model import DeadLetter, Notification, Outcome, Receipt
from subscriber.store import ChannelFact, Inbox, Submission

logger = logging.getLogger(__name__)

# Rows of a submission that takes no more bursts. Larger ones leave less to be read while they are committed, smaller
# ones wait for the disk more often; measured on one channel.
ENOUGH_ROWS = 400
WINDOW_FRAMES = 1000  # of one channel; the platform has no more unacknowledged ones out (consumer protocol)
PENDING_BYTES = 64 << 20  # of all channels together; 1,000 of them would hold 600 MB of full windows
OVERDUE_SECONDS = 6.0  # a submission's turn comes within 5 s or never (``store.Submission``)
RETRY_BASE_SECONDS = 0.2
RETRY_CEILING_SECONDS = 15.0
RETRY_DOUBLINGS = 7  # more than the base needs to pass the ceiling
UNSTORABLE = "unstorable"  # reason of a store error: these values will never be stored


@dataclass(slots=True, eq=False)
class Lane:
    """One channel's part in what waits. ``platform`` is for counting."""

    platform: str
    frames: int = 0  # handed in and not stored yet
    stored: int = 0  # frames so far


@dataclass(slots=True, kw_only=True, eq=False)
class Burst:
    """What came together on one channel. ``committed`` is called once all of it is stored."""

    lane: Lane
    notifications: Sequence[Notification] = ()
    dead_letters: Sequence[DeadLetter] = ()
    facts: Sequence[ChannelFact] = ()
    frames: int = 0  # of its lane's window
    repetitions: int = 0  # frames of which nothing is left: they were stored before
    size: int = 0  # bytes of these
    committed: Callable[[], None] = lambda: None
    alone: bool = False  # suspected of what can never be stored: shares a submission with nobody

    @property
    def rows(self) -> int:
        return len(self.notifications) + len(self.dead_letters)


@dataclass(slots=True, eq=False)
class Flight:
    """A submission on its way."""

    bursts: Sequence[Burst]
    submission: Submission | None = None
    begun_at: float = 0.0  # the event loop's time
    failures: int = 0
    over: bool = False  # its outcome has been taken

    def notifications(self) -> list[Notification]:
        return [notification for burst in self.bursts for notification in burst.notifications]

    def dead_letters(self) -> list[DeadLetter]:
        return [letter for burst in self.bursts for letter in burst.dead_letters]

    def facts(self) -> list[ChannelFact]:
        """Only the last of each place: it stands for those before it."""
        last = {(fact.tenant, fact.channel, fact.name): fact for burst in self.bursts for fact in burst.facts}
        return list(last.values())


class Admitter:
    """Belongs to one event loop; ``run`` works until cancelled. ``counted`` is told platform, outcome and number."""

    def __init__(
        self,
        inbox: Inbox,
        counted: Callable[[str, str, int], None],
        *,
        jitter: Callable[[], float] = random.random,
        pending_bytes: int = PENDING_BYTES,
        retry_base_seconds: float = RETRY_BASE_SECONDS,
        overdue_seconds: float = OVERDUE_SECONDS,
    ) -> None:
        self._inbox = inbox
        self._counted = counted
        self._jitter = jitter
        self._limit = pending_bytes
        self._retry_base = retry_base_seconds
        self._overdue = overdue_seconds
        self._loop = asyncio.get_running_loop()
        self._relief = asyncio.Event()
        self._bytes = 0
        self._waiting: deque[Burst] = deque()
        self._mutex = threading.Lock()  # guards what follows: the store's thread takes part
        self._flight: Flight | None = None
        self._closed = False

    def put(self, burst: Burst) -> None:
        """Hand in a burst; it is stored after all that was handed in before."""
        burst.lane.frames += burst.frames
        self._bytes += burst.size
        self._waiting.append(burst)
        self._go_on(None)

    def full(self, lane: Lane) -> bool:
        """Must this channel stop reading?"""
        return lane.frames >= WINDOW_FRAMES or self._bytes >= self._limit

    async def room(self, lane: Lane) -> None:
        """Wait until this channel may read on."""
        while self.full(lane):
            await self._relief.wait()

    async def stored(self, lane: Lane) -> None:
        """Wait until all that was handed in on this lane is stored."""
        while lane.frames:
            await self._relief.wait()

    async def run(self) -> None:
        """Ask after submissions whose turn does not come; the others tell by themselves."""
        try:
            while True:
                await asyncio.sleep(self._overdue / 4)
                flight = self._flight
                if flight and flight.submission and self._loop.time() - flight.begun_at >= self._overdue:
                    await asyncio.to_thread(self._done, flight, flight.submission)
        finally:
            with self._mutex:
                self._closed = True

    # In the event loop or the store's thread.

    def _go_on(self, ended: Flight | None) -> None:
        """Begin the next submission if ``ended`` was the one before it, and something waits."""
        with self._mutex:
            if self._closed or self._flight is not ended:
                return
            self._flight = flight = Flight(self._gather()) if self._waiting else None
        if flight is not None:
            self._submit(flight)

    def _gather(self) -> Sequence[Burst]:
        bursts: list[Burst] = []
        rows = 0
        while self._waiting and rows < ENOUGH_ROWS:
            if self._waiting[0].alone and bursts:
                break
            bursts.append(self._waiting.popleft())
            rows += bursts[-1].rows
            if bursts[-1].alone:
                break
        return bursts

    def _submit(self, flight: Flight) -> None:
        flight.begun_at, flight.over = self._loop.time(), False
        try:
            submission = self._inbox.submit(flight.notifications(), flight.dead_letters(), flight.facts())
        except Exception as error:  # at the top of the store's thread, or in a channel that could do nothing about it
            self._tell(self._failed, flight, error)
            return
        flight.submission = submission
        submission.when_done(partial(self._done, flight, submission))

    def _done(self, flight: Flight, submission: Submission) -> None:
        """Take the outcome, once: the store tells it, and it may have been asked for at the same moment."""
        try:
            receipts = submission.receipts()
        except Exception as error:  # the top of a thread: whatever it is, nothing follows until this is stored
            if self._take(flight):
                self._tell(self._failed, flight, error)
            return
        if self._take(flight):
            self._go_on(flight)  # first: to tell gives the interpreter's lock away, and the store would stand idle
            self._tell(self._finish, flight, receipts)

    def _take(self, flight: Flight) -> bool:
        with self._mutex:
            mine, flight.over = not flight.over, True
            if mine:
                flight.submission = None
            return mine

    def _tell(self, what: Callable[..., None], *about: object) -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody is left to acknowledge anything
            self._loop.call_soon_threadsafe(what, *about)

    # In the event loop.

    def _finish(self, flight: Flight, receipts: Sequence[Receipt]) -> None:
        remaining = iter(receipts)
        for burst in flight.bursts:
            burst.lane.frames -= burst.frames
            burst.lane.stored += burst.frames
            self._bytes -= burst.size
            self._count(burst, islice(remaining, len(burst.notifications)))
        self._relief.set()
        self._relief.clear()  # whoever waits now goes on, when this is through; who comes later waits for the next
        for burst in flight.bursts:
            burst.committed()  # last: if one fails, it costs acknowledgements, and nobody waits for ever

    def _count(self, burst: Burst, receipts: Iterable[Receipt]) -> None:
        counts = Counter[str](receipt.outcome for receipt in receipts)
        counts["dead_letter"] = len(burst.dead_letters)
        counts[Outcome.DUPLICATE] += burst.repetitions
        for outcome, count in counts.items():
            if count:
                self._counted(burst.lane.platform, outcome, count)

    def _failed(self, flight: Flight, error: Exception) -> None:
        culprits = any(burst.rows or burst.facts for burst in flight.bursts)
        if isinstance(error, SubscriberError) and error.reason == UNSTORABLE and culprits:
            self._waiting.extendleft(reversed([piece for burst in flight.bursts for piece in _pieces(burst, error)]))
            self._go_on(flight)
            return
        ceiling = min(RETRY_CEILING_SECONDS, self._retry_base * 2.0 ** min(flight.failures, RETRY_DOUBLINGS))
        flight.failures += 1
        self._report(flight, error)
        self._loop.call_later(ceiling * (0.5 + self._jitter() / 2), self._submit, flight)

    def _report(self, flight: Flight, error: Exception) -> None:
        """A bug is told with its place and without its words, in which there may be a payload."""
        waits, extra = "what channels brought waits for the store", {"action": "channels_unstored"}
        if isinstance(error, SubscriberError):
            logger.warning(waits, extra={**extra, "reason": error.reason, "attempt": flight.failures})
            return
        about = {**extra, "reason": type(error).__name__, "attempt": flight.failures}
        logger.error("%s, which has a bug:\n%s", waits, place_of(error), extra=about)


def _pieces(burst: Burst, error: SubscriberError) -> list[Burst]:
    """A burst in which something can never be stored, taken apart: each thing alone, then what waits for them.

    What is alone already is the culprit. Of a notification we keep that it came; a letter, or a channel's memory, is
    left out: waiting for it would hold up all channels for ever.
    """
    alone = partial(Burst, lane=burst.lane, alone=True)
    if not burst.alone:
        return [
            *(alone(notifications=(one,)) for one in burst.notifications),
            *(alone(dead_letters=(one,)) for one in burst.dead_letters),
            *(alone(facts=(one,)) for one in burst.facts),
            replace(burst, notifications=(), dead_letters=(), facts=()),
        ]
    if burst.notifications:
        return [alone(dead_letters=[_unstorable(one, error) for one in burst.notifications])]
    what = "a dead letter" if burst.dead_letters else "what a channel remembers"
    extra = {"action": "channels_left_out", "platform": burst.lane.platform, "reason": error.reason}
    logger.error("%s is left out: %s", what, error.detail, extra=extra)
    return []


def _unstorable(notification: Notification, error: SubscriberError) -> DeadLetter:
    return DeadLetter(
        tenant=notification.tenant,
        reason=error.reason,
        detail=error.detail,
        digest=notification.key,
        body=notification.body,
        key=notification.key,
        buried_at=notification.received_at,
    )
