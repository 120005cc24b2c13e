"""Brings an application's subscriptions to what they should be, and its tenants to what the platform lists.

What should be: every topic in the host tenant and in each user tenant, provisioning in the host alone, for the
current name, version and address. One instance at a time runs, under a lock whose number the store checks with every
write; a notice of a new tenant does not wait for it, since subscribing twice is harmless. A run resumes where the
last one ended, because each answer is remembered before the next call.

The host's subscriptions are confirmed in every run: if the broker has lost one of them, it is asked about all others
too. Follows "Receiving MindSphere Notifications" (subscriptions per tenant context, address built at run time).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from subscriber.model import MINDSPHERE, Tenant
from subscriber.registration.apply import STALE, Applier, Observe, Report
from subscriber.registration.broker import Broker
from subscriber.registration.census import Census, Survey, batches
from subscriber.registration.lock import locked
from subscriber.registration.plan import Change, Keep, Target, Unsubscribe, of_row, plan
from subscriber.registration.roster import Verdict
from subscriber.registration.tenants import TenantList
from subscriber.settings import MindSphereSettings
from subscriber.store import Clock, Fence, Registry, SubscriptionRow

logger = logging.getLogger(__name__)

LOCK = "registration"

Groups = Iterator[Sequence[Change]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run found and did."""

    survey: Survey
    report: Report


