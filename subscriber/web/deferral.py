"""Answers given after the application has returned, so that nobody waits and no thread is held.

An extension of WSGI, offered by our own server as ``environ[DEFER]``. An application that wants to answer later calls
``promise``, returns a ``Promised`` response, of which nothing is sent, and calls ``give`` once, from any thread, even
before it has returned. Why: a delivery is answered after a commit that it shares with others, and waking a thread
for each of them would cost more than the commit does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Response

from subscriber.web.answers import Answer

DEFER = "subscriber.defer"


class Promised(Response):
    """Stands for an answer that is on its way."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return ()


class Deferral:
    """One request's answer to come.

    ``ready`` is the server's: it is told, once, that the application has left and the answer can be made; it has
    ``make`` called and the answer sent by a thread of its own. ``chase`` is the application's, if it sets one: the
    server calls it, in a thread that may wait, when the answer takes long.
    """

    __slots__ = ("chase", "make", "promised", "_left", "_lock", "_ready")

    def __init__(self, ready: Callable[[], None]) -> None:
        self.promised = False
        self.chase: Callable[[], None] | None = None
        self.make: Callable[[], Answer] | None = None
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
