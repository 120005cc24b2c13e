"""Subscriptions brought to the plan because a person asked for it.

A run may be ten thousand calls to a platform, so it has a thread of its own, one at a time in this process; other
processes are kept apart by the registrars' own lock. Whoever asked waits a few seconds for the end and reads of a
longer run in the audit. A process that ends leaves a run unfinished: the next one goes on where it ended.

What is replaced with losses, or removed, is so only where the person was shown all of that and it still is the same:
otherwise nothing is done at all. A platform's run may take long, so the next one's plan is made once more, and if it
has changed by then there is no run. At a platform whose plan was not shown, none of it is done: where a run would
remove something by itself, as a worker's does, there is none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from subscriber.errors import LockHeld, NotFound, PlatformRefused, PlatformUnavailable, SubscriberError
from subscriber.model import Tenant
from subscriber.registrars import Registrar, platforms
from subscriber.registration.apply import Report
from subscriber.settings import Settings
from subscriber.store import Store
from subscriber.web.console.planning import Open
from subscriber.web.console.plans import plan_of, removes

logger = logging.getLogger(__name__)

WAIT_SECONDS = 8.0  # for the end of a run; one tenant's takes a second or two
TURN_SECONDS = 30.0  # a worker's round is through by then, unless it is its first over many tenants
POLL_SECONDS = 0.25
CHANGED = "not done: the plan is another than the one that was shown"
UNSEEN = "not done: it would remove what was not shown"

Seen = Mapping[str, str]  # by platform: ``Plan.seen`` of what a person was shown


@dataclass(slots=True)
class Run:
    """``told``: what came of it, in words; empty while it goes on. ``changed``: nothing, for the plan has changed.

    ``failed``: ``told`` says why something was not done, in words for who runs the service: addresses, credentials.
    """

    told: str = ""
    changed: bool = False
    failed: bool = False


class Applying:
    """One per process."""

    def __init__(self, settings: Settings, store: Store, open: Open) -> None:
        self._settings = settings
        self._store = store
        self._open = open
        self._turn = threading.Lock()

    def start(self, actor: str, tenant: Tenant | None, seen: Seen) -> Run:
        """Bring a tenant, or all, to the plan. Raises ``LockHeld`` while this process is at it already."""
        if not self._turn.acquire(blocking=False):
            raise LockHeld("subscriptions are being applied already: try again when that has ended")
        run = Run()
        thread = threading.Thread(target=self._work, args=(actor, tenant, seen, run), name="apply", daemon=True)
        thread.start()
        thread.join(WAIT_SECONDS)
        return run

    def _work(self, actor: str, tenant: Tenant | None, seen: Seen, run: Run) -> None:
        try:
            run.changed = not self._still(tenant, seen)
            text = CHANGED if run.changed else self._bring(tenant, seen, run)
        except SubscriberError as error:
            run.failed, text = True, f"not done: {error.detail or error.reason}"
        except Exception:  # top of a thread
            logger.exception("applying subscriptions failed", extra={"action": "apply_failed", "reason": "bug"})
            text = "not done: a fault of this program, see its log"
        finally:
            self._turn.release()
        run.told = text
        self._note(actor, f"{tenant or 'every tenant'}: {text}")

    def _note(self, actor: str, text: str) -> None:
        try:
            self._store.registry.audit(actor, "register", text)
        except SubscriberError as error:  # the store has gone meanwhile, with it the place for the line
            logger.error("not audited: %s", error, extra={"action": "audit_failed", "reason": error.reason})

    def _still(self, tenant: Tenant | None, seen: Seen) -> bool:
        """Would be lost what was shown, and nothing else?"""
        tenants = None if tenant is None else [tenant]
        with self._open(self._settings, self._store, threading.Event(), by_hand=True, of=list(seen)) as registrars:
            return {one.platform: plan_of(one, tenants).seen for one in registrars} == seen

    def _bring(self, tenant: Tenant | None, seen: Seen, run: Run) -> str:
        on = [one for one in platforms(self._settings, self._store) if tenant is None or one == tenant.platform]
        if not on:
            raise NotFound("nothing is subscribed there by this service")
        told: list[str] = []
        for one in on:
            told.append(f"{one}: {self._brought(one, tenant, run, seen.get(one), again=bool(told))}")
        return "; ".join(told)

    def _brought(self, platform: str, tenant: Tenant | None, run: Run, agreed: str | None, *, again: bool) -> str:
        """What came of a run at one platform. One that is away stops no other.

        ``agreed``: what its plan showed as lost, None: none was shown. ``again``: that was asked a while ago.
        """
        tenants, by_hand = None if tenant is None else [tenant], agreed is not None
        try:
            with self._open(
                self._settings, self._store, threading.Event(), by_hand=by_hand, of=[platform]
            ) as registrars:
                if by_hand and again and any(plan_of(one, tenants).seen != agreed for one in registrars):
                    return CHANGED
                if not by_hand and any(removes(one, tenants) for one in registrars):
                    return UNSEEN
                return "; ".join(_told(_in_turn(partial(_report, one, tenant))) for one in registrars)
        except (LockHeld, NotFound, PlatformRefused, PlatformUnavailable) as error:
            run.failed = True
            return f"not done: {error.detail or error.reason}"


def _in_turn(work: Callable[[], Report]) -> Report:
    """Wait while a worker is at the same. Raises ``LockHeld`` if that takes too long."""
    until = time.monotonic() + TURN_SECONDS
    while True:
        try:
            return work()
        except LockHeld:
            if time.monotonic() > until:
                raise
        time.sleep(POLL_SECONDS)


def _report(registrar: Registrar, tenant: Tenant | None) -> Report:
    """Raises ``NotFound`` for a tenant that is not served: nothing shall be made in its name."""
    if tenant is None:
        return registrar.run().report
    if tenant not in registrar.survey(only=tenant).verdict.served:
        raise NotFound(f"the application is not provisioned to {tenant}")
    return registrar.register(tenant)


def _told(report: Report) -> str:
    count = report.outcomes
    told = f"{count['done']} done, {count['failed'] + count['unanswered']} failed, {count['stale']} stale"
    return f"{told}, ended early ({report.cut_short})" if report.cut_short else told
