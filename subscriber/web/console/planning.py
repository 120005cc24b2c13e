"""Asking the platforms what a run would change, for a page that cannot wait for long.

MindSphere's plan is made of what is remembered. The others have to be asked what there is, by the same calls as
`register` makes, as if a person had agreed to everything. That takes as long as it takes: each platform is asked on a
thread of its own, a page waits a few seconds for all of them, and what comes later is there for who asks again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from subscriber.errors import PlatformUnavailable, SubscriberError
from subscriber.model import Tenant
from subscriber.registrars import Registrar, platforms
from subscriber.registration.patience import Told
from subscriber.settings import Settings
from subscriber.store import Clock, Store
from subscriber.web.console.plans import (
    BUSY,
    FAULT,
    REFUSED,
    REMEMBERED,
    SILENT,
    SLOW,
    UNASKED,
    UNSURE,
    Plan,
    plan_of,
)

logger = logging.getLogger(__name__)

WAIT_SECONDS = 4.0  # of a page, for all platforms together; a few tenants are asked within one
ASKING_SECONDS = 120.0  # a thousand tenants are through by then; `register` has no such end
KEPT_SECONDS = 20.0  # a plan that was asked for: long enough to ask again after the page gave up waiting
QUESTIONS = 16  # under way or kept at a time


class Open(Protocol):
    """See ``registrars.open_registrars``."""

    def __call__(
        self,
        settings: Settings,
        store: Store,
        stop: threading.Event,
        *,
        by_hand: bool,
        told: Told | None = None,
        of: Sequence[str] | None = None,
    ) -> AbstractContextManager[Sequence[Registrar]]: ...


class Question:
    """One platform's plan, on its way. ``heard``: how the platform failed meanwhile, else empty."""

    def __init__(self, platform: str) -> None:
        self.platform = platform
        self.plan = Plan(platform=platform, problem=SLOW)
        self.ended_at = float("inf")  # monotonic seconds
        self.heard = ""
        self._ended = threading.Event()

    def hear(self, error: PlatformUnavailable) -> None:
        self.heard = error.detail

    def end(self, plan: Plan, at: float) -> None:
        """Whoever waits gets it. A problem is not kept: the next who asks may have better luck."""
        self.plan, self.ended_at = plan, float("-inf") if plan.problem else at
        self._ended.set()

    def wait(self, seconds: float) -> Plan:
        """The plan, if it comes within so many seconds."""
        if self._ended.wait(max(0.0, seconds)):
            return self.plan
        return Plan(platform=self.platform, problem=SLOW, detail=self.heard)


Scope = tuple[str, frozenset[Tenant] | None]


class Planning:
    """One per process. ``clock`` says when a platform was asked."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        open: Open,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._store = store
        self._open = open
        self._clock = clock
        self._monotonic = monotonic
        self._questions: dict[Scope, Question] = {}
        self._lock = threading.Lock()

    def remembered(self, tenants: Sequence[Tenant] | None) -> list[Plan]:
        """Of each platform that these tenants (None: all) are served on; nobody is asked."""
        return [
            self._made(Question(platform), tenants, threading.Event())
            if platform in REMEMBERED
            else Plan(platform=platform, problem=UNASKED)
            for platform in self._platforms(tenants)
        ]

    def asked(self, tenants: Sequence[Tenant] | None) -> list[Plan]:
        """The same of platforms that are asked, within WAIT_SECONDS."""
        until = self._monotonic() + WAIT_SECONDS
        remembered = self.remembered(tenants)
        asked = [self._question(one.platform, tenants) if one.problem == UNASKED else None for one in remembered]
        return [
            one if question is None else question.wait(until - self._monotonic())
            for one, question in zip(remembered, asked, strict=True)
        ]

    def forget(self) -> None:
        """What is kept holds no longer."""
        with self._lock:
            self._drop(self._monotonic())

    def _platforms(self, tenants: Sequence[Tenant] | None) -> list[str]:
        served = None if tenants is None else {tenant.platform for tenant in tenants}
        return [one for one in platforms(self._settings, self._store) if served is None or one in served]

    def _question(self, platform: str, tenants: Sequence[Tenant] | None) -> Question:
        """One that is under way or kept, else a new one."""
        scope: Scope = platform, None if tenants is None else frozenset(tenants)
        with self._lock:
            self._drop(self._monotonic() - KEPT_SECONDS)
            if scope in self._questions:
                return self._questions[scope]
            question = Question(platform)
            if len(self._questions) >= QUESTIONS:
                self._drop_oldest()
            if len(self._questions) >= QUESTIONS:
                question.end(Plan(platform=platform, problem=BUSY), self._monotonic())
                return question
            self._questions[scope] = question
        threading.Thread(target=self._ask, args=(question, tenants), name=f"plan-{platform}", daemon=True).start()
        return question

    def _drop(self, ended_by: float) -> None:
        self._questions = {scope: one for scope, one in self._questions.items() if one.ended_at > ended_by}

    def _drop_oldest(self) -> None:
        """A plan that is only kept makes room for a question."""
        kept = {scope: one.ended_at for scope, one in self._questions.items() if one.ended_at < float("inf")}
        if kept:
            del self._questions[min(kept, key=kept.__getitem__)]

    def _ask(self, question: Question, tenants: Sequence[Tenant] | None) -> None:
        stop = threading.Event()
        alarm = threading.Timer(ASKING_SECONDS, stop.set)
        alarm.daemon = True
        alarm.start()
        plan = Plan(platform=question.platform, problem=FAULT)
        try:
            plan = self._made(question, tenants, stop)
            plan = replace(plan, asked_at=self._clock())
        except Exception:  # top of a thread
            logger.exception("planning failed", extra={"action": "plan_failed", "reason": "bug"})
        finally:
            alarm.cancel()
            question.end(plan, self._monotonic())

    def _made(self, question: Question, tenants: Sequence[Tenant] | None, stop: threading.Event) -> Plan:
        nothing = Plan(platform=question.platform)
        try:
            with self._open(
                self._settings, self._store, stop, by_hand=True, told=question.hear, of=[question.platform]
            ) as registrars:
                (plan,) = [plan_of(one, tenants) for one in registrars] or [nothing]  # it may be off by now
        except PlatformUnavailable as error:
            return replace(nothing, problem=SILENT, detail=error.detail)
        except SubscriberError as error:
            return replace(nothing, problem=REFUSED, detail=error.detail or error.reason)
        if stop.is_set():
            return replace(nothing, problem=SLOW, detail=question.heard)
        if plan.total and plan.total == plan.counts.get(UNSURE):
            return replace(nothing, problem=SILENT if question.heard else UNSURE, detail=question.heard)
        return plan
