"""A list of tenants taken down: held against the roster, and the roster made to say so.

Reading the list is the platform's business; whom it means is ``roster``'s. Everything is written under the lock of
whoever reconciles, in small transactions, and nothing of a list that is not complete makes anybody leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from subscriber.errors import LockHeld
from subscriber.model import Tenant
from subscriber.registration.roster import Verdict, judge
from subscriber.store import Fence, Registry, RosterUpdate

BATCH = 200  # tenants whose rows are in memory at once, or written in one transaction

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What one reading of the list found; ``read_at`` is when it began."""

    verdict: Verdict
    complete: bool
    read_at: datetime


class Census:
    """Of one platform. ``host``: see ``roster.judge``."""

    def __init__(self, registry: Registry, platform: str, host: Tenant | None = None) -> None:
        self._registry = registry
        self._platform = platform
        self._host = host

    def judge(
        self, listed: Sequence[Tenant], complete: bool, read_at: datetime, *, confirmed: bool = False
    ) -> Survey:
        """What a list means; nothing is written."""
        roster = self._registry.roster(self._platform)
        verdict = judge(roster, listed, complete, self._host, confirmed=confirmed)
        return Survey(verdict=verdict, complete=complete, read_at=read_at)

    def take(self, survey: Callable[[], Survey], fence: Fence, confirmed: bool) -> Survey:
        """Read and judge the list, write down what it says; what a person ``confirmed`` needs no later list."""
        found = survey()
        self._write(found, fence)
        if confirmed and len(found.verdict.missing) > len(found.verdict.leaving):
            found = survey()
            self._write(found, fence)
        return found

    def _write(self, survey: Survey, fence: Fence) -> None:
        verdict = survey.verdict
        updates = [RosterUpdate(present=some) for some in batches(verdict.present)]
        updates += [RosterUpdate(missing=some) for some in batches(verdict.missing)]
        updates += [RosterUpdate(leaving=some) for some in batches(verdict.leaving)]
        held = all(self._registry.update_roster(self._platform, update, fence) for update in updates)
        if held and survey.complete:
            held = self._registry.close_census(self._platform, survey.read_at, len(verdict.waiting), fence)
        if not held:
            raise LockHeld(f"the lock {fence.name!r} has passed to another instance")


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """BATCH at a time, as they come."""
    source = iter(items)
    while batch := list(islice(source, BATCH)):
        yield batch
