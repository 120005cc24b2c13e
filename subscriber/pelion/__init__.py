"""Pelion Device Management: the channels that are configured, registered and kept, with what they are to bring.

Reading order: ``addresses`` (where callbacks go) → ``gateway`` (calls with a channel's key) → ``plan`` (what has to
be done, pure) → ``standing`` (what is remembered of a channel, and what was lost) → ``applications`` (doing it at the
platform) → ``registrar`` (a whole run) → ``upkeep`` (when a worker does it) → ``wanted`` (which WebSocket channels
there shall be) → ``findings`` (what a check says).

It never deletes a channel because a process stops or because another kind is wanted, and of presubscriptions only
those that it remembers having made. Follows "Setting a notification channel" and the public API contract of Device
Management (April 2020).
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from subscriber.model import PELION, Tenant
from subscriber.pelion.addresses import Addresses
from subscriber.pelion.applications import Applications
from subscriber.pelion.gateway import Gateway
from subscriber.pelion.registrar import Registrar
from subscriber.pelion.standing import Created, Standing, unheard
from subscriber.pelion.upkeep import Upkeep
from subscriber.registration.patience import Patience, Told, connect_seconds
from subscriber.settings import PelionSettings, Settings
from subscriber.store import Clock, Store
from subscriber.transport import Transport
from subscriber.tunnel import own_address


def registers(settings: PelionSettings | None, store: Store) -> bool:
    """Is there anything to do at the platform: something configured, or something of before?"""
    return settings is not None or bool(store.registry.subscribed(PELION))


def open_gateway(
    settings: PelionSettings, *, stop: threading.Event, jitter: Callable[[], float] = random.random
) -> Gateway:
    """What handlers read through; it waits and tries again by itself. ``close`` it at the end."""
    return Gateway(settings.channels, lambda host: Transport(host, pause=stop.wait, jitter=jitter))


@dataclass(frozen=True, slots=True)
class Office:
    """The parts that know what stands at the platform."""

    registrar: Registrar
    applications: Applications
    standing: Standing


def build(
    settings: Settings,
    store: Store,
    *,
    by_hand: bool,
    stop: threading.Event | None = None,
    told: Told | None = None,
    created: Created = unheard,
    jitter: Callable[[], float] = random.random,
    clock: Clock = lambda: datetime.now(UTC),
) -> Office:
    """The registrar of the configured channels, and what it goes by. ``stop`` ends its waiting and its work early.

    ``by_hand``: a person has seen the plan, so what is not configured any more is removed. ``told``: for
    a person who waits, see ``registration.patience``. ``created``: see ``Standing``. ``clock`` is the store's.
    """
    stop = stop or threading.Event()
    channels = settings.pelion.channels if settings.pelion else ()
    patient = partial(Transport, pause=stop.wait, jitter=jitter, attempts=1, connect_seconds=connect_seconds(told))
    gateway = Gateway(channels, patient)
    standing = Standing(store, clock, created)
    address = Addresses(partial(own_address, settings.public_url, settings.ngrok_api_url, settings.port))
    applications = Applications(gateway, Patience(stop.wait, jitter, told=told), standing, store.registry, address)
    registrar = Registrar(
        channels, applications, standing, store.registry, address, by_hand=by_hand, stop=stop, clock=clock
    )
    return Office(registrar, applications, standing)


@dataclass(frozen=True, slots=True)
class Desk:
    """What a worker has of Pelion."""

    upkeep: Upkeep
    standing: Standing


def open_desk(
    settings: Settings, store: Store, gap: Callable[[], None], *, stop: threading.Event, clock: Clock
) -> Desk:
    """The upkeep of the configured channels. ``gap`` is called for each that was found to be gone."""
    assert settings.pelion is not None
    upkeep: Upkeep | None = None

    def created(tenant: Tenant, before: bool) -> None:
        if before:
            gap()
        if upkeep is not None:
            upkeep.made_anew(tenant)

    office = build(settings, store, by_hand=False, stop=stop, created=created, clock=clock)
    upkeep = Upkeep(settings.pelion.channels, office.registrar, store.reports)
    return Desk(upkeep, office.standing)
