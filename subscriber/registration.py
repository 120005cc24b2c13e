"""Registration: subscribes this application to its topics in every tenant, repeatably.

Three steps: read which tenants the application is provisioned to; ``plan``, a pure function from what should be to
what has to be done; ``apply``, which does it and goes on past tenants and topics that fail. The broker lists no
subscriptions, so the store's own rows are the only memory of what was asked for, and asking again is harmless: that
is why ``apply`` also asks for what is in place. Nothing is unsubscribed here, and no tenant is ever retired here.

Follows "Receiving MindSphere Notifications" (subscriptions per tenant context, address built at run time) and the
published pages of the Token Manager's list of user tenants.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from subscriber.errors import PlatformRefused, PlatformUnavailable, SettingsError
from subscriber.model import EPOCH, MINDSPHERE, Tenant
from subscriber.platforms import mindsphere_api as api
from subscriber.settings import MindSphereSettings, Settings
from subscriber.store import Registry, Store, SubscriptionRow, TenantState
from subscriber.token_manager import Gateway, TokenManager
from subscriber.transport import POOLED_CONNECTIONS, Transport

logger = logging.getLogger(__name__)

MAX_PAGES = 100  # of 100 names each: ten thousand customers; a list that never ends must not be read forever
OUTAGE_CALLS = 8  # as many calls in a row as run at once found nobody there: the rest would not either


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What should be: deliveries of a tenant's topic reach ``uri``, for one subscriber in one version."""

    tenant: Tenant
    topic: str
    subscriber: str
    version: str
    uri: str

    @property
    def key(self) -> tuple[Tenant, str, str, str]:
        """What the platform tells subscriptions apart by."""
        return self.tenant, self.topic, self.subscriber, self.version


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Ask for a subscription. ``why``: new, moved (its address changed) or failed (the last time)."""

    subscription: Subscription
    why: str


@dataclass(frozen=True, slots=True)
class Keep:
    """In place as far as we remember; asked for again all the same, the broker alone knows."""

    subscription: Subscription
    why: str = "keep"


Change = Subscribe | Keep


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one change. ``reason`` and ``detail`` are empty where it succeeded.

    ``answered`` False: the platform said neither yes nor no, so nothing new is known of the subscription.
    """

    change: Change
    reason: str = ""
    detail: str = ""
    answered: bool = True

    @property
    def ok(self) -> bool:
        return not self.reason


