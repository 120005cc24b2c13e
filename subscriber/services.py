"""The composition root: everything is built here, once, from settings; and what a worker process runs.

Nothing here decides anything: it hands parts to each other. What only a worker needs is imported when it starts, so
that a web process stays small.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from subscriber.access import DeliveryRules, ReadingRules
from subscriber.callbacks import Callbacks
from subscriber.credentials import Credentials
from subscriber.errors import KeysUnavailable, SubscriberError
from subscriber.intake import Gate, Intake
from subscriber.keys import KeySource, fetch_keys
from subscriber.metrics import Metrics, serve_metrics
from subscriber.model import CUMULOCITY, MINDSPHERE, PELION, SMARTREST
from subscriber.people import People
from subscriber.settings import BROKER_RETENTION_DAYS, MindSphereSettings, Settings
from subscriber.store import Retention, Store, TenantState, open_store
from subscriber.tokens import Verifier

if TYPE_CHECKING:
    from subscriber.channels.runner import Line
    from subscriber.cumulocity.directory import Directory
    from subscriber.cumulocity.residence import Residence
    from subscriber.pelion import Desk
    from subscriber.platform_client import Clients
    from subscriber.provisioning import Provisioning
    from subscriber.sinks import Forward, Publish

logger = logging.getLogger(__name__)

BEAT_SECONDS = 60.0  # a gap is noticed to the minute, and four days have 5,760 of them
PRUNE_SECONDS = 600.0  # small steps often: no run has much to do
TALLY_SECONDS = 1.0  # longer than a scrape takes, shorter than any scrape interval
PRUNE_LOCK_SECONDS = 1800.0  # longer than a run takes, shorter than an operator's patience after a crash


def utc_now() -> datetime:
    """The wall clock, cut to the milliseconds that notifications keep."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


