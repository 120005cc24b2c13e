"""Subscriptions planned from what is remembered, and brought to the plan because a person asked for it.

A run may be ten thousand calls to a platform, so it has a thread of its own, one at a time in this process; other
processes are kept apart by the registrars' own lock. Whoever asked waits a few seconds for the end and reads of a
longer run in the audit. A process that ends leaves a run unfinished: the next one goes on where it ended.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import islice

from subscriber.errors import LockHeld, NotFound, SubscriberError
from subscriber.model import Tenant
from subscriber.registrars import Registrar, open_registrars
from subscriber.registration.apply import Report
from subscriber.registration.plan import Change
from subscriber.registration.reconciler import Reconciler
from subscriber.settings import Settings
from subscriber.store import Store

logger = logging.getLogger(__name__)

SHOWN_CHANGES = 200  # of a plan; a page that long is read by nobody
WAIT_SECONDS = 8.0  # for the end of a run; one tenant's takes a second or two

Open = Callable[[Settings, Store, threading.Event], AbstractContextManager[Sequence[Registrar]]]

# The page shows MindSphere's plan only. Elsewhere nobody has seen what would be replaced with losses, or removed:
# that waits for `register --apply`.
open_careful: Open = partial(open_registrars, by_hand=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Of MindSphere. ``more``: there are more changes than these. ``problem``: why there is no plan, else empty."""

    changes: Sequence[Change] = ()
    more: bool = False
    problem: str = ""


class Applying:
    """One per process."""

    def __init__(self, settings: Settings, store: Store, open: Open) -> None:
        self._settings = settings
        self._store = store
        self._open = open
        self._turn = threading.Lock()

    def plan(self, tenants: Sequence[Tenant] | None) -> Plan:
        """What a run would change for these tenants (None: all), by what is remembered: no platform is asked."""
        try:
            with self._open(self._settings, self._store, threading.Event()) as registrars:
                changes = [
                    change for one in registrars for change in islice(_changes(one, tenants), SHOWN_CHANGES + 1)
                ]
        except SubscriberError as error:
            return Plan(problem=error.detail or error.reason)
        return Plan(changes=changes[:SHOWN_CHANGES], more=len(changes) > SHOWN_CHANGES)

    def start(self, actor: str, tenant: Tenant | None) -> str:
        """Bring a tenant, or all, to the plan. What came of it, in words; empty while it goes on.

        Raises ``LockHeld`` while this process is at it already.
        """
        if not self._turn.acquire(blocking=False):
            raise LockHeld("subscriptions are being applied already: see the actions for how it ended")
        told: list[str] = []
        thread = threading.Thread(target=self._work, args=(actor, tenant, told), name="apply", daemon=True)
        thread.start()
        thread.join(WAIT_SECONDS)
        return told[0] if told else ""

    def _work(self, actor: str, tenant: Tenant | None, told: list[str]) -> None:
        try:
            text = self._run(tenant)
        except SubscriberError as error:
            text = f"not done: {error.detail or error.reason}"
        except Exception:  # top of a thread
            logger.exception("applying subscriptions failed", extra={"action": "apply_failed", "reason": "bug"})
            text = "not done: a fault of this program, see its log"
        finally:
            self._turn.release()
        told.append(text)
        self._note(actor, f"{tenant or 'every tenant'}: {text}")

    def _note(self, actor: str, text: str) -> None:
        try:
            self._store.registry.audit(actor, "register", text)
        except SubscriberError as error:  # the store has gone meanwhile, with it the place for the line
            logger.error("not audited: %s", error, extra={"action": "audit_failed", "reason": error.reason})

    def _run(self, tenant: Tenant | None) -> str:
        with self._open(self._settings, self._store, threading.Event()) as registrars:
            asked = [one for one in registrars if tenant is None or one.platform == tenant.platform]
            if not asked:
                raise NotFound("nothing is subscribed there by this service")
            return "; ".join(_told(one.platform, _report(one, tenant)) for one in asked)


def _changes(registrar: Registrar, tenants: Sequence[Tenant] | None) -> Iterator[Change]:
    """Only MindSphere's are known without asking anybody: a question about the host alone reads no list."""
    if not isinstance(registrar, Reconciler):
        return
    survey = registrar.survey(only=registrar.host)
    for tenant in [None] if tenants is None else tenants:
        yield from registrar.changes(survey, tenant)


def _report(registrar: Registrar, tenant: Tenant | None) -> Report:
    return registrar.run().report if tenant is None else registrar.register(tenant)


def _told(platform: str, report: Report) -> str:
    count = report.outcomes
    told = f"{platform}: {count['done']} done, {count['failed'] + count['unanswered']} failed, {count['stale']} stale"
    return f"{told}, ended early ({report.cut_short})" if report.cut_short else told
