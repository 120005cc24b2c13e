"""One thread that publishes for many: it owns the connection, callers wait for the broker's confirmation.

The library's connections belong to one thread. Here that is an event loop, so that the messages of all callers are
under way at once and one confirmation can answer many. There is a connection only once somebody wants to publish. One
that broke is made anew at once, one that cannot be made is tried again after growing pauses as long as somebody
waits; what was unconfirmed is sent again, with the same message id. Nobody waits longer than asked for.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from pika.adapters.select_connection import IOLoop

from subscriber.errors import SinkUnavailable
from subscriber.model import Dead
from subscriber.sinks.broker import Broker, Trouble
from subscriber.sinks.link import Link, Message, Publication

logger = logging.getLogger(__name__)

MAX_CALLERS = 1024  # publications at once; a worker has some dozens of threads
BACKOFF_BASE_SECONDS = 0.1
BACKOFF_MAX_SECONDS = 2.0  # shorter than a publication waits, so that each sees an attempt
BACKOFF_DOUBLINGS = 10  # more would only count on
CLOSE_SECONDS = 0.5  # for the broker's farewell; a worker has to end within seconds
CLOSING = Trouble("this process stops")


class Publisher:
    """Its thread starts with ``start`` and ends with ``close``; then nothing more can be published through it."""

    def __init__(
        self,
        broker: Broker,
        exchange: str,
        *,
        callers: int = MAX_CALLERS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``callers`` may wait at once. ``jitter`` yields numbers from 0 up to 1."""
        self._broker = broker
        self._exchange = exchange
        self._jitter = jitter
        self._callers = callers
        self._slots = threading.BoundedSemaphore(callers)
        self._arrivals: deque[Publication] = deque()
        self._called = False  # a call of _take_in is on its way to the loop
        self._loop = IOLoop()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        # From here on, only the loop's thread.
        self._waiting: deque[Publication] = deque()
        self._link: Link | None = None
        self._next_attempt: object = None  # the timer
        self._failures = 0  # connections in a row that got nothing to the broker
        self._trouble: Trouble | None = None  # the last one, until it is over
        self._closing = False

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, but not yet the connection."""
        logging.getLogger("pika").setLevel(logging.CRITICAL)  # it tells every failure four times; we tell it once
        self._thread.start()

    def publish(self, message: Message, seconds: float) -> Dead | None:
        """From any thread. None once the broker has it, ``Dead`` if it never takes it.

        Raises ``SinkUnavailable`` when that has not come to pass within ``seconds``, or cannot.
        """
        if not self._slots.acquire(blocking=False):
            raise SinkUnavailable(f"more than {self._callers} publications at once")
        publication = Publication(message)
        try:
            self._hand_over(publication)
            outcome = publication.answer.result(seconds)
        except TimeoutError:
            self._loop.add_callback_threadsafe(partial(self._forget, publication))
            raise self._too_late(seconds) from None
        finally:
            self._slots.release()
        if isinstance(outcome, Trouble):
            raise SinkUnavailable(outcome.detail) from outcome.cause
        return outcome

    def close(self) -> None:
        """Take leave of the broker, for at most ``CLOSE_SECONDS``; whoever still waits is told that we stop."""
        self._loop.add_callback_threadsafe(self._close)
        self._thread.join(2 * CLOSE_SECONDS)

    def on_ready(self) -> None:
        """The link can send."""
        self._trouble = None
        self._go_on()

    def on_ended(self, trouble: Trouble, unconfirmed: list[Publication]) -> None:
        """The link cannot send any more, or never could."""
        proven = self._link is not None and self._link.proven
        self._link = None
        self._failures = 0 if proven else self._failures + 1
        self._waiting.extendleft(reversed(unconfirmed))
        if self._closing:
            self._loop.stop()
            return
        self._tell(trouble)
        if trouble.lasting:
            self._end_all(trouble)
        self._go_on()

    def _hand_over(self, publication: Publication) -> None:
        """Calling the loop costs a system call: one call for all that arrive before it is answered."""
        self._arrivals.append(publication)
        if not self._called:
            self._called = True
            self._loop.add_callback_threadsafe(self._take_in)

    def _too_late(self, seconds: float) -> SinkUnavailable:
        link, trouble = self._link, self._trouble
        why = trouble.detail if trouble else link.hindrance if link else f"{self._broker} was not asked yet"
        return SinkUnavailable(f"not published within {seconds:g} s: {why}")

    def _run(self) -> None:
        try:
            self._loop.start()
        except Exception:  # top of a thread: the next publication gets a new publisher
            logger.exception("publishing broke off", extra={"action": "publisher_failed"})
        finally:
            self._end_all(CLOSING)
            self._loop.close()

    def _take_in(self) -> None:
        self._called = False
        while self._arrivals:
            self._waiting.append(self._arrivals.popleft())
        self._go_on()

    def _go_on(self) -> None:
        """Send what waits, or see to a connection if there is none."""
        if self._link is None:
            if self._waiting and self._next_attempt is None:
                self._next_attempt = self._loop.call_later(self._pause(), self._connect)
            return
        while self._waiting and self._link.ready:
            self._link.send(self._waiting.popleft())

    def _pause(self) -> float:
        """Exponential with full jitter; none for the first attempt."""
        if not self._failures:
            return 0.0
        ceiling = BACKOFF_BASE_SECONDS * 2.0 ** min(self._failures, BACKOFF_DOUBLINGS)
        return min(ceiling, BACKOFF_MAX_SECONDS) * self._jitter()

    def _connect(self) -> None:
        self._next_attempt = None
        if self._waiting and not self._closing:
            self._link = Link(self._broker, self._exchange, self._loop, self)

    def _tell(self, trouble: Trouble) -> None:
        """Once for each kind of trouble, until it is over."""
        if self._trouble is None or self._trouble.detail != trouble.detail:
            logger.warning("%s", trouble.detail, extra={"action": "broker_lost"})
        self._trouble = trouble

    def _forget(self, publication: Publication) -> None:
        """Its caller has gone."""
        if publication in self._waiting:
            self._waiting.remove(publication)
        elif self._link is not None:
            self._link.forget(publication)

    def _end_all(self, trouble: Trouble) -> None:
        for queue in (self._waiting, self._arrivals):
            while queue:
                queue.popleft().end(trouble)

    def _close(self) -> None:
        self._closing = True
        if self._link is None:
            self._loop.stop()
            return
        self._loop.call_later(CLOSE_SECONDS, self._link.cut)
        self._link.close()