@dataclass(frozen=True, slots=True)
class Services:
    """One process's parts."""

    settings: Settings
    store: Store
    metrics: Metrics
    intake: Intake
    callbacks: Callbacks | None = None  # None: Pelion is off
    credentials: Credentials | None = None  # None: MindSphere is off
    people: People | None = None  # None: nobody's tokens are known, so API and console are off

    def beat(self, stop: threading.Event) -> None:
        """Say every minute that deliveries are accepted here; every web process does, beside its requests."""
        every(BEAT_SECONDS, stop, "heartbeat", self._heartbeat)

    def work(self, stop: threading.Event) -> None:
        """What a worker does until told to stop: handle what was accepted, forget what may be forgotten."""
        from subscriber.dispatcher import Dispatcher, RetryPolicy
        from subscriber.routes import load

        settings, sinks = self.settings, self._sinks()
        directory = self._directory(stop)
        clients = self._platform_clients(stop, directory)
        routes, provisioning = load(settings.handlers, settings), self._provisioning(stop)
        residence = self._residence(stop, directory)
        dispatcher = Dispatcher(
            self.store.inbox,
            self.store.registry,
            routes,
            policy=RetryPolicy(
                max_attempts=settings.max_attempts,
                base_seconds=settings.retry_base_seconds,
                max_seconds=settings.retry_max_seconds,
            ),
            threads=settings.worker_threads,
            sinks=sinks,
            built_in=[provisioning.route] if provisioning else [],
            platform_client=clients,
            observer=self.metrics,
        )
        with ExitStack() as stack:
            stack.callback(self.store.close)
            if directory:
                stack.callback(directory.close)
            stack.callback(clients.close)
            for sink in sinks:
                stack.callback(sink.close)
            stack.enter_context(self._own_metrics())
            pruning = threading.Thread(target=every, args=(PRUNE_SECONDS, stop, "prune", self._prune), daemon=True)
            pruning.start()
            if provisioning:
                stack.enter_context(provisioning.running())
            if residence:
                stack.enter_context(residence.running())
            pelion = self._pelion(stop)
            if pelion:
                stack.enter_context(pelion.upkeep.running())
            if lines := [*self._channel_lines(directory), *self._pelion_lines(pelion)]:
                from subscriber.channels.runner import running

                stack.enter_context(running(lines, self.store, self.metrics, utc_now, stop))
            dispatcher.run(stop)

    def _channel_lines(self, directory: Directory | None) -> list[Line]:
        """The long-lived connections of each platform that has some."""
        cumulocity, lines = self.settings.cumulocity, self._realtime_lines(directory)
        if cumulocity is None or directory is None or not cumulocity.subscriptions:
            return lines
        from subscriber.channels.cumulocity import line
        from subscriber.cumulocity.wanted import Wanted

        wanted = Wanted(cumulocity, directory, self.store.registry)
        return [line(wanted, wanted.refused), *lines]

    def _realtime_lines(self, directory: Directory | None) -> list[Line]:
        """Conversations of Cumulocity real-time, where some are configured."""
        cumulocity, realtime = self.settings.cumulocity, self.settings.realtime
        if cumulocity is None or directory is None or not realtime:
            return []
        from subscriber.channels.realtime import line
        from subscriber.cumulocity.conversing import Conversing

        conversing = Conversing(cumulocity.base_url, realtime, directory, self.store.registry)
        return [line(conversing, conversing.refused)]

    def _pelion(self, stop: threading.Event) -> Desk | None:
        """Pelion's channels and what they observe; None where it is off."""
        from subscriber.pelion import open_desk

        if self.settings.pelion is None:
            return None
        gap = partial(self.metrics.channel_gap, PELION, "channel_removed")
        return open_desk(self.settings, self.store, gap, stop=stop, clock=utc_now)

    def _pelion_lines(self, desk: Desk | None) -> list[Line]:
        """WebSocket channels, where some are configured."""
        if self.settings.pelion is None or desk is None:
            return []
        from subscriber.channels.pelion import line
        from subscriber.pelion.wanted import Book, Wanted

        wanted = Wanted(self.settings.pelion.channels, self.store.registry)
        return [line(wanted, Book(desk.standing, self.store.registry))] if wanted.configured else []

    def _sinks(self) -> list[Forward | Publish]:
        """Where every routed notification is handed on to."""
        from subscriber.sinks import forward, publish

        settings = self.settings
        sinks: list[Forward | Publish] = []
        if settings.forward_url:
            sinks.append(forward(settings.forward_url, settings.forward_secret or None))
        if settings.amqp_url:
            sinks.append(publish(settings.amqp_url, settings.amqp_exchange))
        return sinks

    def _provisioning(self, stop: threading.Event) -> Provisioning | None:
        """Who comes and goes, and their subscriptions; None where MindSphere is off."""
        from subscriber.provisioning import Provisioning, load_hook
        from subscriber.registration import build

        hook = load_hook(self.settings.handlers)
        if self.settings.mindsphere is None:
            return None
        return Provisioning(self.settings, self.store, build(self.settings, self.store, stop=stop), hook, stop)

    def _directory(self, stop: threading.Event) -> Directory | None:
        """The tenants of Cumulocity and their service users; None where it is off."""
        from subscriber.cumulocity import open_directory

        cumulocity = self.settings.cumulocity
        return None if cumulocity is None else open_directory(cumulocity, stop=stop)

    def _residence(self, stop: threading.Event, directory: Directory | None) -> Residence | None:
        """Cumulocity's tenants and their rules; None where nothing is subscribed, or was."""
        from subscriber.cumulocity import build as build_registrar
        from subscriber.cumulocity import subscribes
        from subscriber.cumulocity.residence import Residence
        from subscriber.provisioning import load_hook

        settings = self.settings
        cumulocity = settings.cumulocity
        if cumulocity is None or directory is None or not subscribes(cumulocity, self.store):
            return None
        registrar = build_registrar(cumulocity, self.store, directory, by_hand=False, stop=stop)
        retention = timedelta(days=settings.leaving_retention_days)
        return Residence(registrar, self.store, load_hook(settings.handlers), stop, retention)

    def _platform_clients(self, stop: threading.Event, directory: Directory | None) -> Clients:
        """What handlers read platforms with; one gateway a platform, so that its tokens are shared."""
        from subscriber.cumulocity import open_gateway as open_service_gateway
        from subscriber.pelion import open_gateway as open_pelion_gateway
        from subscriber.platform_client import Clients, Gateway
        from subscriber.token_manager import open_gateway

        gateways: dict[str, Gateway] = {}
        mindsphere, cumulocity = self.settings.mindsphere, self.settings.cumulocity
        if mindsphere is not None:
            gateways[MINDSPHERE] = open_gateway(mindsphere, stop=stop)
        if cumulocity is not None and directory is not None:
            gateways[CUMULOCITY] = gateways[SMARTREST] = open_service_gateway(cumulocity, directory, stop=stop)
        if self.settings.pelion is not None:
            gateways[PELION] = open_pelion_gateway(self.settings.pelion, stop=stop)
        return Clients(gateways, self.store.registry)

    def _heartbeat(self) -> None:
        gap = self.store.registry.heartbeat(MINDSPHERE, timedelta(days=BROKER_RETENTION_DAYS))
        if gap is not None:
            logger.error(
                "away longer than the platform keeps trying: what it published from %s to %s is lost",
                gap.lost_from.isoformat(),
                gap.lost_until.isoformat(),
                extra={"action": "gap", "platform": gap.platform},
            )
        if self.credentials is not None:
            self.credentials.see()
        if refused := self.metrics.take_refused():
            self.store.registry.count_refused(refused)

    def _prune(self) -> None:
        """Forget what retention allows, unless another process is at it."""
        registry, holder = self.store.registry, f"{socket.gethostname()}:{os.getpid()}"
        if registry.acquire("prune", holder, PRUNE_LOCK_SECONDS) is None:
            return
        try:
            while self.store.inbox.prune(retention(self.settings)).anything:
                pass
        finally:
            registry.release("prune", holder)

    @contextmanager
    def _own_metrics(self) -> Iterator[None]:
        """A port for the metrics of a worker, where one is set."""
        if not self.settings.worker_metrics_port:
            yield
            return
        self.metrics.add_process_facts()
        settings = self.settings
        server = serve_metrics(self.metrics, settings.host, settings.worker_metrics_port, settings.metrics_token)
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()


