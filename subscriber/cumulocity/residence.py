"""What a worker does for Cumulocity's tenants: looks who came and went, brings rules in order, tells, erases.

Looking is cheap and frequent. A tenant's rules are gone through when it comes, about once an hour, and some minutes
after they were refused. Which consumers run is not decided here: see ``wanted``.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

from subscriber.cumulocity.registrar import Registrar
from subscriber.model import CUMULOCITY, Tenant
from subscriber.registration.erasure import erase_departed
from subscriber.registration.greeter import Greeter, Hook
from subscriber.registration.rounds import Rounds
from subscriber.store import Store

LOOK_SECONDS = 15.0  # so long a new tenant waits for its rules at most, beside the age of the list
RECONCILE_SECONDS = 3600.0  # a rule that somebody else deleted is missed for an hour at most
FAILED_AGAIN_SECONDS = 300.0  # a role is granted or a service enabled by a person


class Residence:
    """``stop`` is the worker's, ``retention`` how long a departed tenant's data is kept."""

    def __init__(
        self,
        registrar: Registrar,
        store: Store,
        hook: Hook,
        stop: threading.Event,
        retention: timedelta,
        *,
        jitter: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registrar = registrar
        self._store = store
        self._stop = stop
        self._retention = retention
        self._monotonic = monotonic
        self._due: dict[Tenant, float] = {}  # when each served tenant is gone through again
        self._greeter = Greeter(store.registry, hook, jitter, platform=CUMULOCITY)
        self._rounds = Rounds(self.round, LOOK_SECONDS, jitter)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Rounds and greetings, for a ``with`` block. Starting waits for nothing."""
        with ExitStack() as stack:
            stack.callback(self._registrar.close)
            for part in (self._greeter, self._rounds):
                part.start()
                stack.callback(part.close)
            yield

    def round(self) -> bool:
        """Look, reconcile, tell, erase. True if nothing failed. Raises ``LockHeld``, and ours."""
        run = self._registrar.run(chosen=self._is_due)
        self._greeter.wake()
        if not run.report.cut_short:
            failed = {applied.change.subscription.tenant for applied in run.report.failures}
            self._due = {tenant: self._next(tenant, failed) for tenant in run.survey.verdict.served}
        erase_departed(self._store, CUMULOCITY, self._retention, self._stop)
        return run.report.ok

    def _is_due(self, tenant: Tenant) -> bool:
        return self._monotonic() >= self._due.get(tenant, float("-inf"))

    def _next(self, tenant: Tenant, failed: set[Tenant]) -> float:
        if tenant in failed:
            return self._monotonic() + FAILED_AGAIN_SECONDS
        return self._due[tenant] if not self._is_due(tenant) else self._monotonic() + RECONCILE_SECONDS
