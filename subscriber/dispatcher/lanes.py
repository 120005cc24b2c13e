"""Which lanes come first, and which not at all. Fairness is between tenants; pauses are an operator's will."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TypeVar

from subscriber.model import Lane, Notification, Tenant
from subscriber.store import Pause

Item = TypeVar("Item", Tenant, Lane)
Pauses = frozenset[tuple[str, str]]  # (kind, name), as in ``Pause``


def lane_of(notification: Notification) -> Lane:
    return Lane(notification.tenant, notification.topic)


def pauses_of(rows: Iterable[Pause]) -> Pauses:
    return frozenset((row.kind, row.name) for row in rows)


def is_paused(lane: Lane, pauses: Pauses) -> bool:
    """Did an operator pause its tenant, its platform or its topic?"""
    kinds = (("tenant", str(lane.tenant)), ("platform", lane.tenant.platform), ("topic", lane.topic))
    return not pauses.isdisjoint(kinds)


class Rotation:
    """Remembers who was served last, so that the next turn starts behind them.

    With n active tenants and room for k rows a turn, a tenant waits at most n / k turns, whatever the others queue. A
    lane may yield nothing although it was named: its rows wait for others of their source. Such a lane costs nobody
    a place, and its tenant's next lane is the first of the next turn.
    """

    def __init__(self) -> None:
        self._last_tenant: Tenant | None = None
        self._last_lane: dict[Tenant, Lane] = {}  # the one looked at last
        self._passed_over: frozenset[Tenant] = frozenset()

    def order(self, lanes: Iterable[Lane]) -> list[Lane]:
        """One lane of each tenant, then a second one of each that has more, and so on."""
        of_tenant: dict[Tenant, list[Lane]] = {}
        for lane in sorted(lanes):
            of_tenant.setdefault(lane.tenant, []).append(lane)
        rounds = (_behind(of_tenant[tenant], self._last_lane.get(tenant)) for tenant in self._tenants(of_tenant))
        return [lane for each in zip_longest(*rounds) for lane in each if lane is not None]

    def served(self, ordered: Sequence[Lane], leased: Sequence[Lane], room: int) -> None:
        """Remember where a turn ended. It had ``room`` for rows; ``leased`` are their lanes, row by row."""
        looked_at = _looked_at(ordered, leased, room)
        had_lanes = {lane.tenant for lane in ordered}
        kept = {tenant: lane for tenant, lane in self._last_lane.items() if tenant in had_lanes}
        self._last_lane = kept | {lane.tenant: lane for lane in looked_at}
        in_turn = [lane.tenant for lane in leased if lane.tenant not in self._passed_over]
        if in_turn:
            # When everybody had a turn, start one further: the odd rows at the end then go to another each time.
            everybody = len(looked_at) == len(ordered)
            self._last_tenant = in_turn[0] if everybody else in_turn[-1]
        have_more = {lane.tenant for lane in ordered[len(looked_at) :]}
        without = {lane.tenant for lane in looked_at} - {lane.tenant for lane in leased}
        self._passed_over = frozenset(without & have_more)

    def _tenants(self, present: Iterable[Tenant]) -> list[Tenant]:
        """In the order of their turns: those passed over first."""
        in_turn = _behind(sorted(present), self._last_tenant)
        return sorted(in_turn, key=lambda tenant: tenant not in self._passed_over)


def _looked_at(ordered: Sequence[Lane], leased: Sequence[Lane], room: int) -> Sequence[Lane]:
    """The lanes a turn came to: up to where its room ended, or all of them."""
    if len(leased) < room or len(set(leased)) < len(leased):
        return ordered
    return ordered[: 1 + max(map(ordered.index, leased))]


def _behind(items: list[Item], last: Item | None) -> list[Item]:
    """The sorted items, beginning with the first one behind ``last``."""
    if last is None:
        return items
    return [item for item in items if item > last] + [item for item in items if item <= last]
