"""All streams of a process, told by one thread: none of the threads that answer requests waits for news.

The thread exists while there are streams. It asks the store now and then whether anything was committed, and only
then each stream for its news. Writing never waits: what the network does not take at once is kept, within a bound for
all, and a reader that takes nothing for a while is cut off; it comes back and goes on where it was.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol, cast

from subscriber.errors import Overloaded, SubscriberError
from subscriber.web.deferral import Line

logger = logging.getLogger(__name__)

MAX_STREAMS = 256  # in a process; each costs a connection and a look at the store whenever something arrives
MAX_STREAMS_OF_ONE = 32  # so that no tenant takes all
TICK_SECONDS = 0.25  # how old news may be
HELD_BYTES = 32 * 1024 * 1024  # said and not yet taken by the network; beyond, nobody is asked for news
COMPLAINT_SECONDS = 60.0  # between two lines of the log about a store that is away
RINGS = 4096  # of the bell, read at once
STALLED_SECONDS = 10.0  # without taking a byte; the kernel's own buffer is full before that counts


class Told(Protocol):
    """What is told on a stream."""

    reader: str  # the tenant it is for
    opening: bytes  # said at once, so that everybody on the way knows that the answer has begun
    ends_at: float

    def news(self) -> tuple[bytes, bool]: ...

    def sign_of_life(self) -> bytes: ...

    def silent(self, now: float, said: bytes) -> bool: ...


class Listener:
    """A stream and the line it is told on. Belongs to the thread."""

    def __init__(self, told: Told, line: Line, now: float) -> None:
        self.told = told
        self.line = line
        self.number = line.fileno()
        self.unsent = bytearray(line.framed(told.opening))
        self.behind = True  # there may be news it has not been told
        self.ending = False  # said its last word
        self.moved_at = now

    def say(self, data: bytes) -> None:
        """Not empty: in a chunked answer that would be the end."""
        self.unsent += self.line.framed(data)

    def end(self) -> None:
        if not self.ending:
            self.unsent += self.line.ending
            self.ending = True

    def send(self, now: float) -> None:
        """As much as the network takes. Raises ``OSError`` when the reader is gone."""
        if self.unsent:
            taken = self.line.send(self.unsent)
            if taken:
                self.moved_at = now
                del self.unsent[:taken]
        else:
            self.moved_at = now


class Live:
    """``end`` says where the store's arrivals end now: while it stays the same there is no news."""

    def __init__(self, end: Callable[[], str], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._end = end
        self._monotonic = monotonic
        self._seen_end = ""
        self._failing = False  # the store, as of the last look
        self._complained_at = float("-inf")
        self._arriving: SimpleQueue[Listener] = SimpleQueue()
        self._listeners: dict[int, Listener] = {}  # by file number; the thread's own
        self._lock = threading.Lock()
        self._seats: Counter[str] = Counter()  # streams by reader
        self._bell: socket.socket | None = None  # wakes the thread, while there is one

    def sit(self, reader: str) -> None:
        """Take a seat for a stream. Raises ``Overloaded``."""
        with self._lock:
            if self._seats.total() >= MAX_STREAMS or self._seats[reader] >= MAX_STREAMS_OF_ONE:
                raise Overloaded("too many streams are open", reason="streams")
            self._seats[reader] += 1

    def rise(self, reader: str) -> None:
        """Give a seat back."""
        with self._lock:
            self._seats[reader] -= 1
            if not self._seats[reader]:
                del self._seats[reader]

    def tell(self, told: Told, line: Line) -> None:
        """Go on telling on this line until the stream or the line ends; its seat is given back then."""
        self._arriving.put(Listener(told, line, self._monotonic()))
        with self._lock:
            if self._bell is None:
                self._bell, heard = socket.socketpair()
                self._bell.setblocking(False)
                threading.Thread(target=self._run, args=(heard,), name="live", daemon=True).start()
            with suppress(BlockingIOError):  # it rings already
                self._bell.send(b"!")

    def _run(self, heard: socket.socket) -> None:
        with heard, selectors.DefaultSelector() as selector:
            selector.register(heard, selectors.EVENT_READ)
            while not self._is_over():
                try:
                    self._turn(selector)
                except Exception:  # the top of a thread: a bug ends these streams, and their readers come again
                    logger.exception("streams are cut off", extra={"action": "streams_failed", "reason": "bug"})
                    for listener in list(self._listeners.values()):
                        self._dismiss(selector, listener)

    def _is_over(self) -> bool:
        """Is nobody left? Who comes from now on starts a new thread."""
        with self._lock:
            if self._listeners or not self._arriving.empty() or self._bell is None:
                return False
            self._bell.close()
            self._bell = None
            return True

    def _turn(self, selector: selectors.BaseSelector) -> None:
        """Welcome who came, tell the news, send, and see who left."""
        for key, events in selector.select(0 if self._hurried() else TICK_SECONDS):
            listener: Listener | None = key.data
            if listener is None:
                cast(socket.socket, key.fileobj).recv(RINGS)
            elif events & selectors.EVENT_READ and not listener.line.listening():
                self._dismiss(selector, listener)
        self._welcome(selector)
        self._look()
        now = self._monotonic()
        for listener in list(self._listeners.values()):
            self._attend(selector, listener, now)

    def _hurried(self) -> bool:
        """Is there something to say at once? What the network has not taken yet, the selector waits for."""
        eager = any(listener.behind and not listener.unsent for listener in self._listeners.values())
        return eager and not self._failing and self._held() < HELD_BYTES

    def _welcome(self, selector: selectors.BaseSelector) -> None:
        while True:
            try:
                listener = self._arriving.get_nowait()
            except Empty:
                return
            self._listeners[listener.number] = listener
            selector.register(listener.number, selectors.EVENT_READ, listener)

    def _look(self) -> None:
        """Has anything arrived? Then everybody may be behind."""
        try:
            end = self._end()
        except SubscriberError as error:
            self._complain(error)
            return
        self._failing = False
        if end != self._seen_end:
            self._seen_end = end
            for listener in self._listeners.values():
                listener.behind = True

    def _attend(self, selector: selectors.BaseSelector, listener: Listener, now: float) -> None:
        try:
            if not listener.unsent:
                self._tell_one(listener, now)
            listener.send(now)
        except OSError:
            self._dismiss(selector, listener)
            return
        if (listener.ending and not listener.unsent) or now - listener.moved_at >= STALLED_SECONDS:
            self._dismiss(selector, listener)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if listener.unsent else 0)
        if selector.get_key(listener.number).events != wanted:
            selector.modify(listener.number, wanted, listener)

    def _tell_one(self, listener: Listener, now: float) -> None:
        """News, or a sign of life, or the end."""
        if now >= listener.told.ends_at or listener.line.stopping:
            listener.end()
            return
        said = b""
        if listener.behind and self._held() < HELD_BYTES:
            try:
                said, listener.behind = listener.told.news()
            except SubscriberError as error:
                self._complain(error)
        if said:
            listener.say(said)
        if listener.told.silent(now, said):
            listener.say(listener.told.sign_of_life())

    def _held(self) -> int:
        return sum(len(listener.unsent) for listener in self._listeners.values())

    def _complain(self, error: SubscriberError) -> None:
        """Now and then: streams stay open, and go on when the store does."""
        self._failing = True
        now = self._monotonic()
        if now - self._complained_at >= COMPLAINT_SECONDS:
            self._complained_at = now
            logger.warning("streams wait: %s", error, extra={"action": "streams_wait", "reason": error.reason})

    def _dismiss(self, selector: selectors.BaseSelector, listener: Listener) -> None:
        if self._listeners.pop(listener.number, None) is None:
            return
        selector.unregister(listener.number)
        self.rise(listener.told.reader)
        listener.line.close()
