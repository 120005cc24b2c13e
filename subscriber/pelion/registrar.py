"""Brings channels, presubscriptions and observed resources to what is configured.

One instance at a time runs, under a lock whose number the store checks with every write; each answer is remembered
before the next call, so a run that was cut off goes on where it ended. A channel or device that is refused is refused
alone, and told with its likely cause. The channels themselves are looked at in every run, their subscriptions when
that is due, or when somebody wants to know.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.model import PELION, Tenant
from subscriber.pelion.applications import Address, Applications
from subscriber.pelion.plan import (
    CHANNEL,
    RULES,
    Actual,
    devices_due,
    is_due,
    loss,
    of_channel,
    of_resource,
    plan,
    removals,
    tenant_of,
)
from subscriber.pelion.standing import Standing
from subscriber.platforms.pelion.rules import CALLBACK
from subscriber.registration.apply import Applier, Observe, Report
from subscriber.registration.census import Survey
from subscriber.registration.lock import locked
from subscriber.registration.plan import Change, Keep, Subscribe
from subscriber.registration.reconciler import Run
from subscriber.registration.roster import Verdict
from subscriber.settings import PelionChannel
from subscriber.store import Clock, Fence, Registry, SubscriptionRow, TenantState

logger = logging.getLogger(__name__)

LOCK = "registration:pelion"
ASKED_AT_ONCE = 8  # calls of one kind at a time, of all channels: no limit is published

Group = Sequence[Change]


class Registrar:
    """Of the configured channels. Methods raise store errors; failures of single channels are in the report.

    ``by_hand``: a person has seen the plan, so everything is asked about, and what is not configured any more goes.
    """

    platform = PELION

    def __init__(
        self,
        channels: Iterable[PelionChannel],
        applications: Applications,
        standing: Standing,
        registry: Registry,
        address: Address,
        *,
        by_hand: bool,
        stop: threading.Event,
        clock: Clock,
    ) -> None:
        """``stop`` ends work between two calls. ``clock`` is the store's."""
        self._channels = {tenant_of(channel.name): channel for channel in channels}
        self._applications = applications
        self._standing = standing
        self._registry = registry
        self._address = address
        self._by_hand = by_hand
        self._stop = stop
        self._clock = clock

    def survey(self, *, confirmed: bool = False, only: Tenant | None = None) -> Survey:
        """Whose channels are configured. Nobody is asked: the list is our own, so nobody leaves by it."""
        gone = {one for one in self._channels if self._registry.tenant_state(one) == TenantState.GONE}
        verdict = Verdict(
            served=[one for one in self._channels if one not in gone],
            present=(),
            missing=(),
            leaving=(),
            waiting=(),
            erased=sorted(gone),
            departed=frozenset(gone),
        )
        return Survey(verdict=verdict, complete=True, read_at=self._clock())

    def changes(self, survey: Survey, only: Tenant | None = None) -> Iterator[Change]:
        """What a run would change, for all channels or one. Nothing is written; what is kept is no change."""
        served = [tenant for tenant in survey.verdict.served if only in (None, tenant)]
        for group in self._groups(served, frozenset(served)):
            yield from (change for change in group if not isinstance(change, Keep))

    def loses(self, change: Change) -> str:
        """What is lost by a change, in words; empty: nothing."""
        tenant = change.subscription.tenant
        rules = isinstance(change, Subscribe) and change.subscription.topic == RULES
        return loss(change, self._rows([tenant]).get(tenant, ()) if rules else ())

    def run(
        self,
        *,
        confirmed: bool = False,
        observe: Observe | None = None,
        thoroughly: Collection[Tenant] = (),
    ) -> Run:
        """One whole run; of the channels ``thoroughly``, everything is asked about. Raises ``LockHeld``."""
        lost = threading.Event()
        with locked(self._registry, LOCK, lost) as fence:
            survey = self.survey()
            applier = self._applier(observe, fence, lost)
            self._bring(applier, survey.verdict.served, thoroughly)
            if applier.report.ok:
                self._registry.close_reconciliation(PELION, fence)
        _log(applier.report)
        return Run(survey=survey, report=applier.report)

    def register(self, tenant: Tenant, observe: Observe | None = None) -> Report:
        """Bring one channel in order now. Needs no lock: what is made twice is found."""
        applier = self._applier(observe)
        self._bring(applier, [tenant], [tenant])
        return applier.report

    def repeat(self, tenant: Tenant, ep: str) -> Report:
        """Observe a device's configured resources again: it has registered anew, which ended what was observed."""
        channel = self._channels[tenant]
        paths = [path for one in channel.subscriptions if one.ep == ep for path in one.paths]
        applier = self._applier(None)
        applier.run_one([Subscribe(of_resource(channel.name, ep, path), "again") for path in paths])
        return applier.report

    def registered(self, only: Tenant | None = None) -> Iterator[Change]:
        """What ``unregister`` would remove: all that is remembered."""
        for group in self._removals(only):
            yield from group

    def unregister(self, only: Tenant | None = None, observe: Observe | None = None) -> Report:
        """Remove what is observed, then the rules, then the channel. Raises ``LockHeld``."""
        lost = threading.Event()
        with locked(self._registry, LOCK, lost) as fence:
            applier = self._applier(observe, fence, lost)
            applier.run(self._removals(only))
        return applier.report

    def close(self) -> None:
        """Let go of all connections."""
        self._applications.close()

    def _bring(self, applier: Applier, tenants: Sequence[Tenant], thoroughly: Collection[Tenant]) -> None:
        """Channels and rules first, then what is observed: its first values come through the channel."""
        groups = [[change for change in group if _worth(change)] for group in self._groups(tenants, thoroughly)]
        applier.run(iter([[change for change in group if not _of_device(change)] for group in groups]))
        applier.run(iter([part for group in groups for part in _by_device(group)]))
        for tenant in tenants if self._by_hand else thoroughly:
            self._note_account(tenant)

    def _groups(self, tenants: Sequence[Tenant], thoroughly: Collection[Tenant]) -> Iterator[Group]:
        rows = self._rows(tenants)
        with ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="pelion") as pool:
            for tenant in tenants:
                if self._stop.is_set():
                    return
                known = rows.get(tenant, [])
                yield self._group(self._channels[tenant], known, pool, self._by_hand or tenant in thoroughly)

    def _group(
        self, channel: PelionChannel, rows: list[SubscriptionRow], pool: ThreadPoolExecutor, everything: bool
    ) -> Group:
        """Where the platform does not say what there is, the channel alone: registering it tells why."""
        try:
            actual = self._actual(channel, rows, pool, everything)
            address = self._address(channel) if channel.mode == CALLBACK else ""
        except (PlatformRefused, PlatformUnavailable):
            return [Subscribe(of_channel(channel.name, channel.mode), "unsure")]
        return plan(channel, address, actual, rows, self._clock(), removing=self._by_hand)

    def _actual(
        self, channel: PelionChannel, rows: list[SubscriptionRow], pool: ThreadPoolExecutor, everything: bool
    ) -> Actual:
        name, now = channel.name, self._clock()
        mode = self._applications.mode(name)
        everything = everything or not mode
        devices = [one.ep for one in channel.subscriptions] if everything else devices_due(channel, rows, now)
        in_place = [row for row in rows if row.topic == RULES and not is_due(row, now)]
        asked = everything or bool(channel.presubscriptions and not in_place)
        observed = pool.map(partial(self._applications.observed, name), devices)
        return Actual(
            mode=mode,
            registration=self._applications.registration(name) if mode == CALLBACK else None,
            rules=self._applications.rules(name) if asked else None,
            observed=dict(zip(devices, observed, strict=True)),
        )

    def _note_account(self, tenant: Tenant) -> None:
        """Whose limits the channel has, once for each registration; nothing depends on it but a check."""
        try:
            if self._standing.before(tenant) is not None and self._standing.account(tenant) is None:
                self._standing.note_account(tenant, self._applications.account(tenant.name))
        except (PlatformRefused, PlatformUnavailable) as error:
            logger.info("the account is not known", extra={"action": "account_unread", "reason": error.reason})

    def _removals(self, only: Tenant | None) -> Iterator[Group]:
        tenants = self._registry.subscribed(PELION) if only is None else [only]
        return iter([removals(rows, "asked") for rows in self._rows(tenants).values()])

    def _rows(self, tenants: Sequence[Tenant]) -> dict[Tenant, list[SubscriptionRow]]:
        found: dict[Tenant, list[SubscriptionRow]] = {}
        for row in self._registry.subscriptions_of(tenants):
            found.setdefault(row.tenant, []).append(row)
        return found

    def _applier(
        self, observe: Observe | None, fence: Fence | None = None, lost: threading.Event | None = None
    ) -> Applier:
        return Applier(self._perform, self._registry, stop=self._stop, fence=fence, lost=lost, observe=observe)

    def _perform(self, change: Change) -> bool:
        return self._applications.perform(change, self._channels.get(change.subscription.tenant))


def _worth(change: Change) -> bool:
    return not isinstance(change, Keep) or change.due


def _of_device(change: Change) -> bool:
    return change.subscription.topic not in (CHANNEL, RULES)


def _by_device(group: Group) -> list[list[Change]]:
    """The changes of each device, which may be made at the same time as another's."""
    parts: dict[str, list[Change]] = {}
    for change in group:
        if _of_device(change):
            parts.setdefault(change.subscription.topic.partition("/")[0], []).append(change)
    return list(parts.values())


def _log(report: Report) -> None:
    """Runs are frequent and mostly find nothing to do: those are not worth a line."""
    if report.ok and not report.outcomes:
        return
    logger.log(
        logging.INFO if report.ok else logging.WARNING,
        "channels reconciled" if report.ok else "channels are not all as they should be",
        extra={
            "action": "reconciled" if report.ok else "reconcile_failed",
            "platform": PELION,
            **report.outcomes,
            "reason": report.cut_short,
        },
    )
