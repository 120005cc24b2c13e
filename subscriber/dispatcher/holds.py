"""Routes whose receiver is away. Nothing of a held route runs, except one probe a minute.

A hold lives in this process's memory: another process finds out by its own first attempt. Pure but for its lock:
the time comes as an argument.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

PROBE_INTERVAL = timedelta(minutes=1)  # design, section 6: one probe a minute


class Admission(Enum):
    """May a notification of the route run?"""

    RUN = auto()
    PROBE = auto()  # it may, and its result decides about the hold
    WAIT = auto()  # it may not


class Change(Enum):
    """What a report did to the route."""

    NONE = auto()
    HELD = auto()
    RELEASED = auto()


@dataclass(slots=True)
class _Hold:
    probe_at: datetime
    probing: bool = False  # a probe is on its way: no second one


class Holds:
    """Which routes are held. Routes are compared by identity; they are few, so nothing here grows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holds: dict[Hashable, _Hold] = {}

    def held(self, route: Hashable) -> bool:
        return route in self._holds

    def probe_due(self, route: Hashable, now: datetime) -> bool:
        """Is the route held, and is it time to let one notification through?"""
        with self._lock:
            hold = self._holds.get(route)
            return hold is not None and not hold.probing and hold.probe_at <= now

    def next_probe(self, route: Hashable, now: datetime) -> datetime:
        """When a notification that has to wait may be tried again; now if the route is not held any more."""
        with self._lock:
            hold = self._holds.get(route)
            if hold is None:
                return now
            return now + PROBE_INTERVAL if hold.probing else max(now, hold.probe_at)

    def admit(self, route: Hashable, now: datetime) -> Admission:
        """Ask before running. Whoever is told RUN or PROBE has to ``report``."""
        with self._lock:
            hold = self._holds.get(route)
            if hold is None:
                return Admission.RUN
            if hold.probing or hold.probe_at > now:
                return Admission.WAIT
            hold.probing = True
            return Admission.PROBE

    def report(self, route: Hashable, admission: Admission, *, away: bool, now: datetime) -> Change:
        """Tell how it went. Only the probe speaks about a hold: others may have started before the outage."""
        with self._lock:
            if route not in self._holds:
                return self._start(route, now) if away else Change.NONE
            if admission is not Admission.PROBE:
                return Change.NONE
            if away:
                self._holds[route] = _Hold(now + PROBE_INTERVAL)
                return Change.NONE
            del self._holds[route]
            return Change.RELEASED

    def _start(self, route: Hashable, now: datetime) -> Change:
        self._holds[route] = _Hold(now + PROBE_INTERVAL)
        return Change.HELD
