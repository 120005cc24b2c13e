"""What a child process must not inherit.

Database connections, file locks and threads do not survive ``fork``: closing an inherited SQLite connection can undo
the parent's locks (sqlite.org/howtocorrupt.html, 2.6), and using an inherited socket mixes two conversations with a
server. So a child leaves them untouched and starts over with its own.
"""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod

_living: weakref.WeakSet[Forkable] = weakref.WeakSet()
_untouched: list[object] = []  # inherited things, referred to forever so that nobody closes them
_hooked = False


class Forkable(ABC):
    """Something with connections, locks or threads that belong to one process."""

    @abstractmethod
    def start_over(self) -> None:
        """Forget everything that belongs to a process, without closing it."""

    @abstractmethod
    def belongings(self) -> list[object]:
        """What must not be closed by a child."""

    def register(self) -> None:
        """From now on, start over in every child."""
        global _hooked
        if not _hooked:
            _hooked = True
            os.register_at_fork(after_in_child=_start_over)
        _living.add(self)


def _start_over() -> None:
    for thing in list(_living):
        _untouched.extend(thing.belongings())
        thing.start_over()
