"""What happened on the platform, told to whoever forwards it: Notification 2.0 today, others beside it.

A change is one creation, update or deletion of one object, with the object as it is afterwards. The parts that make
changes (``inventory``, ``records``) know nothing of those that listen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from emulator.cumulocity.documents import Document


class Action(StrEnum):
    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Change:
    """One fact. ``api`` is the plural word of the interface, e.g. ``alarms``."""

    tenant: str
    api: str
    action: Action
    source: str  # id of the managed object it is about; never the id of the alarm or measurement
    document: Document  # after the change; of a deletion only ``id`` (assumed)
    type: object = None  # the member ``type`` of the object, also of a deleted one


Listener = Callable[[Change], None]


class Feed:
    """Listeners are called in the order they came, inside the change's own request."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def emit(self, change: Change) -> None:
        for listener in self._listeners:
            listener(change)


def stamp(moment: float) -> str:
    """Seconds since 1970 as the platform writes them: ``2026-01-01T00:00:01.120Z``."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
