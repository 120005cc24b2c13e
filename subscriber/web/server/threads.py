"""The threads that answer: a fixed number, taking connections in the order they became ready.

Unlike ``concurrent.futures`` nothing is made per request, and the threads do not hold up the end of the process: a
worker that was told to leave has its own limit for that.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from subscriber.web.server.wire import Connection

logger = logging.getLogger(__name__)


class Threads:
    """Runs ``serve`` for each submitted connection. What waits is bounded by the number of connections."""

    def __init__(self, count: int, serve: Callable[[Connection], None]) -> None:
        self._ready: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._serve = serve
        for number in range(count):
            threading.Thread(target=self._work, name=f"web-{number}", daemon=True).start()

    def submit(self, connection: Connection) -> None:
        self._ready.put(connection)

    def shutdown(self, wait: bool = False) -> None:
        """Nothing to do: daemon threads end with the process. Called by gunicorn when it quits at once."""

    def _work(self) -> None:
        while True:
            connection = self._ready.get()
            try:
                self._serve(connection)
            except Exception:
                logger.exception("a connection was lost", extra={"action": "serve_failed"})
                connection.abandon()
