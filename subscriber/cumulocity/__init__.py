"""Cumulocity: whose tenants are served, the rules that are stored there, and the consumers that read them.

Reading order: ``directory`` (who has the application, and the service users) → ``gateway`` (calls in a tenant's name)
→ ``plan`` (what has to be done, pure) → ``notifications`` (doing it at the platform) → ``registrar`` (a whole run) →
``residence`` (when a worker does it) → ``wanted`` (which consumers there shall be). Of real-time over SmartREST:
``conversing`` (which conversations there shall be) and ``conversations`` (what a person does about them).

It never deletes what nobody here remembers having made, replaces a rule or removes what is no longer configured only
where the plan says so, and never ends a consumer because a process stops. Follows the core OpenAPI specification of
Notification 2.0 and "Microservice SDK, general aspects".
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from subscriber.cumulocity.conversations import ConversationRegistrar
from subscriber.cumulocity.directory import Directory, ReadUsers
from subscriber.cumulocity.gateway import ServiceGateway
from subscriber.cumulocity.notifications import Notifications
from subscriber.cumulocity.plan import LEFTOVER_AFTER
from subscriber.cumulocity.registrar import Registrar
from subscriber.model import CUMULOCITY
from subscriber.platforms import cumulocity_api as api
from subscriber.platforms.smartrest.realtime import Realtime
from subscriber.registration.apply import CEILING
from subscriber.registration.patience import Patience, Told, connect_seconds
from subscriber.settings import CumulocitySettings
from subscriber.store import Clock, Store
from subscriber.transport import Transport


def subscribes(settings: CumulocitySettings | None, store: Store) -> bool:
    """Is there anything to do at the platform: something configured, or something of before?"""
    return settings is not None and bool(settings.subscriptions or store.registry.subscribed(CUMULOCITY))


def open_directory(
    settings: CumulocitySettings, *, stop: threading.Event, jitter: Callable[[], float] = random.random
) -> Directory:
    """The tenants of the application; one per process, so that a list is read once for all. ``close`` it at the end.

    With PER_TENANT it knows the one tenant and asks nobody. ``stop`` ends its waiting between attempts.
    """
    if not settings.multi_tenant:
        return Directory(lambda: (settings.service,))
    transport = Transport(settings.base_url, pause=stop.wait, jitter=jitter)
    return Directory(_bootstrapped(settings, transport), close=transport.close)


def _bootstrapped(settings: CumulocitySettings, transport: Transport) -> ReadUsers:
    """Reads the list of subscribed tenants as the application's bootstrap user."""

    def read() -> tuple[api.ServiceUser, ...]:
        request = api.tenants_request()
        headers = {**request.headers, "Authorization": settings.bootstrap.authorization}
        answer = transport.send(request.method, request.path, headers)
        return api.read_tenants(answer.status, answer.body)

    return read


def open_gateway(
    settings: CumulocitySettings,
    directory: Directory,
    *,
    stop: threading.Event,
    jitter: Callable[[], float] = random.random,
) -> ServiceGateway:
    """What handlers read through; it waits and tries again by itself. ``close`` it at the end."""
    return ServiceGateway(directory, Transport(settings.base_url, pause=stop.wait, jitter=jitter))


def build_conversations(
    settings: CumulocitySettings,
    realtime: Sequence[Realtime],
    store: Store,
    directory: Directory,
    *,
    stop: threading.Event | None = None,
    jitter: Callable[[], float] = random.random,
    clock: Clock = lambda: datetime.now(UTC),
) -> ConversationRegistrar:
    """The registrar of the configured conversations. ``stop`` ends its waiting and its work early."""
    stop = stop or threading.Event()
    gateway = ServiceGateway(directory, Transport(settings.base_url, pause=stop.wait, jitter=jitter))
    return ConversationRegistrar(realtime, gateway, store, stop=stop, clock=clock)


def build(
    settings: CumulocitySettings,
    store: Store,
    directory: Directory,
    *,
    by_hand: bool,
    stop: threading.Event | None = None,
    told: Told | None = None,
    jitter: Callable[[], float] = random.random,
    clock: Clock = lambda: datetime.now(UTC),
) -> Registrar:
    """The registrar of the configured application. ``stop`` ends its waiting and its work early.

    ``by_hand``: a person has seen the plan, so rules are replaced and leftovers removed at once. ``told``: for a
    person who waits, see ``registration.patience``.
    """
    stop = stop or threading.Event()
    transport = Transport(
        settings.base_url,
        pause=stop.wait,
        jitter=jitter,
        attempts=1,
        connections=CEILING,
        connect_seconds=connect_seconds(told),
    )
    gateway = ServiceGateway(directory, transport)
    notifications = Notifications(gateway, Patience(stop.wait, jitter, told=told), replacing=by_hand)
    return Registrar(
        settings,
        directory,
        notifications,
        store.registry,
        stop=stop,
        clock=clock,
        leftover_after=timedelta(0) if by_hand else LEFTOVER_AFTER,
    )
