"""Provisioning: customers that get the application are served within seconds, those that lose it are let go.

A notice on the provisioning topic adds its tenant at once; that one has left it only makes us read the list, which
alone retires anybody. Notices are a built-in route: the team's table neither sees nor replaces it. In a worker this
also runs the rounds that reconcile all subscriptions, tells the team's ``on_tenant``, and erases what belongs to
tenants whose time is over.

Follows "Receiving MindSphere Notifications" (subscribed in the provider's own context). The notice's content is not
published: topic and the places of tenant and action are settings, and the words for the action are a guess kept by a
test.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

from subscriber.errors import SettingsError
from subscriber.model import MINDSPHERE, Dead, Done, Notification, Tenant
from subscriber.platforms.mindsphere_api import TENANT_NAME
from subscriber.registration.erasure import erase_departed
from subscriber.registration.greeter import Greeter, Hook
from subscriber.registration.reconciler import Reconciler
from subscriber.registration.rounds import Rounds
from subscriber.routes import Route, RunningAttempt
from subscriber.settings import MindSphereSettings, Settings
from subscriber.store import Registry, Store

logger = logging.getLogger(__name__)

HOOK = "on_tenant"
JOINED, LEFT = "PROVISIONED", "DEPROVISIONED"  # assumed, see above
RELIST_SECONDS = 1.0  # notices that come together share a reading of the list
# After a notice that added its tenant: the list confirms it, what failed is tried again, and when hundreds come at
# once the rounds, which serve many at a time, overtake the notices, which are handled one by one.
CONFIRM_SECONDS = 15.0
POINTER_DEPTH = 20  # members on the way to a value; settings name two


class Notices:
    """The handler of the provisioning topic. ``relist`` has the list read within so many seconds.

    ``greet`` is told that somebody came.
    """

    def __init__(
        self,
        settings: MindSphereSettings,
        registry: Registry,
        reconciler: Reconciler,
        relist: Callable[[float], None],
        greet: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._reconciler = reconciler
        self._relist = relist
        self._greet = greet
        self.route = Route(platform=MINDSPHERE, topic=settings.provisioning_topic, handler=self.handle)

    def handle(self, notification: Notification, attempt: RunningAttempt) -> Done | Dead:
        """Only what comes in the host's own context moves tenants."""
        if notification.tenant != self._reconciler.host:
            return Done("foreign_context")
        payload = notification.payload
        name = _at(payload, self._settings.provisioning_tenant)
        action = _at(payload, self._settings.provisioning_action)
        if not isinstance(name, str) or not TENANT_NAME.fullmatch(name) or not isinstance(action, str):
            self._relist(RELIST_SECONDS)  # somebody came or went, whoever it was
            detail = "MDSP_PROVISIONING_TENANT or MDSP_PROVISIONING_ACTION points at nothing usable in it"
            return Dead("provisioning_unreadable", detail)
        tenant = Tenant(MINDSPHERE, name)
        if action.upper() == JOINED:
            self._joined(tenant, notification)
        else:
            self._left(tenant, notification, action)
        return Done()

    def _joined(self, tenant: Tenant, notification: Notification) -> None:
        published_at = notification.occurred_at or notification.received_at
        if tenant == self._reconciler.host or not self._registry.hear(tenant, published_at, True):
            self._relist(RELIST_SECONDS)  # old news, or a tenant that was erased: the list knows better
            return
        self._greet()
        self._relist(CONFIRM_SECONDS)
        ok = self._reconciler.register(tenant).ok
        logger.info("a tenant joined", extra={"action": "tenant_joined", "tenant": tenant.name, "subscribed": ok})

    def _left(self, tenant: Tenant, notification: Notification, action: str) -> None:
        """Also for words we do not know: something has changed."""
        if action.upper() == LEFT:
            self._registry.hear(tenant, notification.occurred_at or notification.received_at, False)
        self._relist(RELIST_SECONDS)
        extra = {"action": "list_asked_for", "tenant": tenant.name}
        logger.info("a notice asks for the list of tenants", extra=extra)


class Provisioning:
    """What a worker runs beside its handlers. ``stop`` is the worker's."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        reconciler: Reconciler,
        hook: Hook,
        stop: threading.Event,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if settings.mindsphere is None:
            raise SettingsError(["MDSP_KEY_STORE_CLIENT_ID is not set: nobody is provisioned"])
        self._store = store
        self._reconciler = reconciler
        self._stop = stop
        self._retention = timedelta(days=settings.leaving_retention_days)
        self._greeter = Greeter(store.registry, hook, jitter)
        self._rounds = Rounds(self.round, settings.mindsphere.tenant_poll_seconds, jitter)
        notices = Notices(settings.mindsphere, store.registry, reconciler, self._rounds.ask, self._greeter.wake)
        self.route = notices.route

    @contextmanager
    def running(self) -> Iterator[None]:
        """Rounds and greetings, for a ``with`` block. Starting waits for nothing."""
        with ExitStack() as stack:
            stack.callback(self._reconciler.close)
            for part in (self._greeter, self._rounds):
                part.start()
                stack.callback(part.close)
            yield

    def round(self) -> bool:
        """Reconcile, tell, erase. True if everything is in place. Raises ``LockHeld``, and ours."""
        run = self._reconciler.run()
        self._greeter.wake()
        if run.survey.verdict.missing:
            logger.warning(
                "the list lacks tenants of ours",
                extra={"action": "tenants_missing", "missing": len(run.survey.verdict.missing)},
            )
        erase_departed(self._store, MINDSPHERE, self._retention, self._stop)
        return run.report.ok


def load_hook(path: str) -> Hook:
    """The ``on_tenant`` of the module that HANDLERS names, or one that does nothing. Call it after ``routes.load``.

    Raises ``SettingsError`` if it cannot be called with a tenant and a flag.
    """
    name = path.partition(":")[0]
    found = getattr(importlib.import_module(name), HOOK, None)
    if found is None:
        return _nobody
    if not callable(found):
        raise SettingsError([f"HANDLERS: {HOOK} of {name} is a {type(found).__name__}; it must be a function"])
    try:
        inspect.signature(found).bind(Tenant(MINDSPHERE, "custaa"), True)
    except TypeError as error:
        raise SettingsError([f"HANDLERS: {HOOK} of {name} must take (tenant, joined): {error}"]) from error
    hook: Hook = found
    return hook


def _nobody(tenant: Tenant, joined: bool) -> None:
    """The team has no hook."""


def _at(document: object, pointer: str) -> object:
    """The value a JSON pointer (RFC 6901) leads to, None where it leads nowhere."""
    for part in pointer.split("/", POINTER_DEPTH)[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list) and name.isascii() and name.isdigit() and int(name) < len(document):
            document = document[int(name)]
        elif isinstance(document, dict):
            document = document.get(name)
        else:
            return None
    return document
