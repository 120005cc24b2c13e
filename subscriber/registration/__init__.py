"""Registration: every tenant that has the application is subscribed to every topic, and nobody else.

Reading order: ``plan`` (what has to be done, pure) and ``roster`` (who is served, pure) → ``census`` (a list taken
down) → ``reconciler`` (a whole run) → ``apply`` (many calls at once, each remembered) → ``broker`` and ``tenants``
(the calls) → ``patience``, ``lock``, ``erasure``. ``subscriber.provisioning`` runs it in a worker; what is not
MindSphere's alone serves ``subscriber.cumulocity`` as well.

It never retires a tenant on the word of one list or of a notice, never forgets an answer it has had, and never
touches what a newer version has subscribed. Follows "Receiving MindSphere Notifications".
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from subscriber.errors import SettingsError
from subscriber.platforms import mindsphere_api as api
from subscriber.registration.apply import CEILING
from subscriber.registration.broker import Broker
from subscriber.registration.patience import Patience, Told, connect_seconds
from subscriber.registration.reconciler import Reconciler
from subscriber.settings import MindSphereSettings, Settings
from subscriber.store import Clock, Store
from subscriber.token_manager import Gateway, TokenManager, application_of
from subscriber.transport import Transport
from subscriber.tunnel import own_address

PUBLIC = "{public}"  # place of the address template that this service's own address fills


def build(
    settings: Settings,
    store: Store,
    *,
    stop: threading.Event | None = None,
    jitter: Callable[[], float] = random.random,
    clock: Clock = lambda: datetime.now(UTC),
    told: Told | None = None,
) -> Reconciler:
    """The reconciler of the configured application. ``stop`` ends its waiting and its work early.

    ``told``: for a person who waits, see ``patience``.

    PUBLIC_URL is only asked for where the address template wants it, and anew for each run: a tunnel's address
    changes whenever its agent starts. Raises ``SettingsError`` where MindSphere is off.
    """
    mindsphere = settings.mindsphere
    if mindsphere is None:
        raise SettingsError(
            [
                "none of MDSP_KEY_STORE_CLIENT_ID, C8Y_SUBSCRIPTIONS and PELION_CHANNELS is set: there is nothing to "
                "register"
            ]
        )
    stop = stop or threading.Event()
    transport = Transport(
        mindsphere.gateway_url,
        connect_seconds=connect_seconds(told),
        pause=stop.wait,
        jitter=jitter,
        attempts=1,
        connections=CEILING,
    )
    gateway = Gateway(TokenManager(application_of(mindsphere), transport, jitter=jitter), transport)
    return Reconciler(
        mindsphere,
        Broker(gateway, mindsphere.broker_path, mindsphere.host_tenant, Patience(stop.wait, jitter, told=told)),
        store.registry,
        uri=lambda: webhook_uri(mindsphere, _public_url(settings, mindsphere.uri_template)),
        stop=stop,
        clock=clock,
    )


def webhook_uri(settings: MindSphereSettings, public_url: str = "") -> str:
    """The address that the broker shall deliver to, built anew from the host tenant: it changes at a handover.

    Raises ``SettingsError`` if the template wants this service's own address and there is none.
    """
    if PUBLIC in settings.uri_template and not public_url:
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


def _public_url(settings: Settings, template: str) -> str:
    """This service's own address, empty where the template has no place for it. Raises ``NoTunnel``."""
    if PUBLIC not in template:
        return ""
    return own_address(settings.public_url, settings.ngrok_api_url, settings.port)