class Reconciler:
    """Of one application. Methods raise store errors, ``PlatformRefused`` and ``PlatformUnavailable``.

    Failures of single subscriptions are not raised: they are in the report.
    """

    platform = MINDSPHERE

    def __init__(
        self,
        settings: MindSphereSettings,
        broker: Broker,
        registry: Registry,
        *,
        uri: Callable[[], str],
        stop: threading.Event,
        clock: Clock,
    ) -> None:
        """``uri`` yields the webhook's address as the broker shall know it. ``stop`` ends work between two calls.

        ``clock`` is the store's.
        """
        self._settings = settings
        self._broker = broker
        self._registry = registry
        self._uri = uri
        self._stop = stop
        self._clock = clock
        self.host = Tenant(MINDSPHERE, settings.host_tenant)
        self._census = Census(registry, MINDSPHERE, self.host)

    def survey(self, *, confirmed: bool = False, only: Tenant | None = None) -> Survey:
        """Read the list and judge it; nothing is written. ``confirmed``: a person agrees to a list that shrank.

        ``only``: who is asked about; for the host alone no list is needed, and none is read.
        """
        read_at = self._clock()
        if only == self.host:
            return self._judge(TenantList((), False), read_at, False)
        return self._judge(self._broker.tenants(), read_at, confirmed)

    def _judge(self, listed: TenantList, read_at: datetime, confirmed: bool) -> Survey:
        tenants = [Tenant(MINDSPHERE, name) for name in listed.names]
        return self._census.judge(tenants, listed.complete, read_at, confirmed=confirmed)

    def changes(self, survey: Survey, only: Tenant | None = None) -> Iterator[Change]:
        """What a run would change, in its order, for all tenants or one. Confirming what is in place is no change."""
        served = [tenant for tenant in survey.verdict.served if only in (None, tenant)]
        groups = [self._groups(served)] if only else [self._groups(served), self._leftovers(survey.verdict)]
        for stream in groups:
            for group in stream:
                yield from (change for change in group if not isinstance(change, Keep))

    def loses(self, change: Change) -> str:
        """What nobody gets any more because of a change, in words; empty: nothing is lost by it.

        An older version's subscription goes when the newer one is in place, so it takes nothing along.
        """
        ends = isinstance(change, Unsubscribe) and change.why != "version"
        return "what is published from then on" if ends else ""

    def run(self, *, confirmed: bool = False, observe: Observe | None = None) -> Run:
        """One whole run. Raises ``LockHeld`` while another instance runs."""
        lost = threading.Event()
        with locked(self._registry, LOCK, lost) as fence:
            survey = self._census.take(lambda: self.survey(confirmed=confirmed), fence, confirmed)
            report = self._reconcile(survey.verdict, self._applier(observe, fence, lost))
            if report.ok:
                self._registry.close_reconciliation(MINDSPHERE, fence)
        _log(survey, report)
        return Run(survey=survey, report=report)

    def register(self, tenant: Tenant, observe: Observe | None = None) -> Report:
        """Subscribe one tenant now, and confirm what it has already. Needs no lock."""
        applier = self._applier(observe)
        for group in self._groups([tenant], confirming=True):
            applier.run_one(group)
        return applier.report

    def registered(self, only: Tenant | None = None) -> Iterator[Change]:
        """What ``unregister`` would remove: all that is remembered of this subscriber, also of other versions."""
        for group in self._removals(only):
            yield from group

    def unregister(self, only: Tenant | None = None, observe: Observe | None = None) -> Report:
        """Remove every subscription, of all tenants or of one. Raises ``LockHeld``."""
        lost = threading.Event()
        with locked(self._registry, LOCK, lost) as fence:
            applier = self._applier(observe, fence, lost)
            applier.run(self._removals(only))
        return applier.report

    def probe(self) -> None:
        """Are the credentials good now? Raises ``PlatformRefused`` with the likely cause, ``PlatformUnavailable``."""
        self._broker.probe()

    def close(self) -> None:
        """Let go of all connections."""
        self._broker.close()

    def _reconcile(self, verdict: Verdict, applier: Applier) -> Report:
        """The host first: it shows whether the broker has lost anything, and whether this registration works."""
        users = iter(verdict.served)
        for group in self._groups(islice(users, 1), confirming=True):
            applier.run_one(group)
        host_is_fine = applier.report.ok
        applier.run(self._groups(users, confirming=applier.report.repaired > 0))
        if host_is_fine:
            applier.run(self._leftovers(verdict))
        return applier.report

    def _groups(self, tenants: Iterable[Tenant], *, confirming: bool = False) -> Groups:
        """What to do for tenants that are served, those with nothing to do left out."""
        target = self._target()
        for some in batches(tenants):
            rows, now = self._rows(some), self._clock()
            for tenant in some:
                group = plan(tenant, self._topics(tenant), target, rows.get(tenant, ()), now)
                if todo := list(_asked(group, confirming)):
                    yield todo

    def _leftovers(self, verdict: Verdict) -> Groups:
        """What is remembered of tenants that are not served and have not left: a host before the handover."""
        served = frozenset(verdict.served)
        others = [t for t in self._registry.subscribed(MINDSPHERE) if t not in served and t not in verdict.departed]
        target = self._target()
        for some in batches(others):
            for tenant, rows in self._rows(some).items():
                if group := plan(tenant, (), target, rows, self._clock()):
                    yield group

    def _removals(self, only: Tenant | None) -> Groups:
        for some in batches(self._registry.subscribed(MINDSPHERE) if only is None else [only]):
            for rows in self._rows(some).values():
                yield [Unsubscribe(of_row(row), "asked") for row in rows if row.subscriber == self._settings.app]

    def _rows(self, tenants: Sequence[Tenant]) -> dict[Tenant, list[SubscriptionRow]]:
        found: dict[Tenant, list[SubscriptionRow]] = {}
        for row in self._registry.subscriptions_of(tenants):
            found.setdefault(row.tenant, []).append(row)
        return found

    def _topics(self, tenant: Tenant) -> tuple[str, ...]:
        """Provisioning is told to the host alone, whatever the settings list."""
        told = self._settings.provisioning_topic
        topics = tuple(topic for topic in self._settings.topics if topic != told)
        return (*topics, told) if tenant == self.host else topics

    def _target(self) -> Target:
        return Target(subscriber=self._settings.app, version=self._settings.version, uri=self._uri())

    def _applier(
        self, observe: Observe | None, fence: Fence | None = None, lost: threading.Event | None = None
    ) -> Applier:
        return Applier(self._broker.perform, self._registry, stop=self._stop, fence=fence, lost=lost, observe=observe)


def _asked(group: Iterable[Change], confirming: bool) -> Iterator[Change]:
    """Changes, and of what is in place what has to be asked about."""
    for change in group:
        if not isinstance(change, Keep):
            yield change
        elif change.due or confirming:
            yield replace(change, due=True)


def _log(survey: Survey, report: Report) -> None:
    verdict = survey.verdict
    if verdict.waiting:
        logger.error(
            "the list of tenants shrank: `register --apply --confirm-shrink` lets them go",
            extra={"action": "list_shrank", "waiting": len(verdict.waiting)},
        )
    logger.log(
        logging.INFO if report.ok else logging.WARNING,
        "subscriptions reconciled" if report.ok else "subscriptions are not all as they should be",
        extra={
            "action": "reconciled" if report.ok else "reconcile_failed",
            "tenants": len(verdict.served),
            "joined": len(verdict.present),
            "leaving": len(verdict.leaving),
            **report.outcomes,
            "stale": report.outcomes[STALE],
            "reason": report.cut_short,
        },
    )