@dataclass(frozen=True, slots=True)
class TenantList:
    """The user tenants, each once, in the platform's order.

    ``complete`` False: the list changed while it was read, twice; these names are right, others may be missing.
    """

    names: tuple[str, ...]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What ``apply`` would do, and what an operator should know beside it."""

    changes: Sequence[Change]
    erased: Sequence[Tenant]  # provisioned, yet erased here: left out until their tombstone is gone
    complete: bool  # False: the list of tenants kept changing, some may be missing


def plan(desired: Iterable[Subscription], actual: Iterable[SubscriptionRow]) -> list[Change]:
    """What has to be done so that what is remembered (``actual``) becomes what should be. In the order of desired."""
    remembered = {(row.tenant, row.topic, row.subscriber, row.version): row for row in actual}
    return [_change(subscription, remembered.get(subscription.key)) for subscription in desired]


def _change(subscription: Subscription, row: SubscriptionRow | None) -> Change:
    if row is None:
        return Subscribe(subscription, "new")
    if row.state != "active":
        return Subscribe(subscription, "failed")
    return Keep(subscription) if row.uri == subscription.uri else Subscribe(subscription, "moved")


class Registrar:
    """Registers one application. ``plan`` and ``apply`` may be called again and again, one at a time."""

    def __init__(
        self, settings: MindSphereSettings, gateway: Gateway, registry: Registry, *, uri: str, stop: threading.Event
    ) -> None:
        """``uri`` is the webhook's address as the broker shall know it. ``stop`` ends ``apply`` between two calls."""
        self._settings = settings
        self._gateway = gateway
        self._registry = registry
        self._uri = uri
        self._stop = stop
        self._verb = "PUT"  # POST once the broker has said that it takes no PUT
        self._unanswered = 0  # calls in a row that found nobody there

    def tenants(self) -> TenantList:
        """The tenants that the application is provisioned to, without the host unless the platform lists it.

        Raises ``PlatformRefused``, ``PlatformUnavailable``.
        """
        first = self._read_list()
        if first.complete:
            return first
        again = self._read_list()
        return again if again.complete else TenantList(_unique((*again.names, *first.names)), False)

    def plan(self, only: Tenant | None = None) -> Plan:
        """What to do for all tenants, or for ``only`` one. Changes nothing. Raises like :meth:`tenants`."""
        host = self._settings.host_tenant
        listed = TenantList((), True) if only == Tenant(MINDSPHERE, host) else self.tenants()
        named = [Tenant(MINDSPHERE, name) for name in _unique((host, *listed.names))]
        gone = {row.tenant for row in self._registry.tenants() if row.state == TenantState.GONE}
        wanted = [tenant for tenant in named if only in (None, tenant)]
        served = [tenant for tenant in wanted if tenant not in gone]
        return Plan(
            changes=plan(self._desired(served), self._registry.subscriptions(MINDSPHERE)),
            erased=[tenant for tenant in wanted if tenant in gone],
            complete=listed.complete,
        )

    def apply(self, changes: Sequence[Change], on_applied: Callable[[Applied], None] | None = None) -> list[Applied]:
        """Ask the broker for each, several at once, and remember what it said. The order of results is theirs.

        ``on_applied`` is called in this thread after each. Only the store's errors end this early.
        """
        self._unanswered = 0
        self._welcome(changes)
        results = []
        pool = ThreadPoolExecutor(POOLED_CONNECTIONS, thread_name_prefix="registration")
        try:
            for future in as_completed([pool.submit(self._apply, change) for change in changes]):
                results.append(future.result())
                self._remember(results[-1])
                if on_applied is not None:
                    on_applied(results[-1])
        finally:
            pool.shutdown(cancel_futures=True)
        return results

    def probe(self) -> None:
        """Are the credentials good now? Raises ``PlatformRefused`` with the likely cause, ``PlatformUnavailable``."""
        self._gateway.probe(self._settings.host_tenant)

    def close(self) -> None:
        """Let go of all connections."""
        self._gateway.close()

    def _welcome(self, changes: Iterable[Change]) -> None:
        """A provisioned tenant is served from now on. One we know of keeps its state."""
        known = {row.tenant for row in self._registry.tenants()}
        for tenant in dict.fromkeys(change.subscription.tenant for change in changes):
            if tenant not in known:
                self._registry.put_tenant(tenant, TenantState.ACTIVE)

    def _read_list(self) -> TenantList:
        pages = [self._page(0)]
        while len(pages) < pages[-1].total_pages:
            if len(pages) == MAX_PAGES:
                detail = f"the list of user tenants has more than {MAX_PAGES} pages"
                raise PlatformUnavailable(detail, reason="tenant_list_too_long")
            pages.append(self._page(len(pages)))
        return _joined(pages)

    def _page(self, number: int) -> api.TenantPage:
        answer = self._gateway.call(self._settings.host_tenant, api.user_tenants_request(number))
        return api.read_user_tenants(answer.status, answer.body)

    def _desired(self, tenants: Iterable[Tenant]) -> list[Subscription]:
        """Every topic in every tenant; provisioning is told to the host alone."""
        topics = self._settings.topics
        told = _unique((*topics, self._settings.provisioning_topic))
        host = Tenant(MINDSPHERE, self._settings.host_tenant)
        return [
            Subscription(
                tenant=tenant,
                topic=topic,
                subscriber=self._settings.app,
                version=self._settings.version,
                uri=self._uri,
            )
            for tenant in tenants
            for topic in (told if tenant == host else _unique(topics))
        ]

    def _apply(self, change: Change) -> Applied:
        if self._stop.is_set():
            return Applied(change, "stopped", "not tried: stopped before its turn", answered=False)
        if self._unanswered >= OUTAGE_CALLS:
            detail = f"not tried: {OUTAGE_CALLS} calls before it found the platform away"
            return Applied(change, "not_tried", detail, answered=False)
        try:
            self._subscribe(change.subscription)
        except PlatformRefused as error:
            self._unanswered = 0
            return Applied(change, error.reason, error.detail)
        except PlatformUnavailable as error:
            self._unanswered += 1  # threads may miss a count of each other's: the limit is a rough one
            return Applied(change, error.reason, error.detail, answered=False)
        self._unanswered = 0
        return Applied(change)

    def _subscribe(self, subscription: Subscription) -> None:
        """PUT as every current source says; POST where the broker only knows the older spelling."""
        path = api.subscription_path(self._settings.broker_path, self._gateway.application, subscription.topic)
        tenant, verb = subscription.tenant.name, self._verb
        answer = self._gateway.call(tenant, api.subscribe_request(path, subscription.uri, verb))
        if answer.status == 405 and verb == "PUT":
            self._verb = "POST"
            answer = self._gateway.call(tenant, api.subscribe_request(path, subscription.uri, "POST"))
        api.read_subscribed(answer.status, answer.body)

    def _remember(self, applied: Applied) -> None:
        _log(applied)
        if not applied.answered:
            return
        subscription = applied.change.subscription
        row = SubscriptionRow(
            tenant=subscription.tenant,
            topic=subscription.topic,
            subscriber=subscription.subscriber,
            version=subscription.version,
            uri=subscription.uri,
            state="active" if applied.ok else "failed",
            detail=applied.detail,
            updated_at=EPOCH,  # the store sets it
        )
        self._registry.put_subscription(row)