def build(settings: Settings) -> Services:
    """Open the store and build the parts that every process has. Raises ``SchemaOutdated``, ``StoreUnavailable``."""
    store = open_store(settings.database_url)
    metrics = Metrics()
    gates = {MINDSPHERE: mindsphere_gate(settings.mindsphere, metrics)} if settings.mindsphere else {}
    if registered := registered_platforms(settings):
        watch_registration(store, metrics, registered)
    return Services(
        settings=settings,
        store=store,
        metrics=metrics,
        intake=Intake(store.inbox, gates, utc_now),
        callbacks=pelion_callbacks(settings, store),
        credentials=mindsphere_credentials(settings.mindsphere, store, metrics) if settings.mindsphere else None,
        people=people(settings, gates.get(MINDSPHERE), store, metrics),
    )


def registered_platforms(settings: Settings) -> list[str]:
    """Platforms that are on and have subscriptions that a worker makes and keeps."""
    configured = {MINDSPHERE: settings.mindsphere, CUMULOCITY: settings.cumulocity, PELION: settings.pelion}
    return [name for name, found in configured.items() if found]


def pelion_callbacks(settings: Settings, store: Store) -> Callbacks | None:
    """Who may call back for Pelion's channels, by the settings; None where there are none."""
    pelion = settings.pelion
    if pelion is None:
        return None
    demanded = pelion.client_cn if settings.tls_client_ca_file or pelion.subject_header else None
    return Callbacks(store.inbox, store.registry, pelion.channels, utc_now, client_cn=demanded)


def mindsphere_gate(settings: MindSphereSettings, metrics: Metrics) -> Gate:
    """Who may deliver for MindSphere, by the settings."""
    return Gate(
        verifier=Verifier(
            settings.issuer, settings.keys_url, source=lambda url: KeySource(url, fetch=counted(metrics))
        ),
        zones=frozenset(settings.issuer_zones),
        rules=DeliveryRules(
            required_scopes=frozenset(settings.required_scopes),
            trusted_tenants=frozenset(settings.trusted_tenants),
            allowed_callers=frozenset(settings.allowed_callers),
            own_client_id=settings.client_id,
        ),
    )


OTHER_ISSUER = "other"  # names the one zone of AUTH_ISSUER


