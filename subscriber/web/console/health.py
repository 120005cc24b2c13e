"""What needs a person: keys, tokens, credentials, gaps, pauses, channels, subscriptions. One line each, in words.

A line that nobody can vouch for says so; none is called good because nothing is known about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint, Response

from subscriber import certificates
from subscriber.store import SubscriptionRow
from subscriber.web.console.desk import Desk
from subscriber.web.console.pages import duration
from subscriber.web.console.sight import Sight

GOOD, ACT, UNKNOWN = "good", "act", "unknown"
LATE = timedelta(minutes=5)  # a retry waits for its time; what is due is taken within seconds unless nobody works
SILENT = timedelta(minutes=5)  # channels say every minute how they are
RECONCILED = timedelta(hours=1)  # runs come every 15 minutes; four missed ones are no accident
COUNTED = 10_000  # subscriptions that are astray: more is as bad
COUNTER = re.compile(r"^subscriber_(key_fetches|refused)_total\{(.*)\} ([0-9.e+]+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Line:
    """``page``: where its rows are, empty if it has none."""

    name: str
    state: str
    text: str
    page: str = ""


def add(console: Blueprint, desk: Desk) -> None:
    def show() -> Response:
        sight = desk.sight()
        lines = [*handling(desk, sight), *subscriptions(desk, sight), *connections(desk, sight), *gaps(sight)]
        if sight.everybody:
            lines += [*trust(desk), *refusals(desk)]
        return desk.pages.show("health", sight, lines=lines)

    console.add_url_rule("/health", "health", show)


def needs(desk: Desk, sight: Sight) -> list[Line]:
    """The lines of the overview: all of them, without the details of who was refused why."""
    lines = [*handling(desk, sight), *subscriptions(desk, sight), *connections(desk, sight), *gaps(sight)]
    return [*lines, *trust(desk)] if sight.everybody else lines


def handling(desk: Desk, sight: Sight) -> Iterator[Line]:
    oldest = sight.reports.oldest_pending()
    late = timedelta(0) if oldest is None else desk.clock() - oldest
    text = "nothing waits past its time" if oldest is None else f"the oldest waits {duration(late)} past its time"
    yield Line("handling", ACT if late > LATE else GOOD, text, "inbox?state=pending")
    paused = sight.pauses()
    text = ", ".join(f"{one.kind} {one.name}" for one in paused[:3]) + (" and more" if len(paused) > 3 else "")
    yield Line("pauses", ACT if paused else GOOD, f"paused: {text}" if paused else "nothing is paused", "pauses")


def subscriptions(desk: Desk, sight: Sight) -> Iterator[Line]:
    astray = sight.astray(COUNTED)
    failed = sum(row.state == "failed" for row in astray)
    yield Line("subscriptions", ACT if failed else GOOD, _told(astray, failed), "subscriptions")
    if not sight.everybody:
        return
    for platform in _registered(desk):
        census = desk.store.registry.census(platform)
        if census.waiting:
            text = (
                f"{census.waiting} tenants are missing in the list; `register --apply --confirm-shrink` lets them go"
            )
            yield Line(f"{platform} tenants", ACT, text, "tenants")
        if census.reconciled_at is None:
            yield Line(f"{platform} registration", UNKNOWN, "no run has ended with every subscription in place yet")
            continue
        age = desk.clock() - census.reconciled_at
        text = f"every subscription was in place {duration(age)} ago: list, tokens and credentials worked then"
        yield Line(f"{platform} registration", ACT if age > RECONCILED else GOOD, text, "subscriptions")


def _told(astray: list[SubscriptionRow], failed: int) -> str:
    if not astray:
        return "none is known to differ from the plan"
    stale = len(astray) - failed
    return f"{failed} failed" + (f", {stale} stale (these credentials cannot remove them)" if stale else "")


def _registered(desk: Desk) -> list[str]:
    """Platforms where a worker makes subscriptions."""
    settings = desk.settings
    return [name for name, on in (("mindsphere", settings.mindsphere), ("cumulocity", settings.cumulocity)) if on]


def connections(desk: Desk, sight: Sight) -> Iterator[Line]:
    rows, now = sight.channels(), desk.clock()
    if not rows:
        return
    away = sum(row.state != "connected" for row in rows)
    silent = sum(now - row.seen_at > SILENT for row in rows)
    text = f"{len(rows) - away:,} of {len(rows):,} connected"
    if silent:
        text += f"; {silent:,} have said nothing for {duration(SILENT)}: is a worker running?"
    yield Line("channels", ACT if away or silent else GOOD, text, "channels")


def gaps(sight: Sight) -> Iterator[Line]:
    found = sight.gaps()
    if found:
        text = f"{len(found)}, the last until {found[0].lost_until:%Y-%m-%d %H:%M} UTC: what fell into it is lost"
        yield Line("gaps", ACT, text, "channels#gaps")
    else:
        yield Line("gaps", GOOD, "none is recorded", "channels#gaps")


def trust(desk: Desk) -> Iterator[Line]:
    """Credentials and the certificate have days; keys are what this machine's web processes have fetched."""
    if desk.credentials is not None:
        finding = desk.credentials.finding()
        yield Line("credentials", GOOD if finding.ok else ACT, finding.detail)
    if desk.settings.tls_cert_file:
        finding = certificates.finding(desk.settings.tls_cert_file, desk.clock())
        yield Line("certificate", GOOD if finding.ok else ACT, finding.detail)
    fetches = {labels["outcome"]: count for name, labels, count in _counters(desk) if name == "key_fetches"}
    ok, failed = fetches.get("ok", 0), fetches.get("failed", 0)
    if not ok + failed:
        yield Line("keys", UNKNOWN, "no key server was asked since this service started here")
        return
    text = f"since this service started here: {ok} times fetched, {failed} times not"
    yield Line("keys", ACT if failed and not ok else GOOD, text)


def refusals(desk: Desk) -> Iterator[Line]:
    """Of tokens, by reason: a rise of one of them names what is wrong at the platform or with us."""
    found = [(labels, count) for name, labels, count in _counters(desk) if name == "refused"]
    if not found:
        yield Line("tokens", UNKNOWN, "no delivery was refused since this service started here")
    for labels, count in sorted(found, key=lambda one: -one[1]):
        text = f"{count:,} deliveries refused since this service started here: {labels['reason']}"
        yield Line(f"{labels['platform']} tokens", UNKNOWN, text)


def _counters(desk: Desk) -> Iterator[tuple[str, dict[str, str], int]]:
    """(name, labels, count) of the counters told here, as `/metrics` shows them."""
    for name, labels, count in COUNTER.findall(desk.metrics.render().decode()):
        yield name, dict(LABEL.findall(labels)), round(float(count))