def _joined(pages: Sequence[api.TenantPage]) -> TenantList:
    """One list of its pages. It is complete if every page tells of the same list, and all of it was seen."""
    names = [name for page in pages for name in page.names]
    same = len({(page.total_pages, page.total_elements) for page in pages}) == 1
    in_order = [page.number for page in pages] == list(range(len(pages)))
    whole = len(names) == len(set(names)) == pages[0].total_elements
    return TenantList(_unique(names), same and in_order and whole)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def build(
    settings: Settings,
    store: Store,
    *,
    stop: threading.Event | None = None,
    public_url: str = "",
    jitter: Callable[[], float] = random.random,
) -> Registrar:
    """The registrar of the configured application. ``stop`` ends its waiting and its work early.

    Raises ``SettingsError`` where MindSphere is off, or the address template wants what is not known.
    """
    mindsphere = settings.mindsphere
    if mindsphere is None:
        raise SettingsError(["MDSP_KEY_STORE_CLIENT_ID is not set: without credentials there is nothing to register"])
    uri = webhook_uri(mindsphere, public_url)
    stop = stop or threading.Event()
    transport = Transport(mindsphere.gateway_url, pause=stop.wait, jitter=jitter)
    gateway = Gateway(TokenManager(_application(mindsphere), transport), transport)
    return Registrar(mindsphere, gateway, store.registry, uri=uri, stop=stop)


def webhook_uri(settings: MindSphereSettings, public_url: str = "") -> str:
    """The address that the broker shall deliver to, built anew from the host tenant: it changes at a handover."""
    if "{public}" in settings.uri_template and not public_url:
        raise SettingsError(["MDSP_URI_TEMPLATE uses {public}, but this service's own address is not known"])
    return api.webhook_uri(
        settings.uri_template,
        gateway=settings.gateway_url,
        app=settings.app,
        host=settings.host_tenant,
        version=settings.version,
        major=settings.major,
        public=public_url,
    )


def _application(settings: MindSphereSettings) -> api.Application:
    return api.Application(
        name=settings.app,
        version=settings.version,
        host_tenant=settings.host_tenant,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
    )


def _log(applied: Applied) -> None:
    subscription = applied.change.subscription
    extra = {
        "action": "subscribed" if applied.ok else "subscribe_failed",
        "platform": subscription.tenant.platform,
        "tenant": subscription.tenant.name,
        "topic": subscription.topic,
        "reason": applied.reason,
    }
    logger.log(logging.INFO if applied.ok else logging.WARNING, "subscription", extra=extra)
