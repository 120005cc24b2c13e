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

    ``keep`` is the server's: it sends the answer, in whichever thread comes last, the one that gives it or the one
    that leaves the application. ``chase`` is the application's, if it sets one: the server calls it, in a thread that
    may wait, when the answer takes long.
    """

    __slots__ = ("chase", "promised", "_answer", "_keep", "_left", "_lock")

    def __init__(self, keep: Callable[[Answer], None]) -> None:
        self.promised = False
        self.chase: Callable[[], None] | None = None
        self._keep = keep
        self._lock = threading.Lock()
        self._left = False
        self._answer: Answer | None = None

    def promise(self) -> None:
        self.promised = True

    def give(self, answer: Answer) -> None:
        with self._lock:
            self._answer = answer
            if not self._left:
                return
        self._keep(answer)

    def leave(self) -> None:
        """The application has returned."""
        with self._lock:
            self._left = True
            answer = self._answer
        if answer is not None:
            self._keep(answer)
