"""Brings rules and consumers of all tenants to what is configured, and the tenants to what the platform lists.

One instance at a time runs, under a lock whose number the store checks with every write; each answer is remembered
before the next call, so a run that was cut off goes on where it ended. A tenant or rule that is refused is refused
alone, and told with its likely cause.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from subscriber.cumulocity.directory import Directory
from subscriber.cumulocity.notifications import Notifications
from subscriber.cumulocity.plan import LEFTOVER_AFTER, loss, of_consumer, of_rule, plan, removals
from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.model import CUMULOCITY, Tenant
from subscriber.platforms.cumulocity_api import StoredRule
from subscriber.registration.apply import CEILING, Applier, Observe, Report
from subscriber.registration.census import Census, Survey, batches
from subscriber.registration.lock import locked
from subscriber.registration.plan import Change, Keep, Subscribe
from subscriber.registration.reconciler import Run
from subscriber.settings import CumulocitySettings
from subscriber.store import Clock, Fence, Finding, Registry, SubscriptionRow

logger = logging.getLogger(__name__)

LOCK = "registration:cumulocity"
PROBED = 100  # tenants whose credentials a check tries: it shall end while somebody waits

Groups = Iterator[Sequence[Change]]
Chosen = Callable[[Tenant], bool]


def everybody(tenant: Tenant) -> bool:
    """Every tenant is asked about."""
    return True


class Registrar:
    """Of one application. Methods raise store errors, ``PlatformRefused`` and ``PlatformUnavailable``.

    Failures of single tenants and subscriptions are not raised: they are in the report.
    """

    platform = CUMULOCITY

    def __init__(
        self,
        settings: CumulocitySettings,
        directory: Directory,
        notifications: Notifications,
        registry: Registry,
        *,
        stop: threading.Event,
        clock: Clock,
        leftover_after: timedelta = LEFTOVER_AFTER,
    ) -> None:
        """``stop`` ends work between two calls. ``clock`` is the store's."""
        self._subscriptions = settings.subscriptions
        self._directory = directory
        self._notifications = notifications
        self._registry = registry
        self._stop = stop
        self._clock = clock
        self._leftover_after = leftover_after
        self._census = Census(registry, CUMULOCITY)

    def survey(self, *, confirmed: bool = False, only: Tenant | None = None) -> Survey:
        """Read the list and judge it; nothing is written. ``confirmed``: a person agrees to a list that shrank.

        The list is one answer, so it is read whole, whoever is asked about.
        """
        read_at = self._clock()
        listed = [Tenant(CUMULOCITY, name) for name in self._directory.reading().users]
        return self._census.judge(listed, True, read_at, confirmed=confirmed)

    def changes(self, survey: Survey, only: Tenant | None = None) -> Iterator[Change]:
        """What a run would change, for all tenants or one. Nothing is written; what is kept is no change."""
        served = [tenant for tenant in survey.verdict.served if only in (None, tenant)]
        for group in self._groups(served):
            yield from (change for change in group if not isinstance(change, Keep))

    def loses(self, change: Change) -> str:
        """What is lost by a change, in words; empty: nothing."""
        return loss(change)

    def run(self, *, confirmed: bool = False, observe: Observe | None = None, chosen: Chosen = everybody) -> Run:
        """One whole run, over those of the served tenants that are ``chosen``. Raises ``LockHeld``."""
        lost = threading.Event()
        with locked(self._registry, LOCK, lost) as fence:
            survey = self._census.take(lambda: self.survey(confirmed=confirmed), fence, confirmed)
            applier = self._applier(observe, fence, lost)
            applier.run(self._groups(filter(chosen, survey.verdict.served)))
            if applier.report.ok:
                self._registry.close_reconciliation(CUMULOCITY, fence)
        _log(survey, applier.report)
        return Run(survey=survey, report=applier.report)

    def register(self, tenant: Tenant, observe: Observe | None = None) -> Report:
        """Bring one tenant in order now. Needs no lock: what is made twice is found."""
        applier = self._applier(observe)
        for group in self._groups([tenant]):
            applier.run_one(group)
        return applier.report

    def registered(self, only: Tenant | None = None) -> Iterator[Change]:
        """What ``unregister`` would remove: all that is remembered."""
        for group in self._removals(only):
            yield from group

    def unregister(self, only: Tenant | None = None, observe: Observe | None = None) -> Report:
        """Remove every rule, then every consumer, of all tenants or of one. Raises ``LockHeld``."""
        lost = threading.Event()
        with locked(self._registry, LOCK, lost) as fence:
            applier = self._applier(observe, fence, lost)
            applier.run(self._removals(only))
        return applier.report

    def probe(self) -> Iterator[Finding]:
        """Is the list given to us, and does each listed tenant take its service user, with the role?"""
        try:
            listed = [Tenant(CUMULOCITY, name) for name in self._directory.reading().users]
        except (PlatformRefused, PlatformUnavailable) as error:
            yield Finding(name="cumulocity_credentials", ok=False, detail=error.detail)
            return
        problems = [problem for tenant in listed[:PROBED] if (problem := self._problem(tenant))]
        text = f"{len(listed)} tenants, none of the {min(len(listed), PROBED)} that were asked refuses them"
        detail = f"{len(problems)} of {len(listed)} tenants: {problems[0]}" if problems else text
        yield Finding(name="cumulocity_credentials", ok=not problems, detail=detail)

    def _problem(self, tenant: Tenant) -> str:
        try:
            self._notifications.probe(tenant)
        except (PlatformRefused, PlatformUnavailable) as error:
            return f"{tenant.name}: {error.detail}"
        return ""

    def close(self) -> None:
        """Let go of all connections."""
        self._notifications.close()

    def _groups(self, tenants: Iterable[Tenant]) -> Groups:
        """What to do for tenants that are served, those with nothing to do left out. Many are asked at once."""
        with ThreadPoolExecutor(CEILING, thread_name_prefix="rules") as pool:
            for some in batches(tenants):
                rows = self._rows(some)
                for tenant, actual in zip(some, pool.map(self._actual, some), strict=True):
                    if group := self._group(tenant, actual, rows.get(tenant, [])):
                        yield group

    def _group(self, tenant: Tenant, actual: list[StoredRule] | None, rows: list[SubscriptionRow]) -> list[Change]:
        if actual is None:
            return self._unsure(tenant)
        group = plan(tenant, self._subscriptions, actual, rows, self._clock(), self._leftover_after)
        return [change for change in group if not isinstance(change, Keep) or change.due]

    def _unsure(self, tenant: Tenant) -> list[Change]:
        """Where the platform does not say what there is, one rule of each name and its consumer: they tell why."""
        return [
            Subscribe(subscription, "unsure")
            for named in self._subscriptions
            for subscription in (of_rule(tenant, named.rules[0]), of_consumer(tenant, named.grant))
        ]

    def _actual(self, tenant: Tenant) -> list[StoredRule] | None:
        """What the platform has under our names; None if it does not say, or nobody waits for it any more."""
        found: list[StoredRule] = []
        for named in self._subscriptions:
            if self._stop.is_set():
                return None
            try:
                found += self._notifications.rules(tenant, named.name)
            except (PlatformRefused, PlatformUnavailable):
                return None
        return found

    def _removals(self, only: Tenant | None) -> Groups:
        for some in batches(self._registry.subscribed(CUMULOCITY) if only is None else [only]):
            for rows in self._rows(some).values():
                yield removals(rows, "asked")

    def _rows(self, tenants: Sequence[Tenant]) -> dict[Tenant, list[SubscriptionRow]]:
        found: dict[Tenant, list[SubscriptionRow]] = {}
        for row in self._registry.subscriptions_of(tenants):
            found.setdefault(row.tenant, []).append(row)
        return found

    def _applier(
        self, observe: Observe | None, fence: Fence | None = None, lost: threading.Event | None = None
    ) -> Applier:
        return Applier(
            self._notifications.perform, self._registry, stop=self._stop, fence=fence, lost=lost, observe=observe
        )


def _log(survey: Survey, report: Report) -> None:
    """Rounds are frequent and mostly find nothing to do: those are not worth a line."""
    verdict = survey.verdict
    if verdict.waiting:
        logger.error(
            "the list of tenants shrank: `register --apply --confirm-shrink` lets them go",
            extra={"action": "list_shrank", "platform": CUMULOCITY, "waiting": len(verdict.waiting)},
        )
    if report.ok and not report.outcomes and not verdict.present and not verdict.leaving:
        return
    logger.log(
        logging.INFO if report.ok else logging.WARNING,
        "subscriptions reconciled" if report.ok else "subscriptions are not all as they should be",
        extra={
            "action": "reconciled" if report.ok else "reconcile_failed",
            "platform": CUMULOCITY,
            "tenants": len(verdict.served),
            "joined": len(verdict.present),
            "leaving": len(verdict.leaving),
            **report.outcomes,
            "reason": report.cut_short,
        },
    )
