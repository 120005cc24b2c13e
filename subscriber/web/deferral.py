"""Answers given after the application has returned, so that nobody waits and no thread is held.

An extension of WSGI, offered by our own server as ``environ[DEFER]``. An application that wants to answer later calls
``promise``, returns without starting a response (Flask: ``Promised``), and calls ``give`` once, from any thread, even
before it has returned. Why: a delivery is answered after a commit that it shares with others, and waking a thread
for each of them would cost more than the commit does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Protocol
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Response

from subscriber.web.answers import Answer

DEFER = "subscriber.defer"


class Promised(Response):
    """Stands for an answer that is on its way."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return ()


class Line(Protocol):
    """A connection whose answer goes on; whoever was handed it owns it until ``close``. Nothing here waits."""

    ending: bytes  # what follows the last of the answer

    @property
    def stopping(self) -> bool:
        """Has the server been told to stop?"""

    def fileno(self) -> int: ...

    def framed(self, data: bytes) -> bytes:
        """``data``, which is not empty, as it goes over the network."""

    def send(self, data: bytes | bytearray) -> int:
        """How many bytes the network took, perhaps none. Raises ``OSError`` when the other side is gone."""

    def listening(self) -> bool:
        """When something can be read: False if it was the other side's end."""

    def close(self) -> None:
        """Give the connection back; the server ends it."""


class Deferral:
    """One request's answer to come.

    ``ready`` is the server's: it is told, once, that the application has left and the answer can be made; it has
    ``make`` called and the answer sent by a thread of its own. ``chase`` is the application's, if it sets one: the
    server calls it, in a thread that may wait, when the answer takes long. ``sent`` likewise: it is called when the
    answer was given to the network while the other side still listened, for all that can be seen. ``hand_over`` makes
    the answer a beginning: when its headers are sent, it is called with the line, and whoever takes it goes on.
    """

    __slots__ = ("chase", "hand_over", "make", "promised", "sent", "_left", "_lock", "_ready")

    def __init__(self, ready: Callable[[], None]) -> None:
        self.promised = False
        self.chase: Callable[[], None] | None = None
        self.make: Callable[[], Answer] | None = None
        self.sent: Callable[[], None] | None = None
        self.hand_over: Callable[[Line], None] | None = None
        self._ready = ready
        self._lock = threading.Lock()
        self._left = False

    def promise(self) -> None:
        self.promised = True

    def give(self, make: Callable[[], Answer]) -> None:
        """The answer is known. This takes no time: whoever gives it is usually busy with others' answers."""
        with self._lock:
            self.make = make
            if not self._left:
                return
        self._ready()

    def leave(self) -> None:
        """The application has returned."""
        with self._lock:
            self._left = True
            if self.make is None:
                return
        self._ready()
