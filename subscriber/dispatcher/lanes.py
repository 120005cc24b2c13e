"""Which lanes come first, and which not at all. Fairness is between tenants; pauses are an operator's will."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TypeVar

from subscriber.model import Lane, Tenant
from subscriber.store import Pause

Item = TypeVar("Item", Tenant, Lane)
Pauses = frozenset[tuple[str, str]]  # (kind, name), as in ``Pause``


def pauses_of(rows: Iterable[Pause]) -> Pauses:
    return frozenset((row.kind, row.name) for row in rows)


def is_paused(lane: Lane, pauses: Pauses) -> bool:
    """Did an operator pause its tenant, its platform or its topic?"""
    kinds = (("tenant", str(lane.tenant)), ("platform", lane.tenant.platform), ("topic", lane.topic))
    return not pauses.isdisjoint(kinds)


class Rotation:
    """Remembers who was served last, so that the next turn starts behind them.

    With n active tenants and room for k rows a turn, a tenant waits at most n / k turns, whatever the others queue.
    """

    def __init__(self) -> None:
        self._last_tenant: Tenant | None = None
        self._last_lane: dict[Tenant, Lane] = {}

    def order(self, lanes: Iterable[Lane]) -> list[Lane]:
        """One lane of each tenant, then a second one of each that has more, and so on."""
        of_tenant: dict[Tenant, list[Lane]] = {}
        for lane in sorted(lanes):
            of_tenant.setdefault(lane.tenant, []).append(lane)
        rounds = (_behind(of_tenant[tenant], self._last_lane.get(tenant)) for tenant in self._tenants(of_tenant))
        return [lane for each in zip_longest(*rounds) for lane in each if lane is not None]

    def served(self, ordered: Sequence[Lane], rows: int) -> None:
        """``rows`` rows were leased from ``ordered``, in turns: remember where that ended."""
        reached = ordered[:rows]
        if not reached:
            return
        present = {lane.tenant for lane in ordered}
        # When everybody had a turn, start one further: the odd rows at the end then go to another each time.
        self._last_tenant = reached[0].tenant if rows >= len(present) else reached[-1].tenant
        kept = {tenant: lane for tenant, lane in self._last_lane.items() if tenant in present}
        self._last_lane = kept | {lane.tenant: lane for lane in reached}

    def _tenants(self, present: Iterable[Tenant]) -> list[Tenant]:
        return _behind(sorted(present), self._last_tenant)


def _behind(items: list[Item], last: Item | None) -> list[Item]:
    """The sorted items, beginning with the first one behind ``last``."""
    if last is None:
        return items
    return [item for item in items if item > last] + [item for item in items if item <= last]