def people(settings: Settings, gate: Gate | None, store: Store, metrics: Metrics) -> People | None:
    """Who may read and operate, by the settings; None where no issuer of tokens is known.

    ``gate`` is MindSphere's: who delivers and who reads share its keys.
    """
    mindsphere = settings.mindsphere
    if settings.auth_issuer:
        verifier = other_verifier(settings.auth_issuer, settings.auth_keys_url, metrics)
        host, zones = settings.auth_host_tenant, frozenset({OTHER_ISSUER})
    elif mindsphere is not None and gate is not None:
        verifier, host, zones = gate.verifier, mindsphere.host_tenant, gate.zones
    else:
        return None
    rules = ReadingRules(
        app=settings.app_name,
        host_tenant=host,
        zones=zones,
        own_zones=not settings.auth_issuer,
        aliases={alias.tenant: alias.name for alias in settings.tenant_aliases},
    )
    return People(verifier, rules, store.registry)


def other_verifier(issuer: str, keys_url: str, metrics: Metrics) -> Verifier:
    """For an issuer that is not the platform's: it has one zone, whatever that is called."""
    return Verifier(
        lambda _zone: issuer, lambda _zone: keys_url, source=lambda url: KeySource(url, fetch=counted(metrics))
    )


def mindsphere_credentials(settings: MindSphereSettings, store: Store, metrics: Metrics) -> Credentials:
    """The configured credentials, whose age metrics show from now on."""
    credentials = Credentials(settings.client_id, store.registry, utc_now)
    metrics.watch("credentials_age_days", "days since the application credentials came in use", credentials.age_days)
    return credentials


class Tally:
    """Counts by name, read at most once for all gauges of a scrape: they look at every subscription."""

    def __init__(self, read: Callable[[], dict[str, int]], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._monotonic = monotonic
        self._read_at = float("-inf")
        self._counts: dict[str, int] = {}

    def count(self, name: str) -> float:
        """How many there are, as of a moment ago. Raises store errors."""
        now = self._monotonic()
        if now >= self._read_at + TALLY_SECONDS:
            self._counts, self._read_at = self._read(), now
        return self._counts.get(name, 0)


def watch_registration(store: Store, metrics: Metrics, platforms: Sequence[str]) -> None:
    """Metrics of subscriptions and tenants, which live in the store: every process can show them."""
    tallies = {platform: Tally(partial(store.registry.tally, platform)) for platform in platforms}

    def counts(name: str) -> dict[str, float]:
        return {platform: tally.count(name) for platform, tally in tallies.items()}

    def reconciled_at() -> dict[str, float]:
        read = {platform: store.registry.census(platform).reconciled_at for platform in platforms}
        return {platform: 0.0 if at is None else at.timestamp() for platform, at in read.items()}

    for state in ("active", "failed", "stale"):
        name = f"subscriptions_{state}"
        metrics.watch_platforms(name, f"subscriptions that are {state}", partial(counts, name))
    for state in (TenantState.ACTIVE, TenantState.LEAVING, TenantState.GONE):
        name = f"tenants_{state}"
        metrics.watch_platforms(name, f"tenants that are {state}", partial(counts, name))
    meaning = "when every subscription was last in place"
    metrics.watch_platforms("reconciled_timestamp_seconds", meaning, reconciled_at)


def counted(metrics: Metrics) -> Callable[[str], bytes]:
    """Fetching of keys that metrics know of."""

    def fetch(url: str) -> bytes:
        try:
            document = fetch_keys(url)
        except KeysUnavailable:
            metrics.keys_fetched("failed")
            raise
        metrics.keys_fetched("ok")
        return document

    return fetch


def retention(settings: Settings) -> Retention:
    """What may be forgotten, by the settings."""
    return Retention(
        horizon=timedelta(days=settings.horizon_days),
        payload=timedelta(days=settings.payload_retention_days),
        dead=timedelta(days=settings.dead_retention_days),
        tombstone=timedelta(days=settings.horizon_days),
    )


def every(seconds: float, stop: threading.Event, name: str, run_once: Callable[[], None]) -> None:
    """Run ``run_once`` now and then every ``seconds`` until told to stop; what it raises of ours is logged."""
    while not stop.is_set():
        try:
            run_once()
        except SubscriberError as error:
            logger.warning("%s failed: %s", name, error, extra={"action": f"{name}_failed", "reason": error.reason})
        stop.wait(seconds)
