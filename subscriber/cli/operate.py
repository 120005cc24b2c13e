"""`pause`, `resume`, `prune`, `check`: looking after a running service."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from subscriber.cli.session import FAILED, current
from subscriber.cli.terminal import Output, output_option
from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.model import CUMULOCITY, MINDSPHERE, PELION, SMARTREST, Tenant

if TYPE_CHECKING:
    from subscriber.settings import CumulocitySettings, PelionSettings, Settings
    from subscriber.store import Finding, Store

KINDS = click.Choice(["tenant", "platform", "topic"])
PLATFORMS = (MINDSPHERE, CUMULOCITY, SMARTREST, PELION)
MAX_STEPS = 100_000  # of ten thousand rows each: more than one disk holds, so a longer loop would be a bug


@click.command()
@click.argument("kind", type=KINDS, required=False)
@click.argument("name", required=False)
@output_option
def pause(out: Output, kind: str | None, name: str | None) -> None:
    """Stop handling; accepting goes on.

    Of a tenant, a platform or a topic. Without arguments: show what is paused.
    """
    if kind is None:
        return _show_pauses(out)
    if name is None:
        raise click.UsageError(f"name the {kind} to pause")
    full = _full_name(kind, name)
    with current().store() as store:
        changed = store.registry.pause(kind, full)
        store.registry.audit("cli", "pause", f"{kind} {full}")
    text = "Handling is paused" if changed else "Handling was paused before"
    out.done({"kind": kind, "name": full, "changed": changed}, f"{text}: {kind} {full}.")


@click.command()
@click.argument("kind", type=KINDS)
@click.argument("name")
@output_option
def resume(out: Output, kind: str, name: str) -> None:
    """Go on handling what was paused."""
    full = _full_name(kind, name)
    with current().store() as store:
        changed = store.registry.resume(kind, full)
        store.registry.audit("cli", "resume", f"{kind} {full}")
    text = "Handling goes on" if changed else "Nothing to do, it was not paused"
    out.done({"kind": kind, "name": full, "changed": changed}, f"{text}: {kind} {full}.")


def _show_pauses(out: Output) -> None:
    with current().store() as store:
        pauses = store.registry.pauses()
    out.table(("kind", "name", "since"), [asdict(one) for one in pauses])
    if not pauses:
        out.say("Nothing is paused.")


def _full_name(kind: str, name: str) -> str:
    """As pauses are kept: a tenant with its platform. A platform has to exist, a typing error would pause nothing."""
    if kind == "platform" and name not in PLATFORMS:
        raise click.UsageError(f"{name!r} is no platform; there is {', '.join(PLATFORMS)}")
    return str(Tenant.parse(name)) if kind == "tenant" else name


@click.command()
@output_option
def prune(out: Output) -> None:
    """Forget what retention allows.

    Bodies, handled notifications, dead letters and the tombstones of erased tenants.
    """
    from subscriber.services import retention

    session = current()
    wanted = retention(session.settings())
    gone: Counter[str] = Counter()
    with session.store() as store, out.busy("Pruning"):
        for _ in range(MAX_STEPS):
            step = store.inbox.prune(wanted)
            gone.update(asdict(step))
            if not step.anything:
                break
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in gone.items())
    out.done(gone, f"Forgotten: {told}.")


@click.command()
@click.option("--offline", is_flag=True, help="Do not ask the platform whether the credentials are good.")
@click.option("--renewed", is_flag=True, help="First remember that the credentials were issued anew today.")
@output_option
def check(out: Output, offline: bool, renewed: bool) -> None:
    """Look for what needs an operator.

    The store's integrity, gaps, failed subscriptions, credentials and their age, channels, certificates. Exit code 1
    if there is something.
    """
    from subscriber.cumulocity import subscribes

    session = current()
    settings = session.settings()
    with session.store() as store, out.busy("Checking"):
        if renewed:
            _renew(store, settings)
        findings = [*store.inbox.check(), *_findings(store, settings), *_dated(store, settings)]
        if not offline and settings.mindsphere is not None:
            findings.append(_credentials(store, settings))
        if settings.cumulocity is not None and subscribes(settings.cumulocity, store):
            findings += _cumulocity(store, settings.cumulocity, offline)
        if settings.cumulocity is not None and settings.realtime:
            findings += _conversations(store, settings, settings.cumulocity, offline)
        if settings.pelion is not None:
            findings += _pelion(store, settings, settings.pelion, offline)
    out.table(("name", "ok", "detail"), [asdict(finding) for finding in findings])
    for warning in settings.warnings:
        out.warn(warning)
    if not all(finding.ok for finding in findings):
        click.get_current_context().exit(FAILED)


def _findings(store: Store, settings: Settings) -> Iterator[Finding]:
    """What the store remembers beside its own integrity."""
    from subscriber.settings import BROKER_RETENTION_DAYS
    from subscriber.store import Finding

    kept, tried = settings.horizon_days, BROKER_RETENTION_DAYS
    yield Finding(name="horizon", ok=kept > tried, detail=f"keys are kept {kept} days, the platform retries {tried}")
    gaps = store.registry.gaps()
    text = f"{len(gaps)}, the last until {gaps[0].lost_until:%Y-%m-%d %H:%M} UTC" if gaps else "none"
    yield Finding(name="gaps", ok=True, detail=text)
    tally, waiting = store.registry.tally(MINDSPHERE), store.registry.census(MINDSPHERE).waiting
    failed, stale = tally.get("subscriptions_failed", 0), tally.get("subscriptions_stale", 0)
    text = f"{failed} failed: `register` shows which" if failed else "none failed"
    yield Finding(name="subscriptions", ok=not failed, detail=text)
    text = f"{stale} that these credentials cannot remove" if stale else "none"
    yield Finding(name="stale_subscriptions", ok=True, detail=text)
    text = f"{waiting} tenants are missing in the list: `register --apply --confirm-shrink` lets them go"
    yield Finding(name="tenants", ok=not waiting, detail=text if waiting else "none is missing")


def _renew(store: Store, settings: Settings) -> None:
    from subscriber.credentials import Credentials
    from subscriber.services import utc_now

    if settings.mindsphere is None:
        raise click.UsageError("there are no credentials: MDSP_KEY_STORE_CLIENT_ID is not set")
    Credentials(settings.mindsphere.client_id, store.registry, utc_now).renew()
    store.registry.audit("cli", "credentials_renewed", settings.mindsphere.client_id)


def _dated(store: Store, settings: Settings) -> Iterator[Finding]:
    """What ends on a day that can be known before."""
    from subscriber import certificates
    from subscriber.credentials import Credentials
    from subscriber.services import utc_now

    if settings.tls_cert_file:
        yield certificates.finding(settings.tls_cert_file, utc_now())
    if settings.mindsphere is not None:
        credentials = Credentials(settings.mindsphere.client_id, store.registry, utc_now)
        credentials.see()
        yield credentials.finding()


def _credentials(store: Store, settings: Settings) -> Finding:
    """Good as long as the Token Manager gives a token for the host tenant; when they end it does not say."""
    from subscriber.registration import build
    from subscriber.store import Finding

    with closing(build(settings, store)) as registrar:
        try:
            registrar.probe()
        except (PlatformRefused, PlatformUnavailable) as error:
            return Finding(name="credentials", ok=False, detail=error.detail)
    return Finding(name="credentials", ok=True, detail="the Token Manager accepts them")


def _cumulocity(store: Store, settings: CumulocitySettings, offline: bool) -> Iterator[Finding]:
    """What the store remembers of its tenants, and whether they take our service users with their role."""
    from subscriber.registrars import open_cumulocity
    from subscriber.store import Finding

    tally, waiting = store.registry.tally(CUMULOCITY), store.registry.census(CUMULOCITY).waiting
    failed = tally.get("subscriptions_failed", 0)
    text = f"{failed} failed: `register` shows which" if failed else "none failed"
    yield Finding(name="cumulocity_subscriptions", ok=not failed, detail=text)
    text = f"{waiting} tenants are missing in the list: `register --apply --confirm-shrink` lets them go"
    yield Finding(name="cumulocity_tenants", ok=not waiting, detail=text if waiting else "none is missing")
    if not offline:
        with open_cumulocity(settings, store, threading.Event(), by_hand=True) as registrar:
            yield from registrar.probe()


def _pelion(store: Store, settings: Settings, pelion: PelionSettings, offline: bool) -> Iterator[Finding]:
    """What the store remembers of the channels, whom callbacks are believed from, and what the platform says."""
    from subscriber.pelion import build
    from subscriber.pelion.authorities import finding
    from subscriber.pelion.findings import channel_findings, is_emulated
    from subscriber.services import utc_now
    from subscriber.store import Finding

    failed = store.registry.tally(PELION).get("subscriptions_failed", 0)
    text = f"{failed} failed: `register` shows which" if failed else "none failed"
    yield Finding(name="pelion_subscriptions", ok=not failed, detail=text)
    if settings.tls_client_ca_file:
        yield finding(settings.tls_client_ca_file, utc_now(), emulated=is_emulated(pelion))
    if not offline:
        office = build(settings, store, by_hand=True)
        with closing(office.registrar):
            yield from channel_findings(pelion.channels, office.applications, office.standing)


def _conversations(
    store: Store, settings: Settings, cumulocity: CumulocitySettings, offline: bool
) -> Iterator[Finding]:
    """Sessions that wait for a person, and whether the platform has the templates."""
    from subscriber.registrars import open_conversations

    with open_conversations(settings, cumulocity, store, threading.Event()) as registrar:
        yield from registrar.findings()
        if not offline:
            yield from registrar.probe()
