"""`inbox`: what was accepted, how far it is, and handling it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING

import click

from subscriber.cli.session import current
from subscriber.cli.tenants import TENANT
from subscriber.cli.terminal import Output, Record, output_option
from subscriber.errors import NotFound
from subscriber.model import State, Tenant

if TYPE_CHECKING:
    from subscriber.store import Page, Reports, Row, RowFilter

DEFAULT_ROWS = 20  # a screenful
PAGE_ROWS = 1_000  # read at once, so that a long list needs no more memory than a short one
MAX_ROWS = 1_000_000  # an inventory of a busy week
MAX_EMPTY_PAGES = 50  # a rare filter is searched for this many bounded pages, then says how far back it looked


class KeyType(click.ParamType[bytes]):
    """A notification's key: hex."""

    name = "key"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        try:
            return value if isinstance(value, bytes) else bytes.fromhex(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a key; keys are hex, as `inbox list` shows them", param, ctx)


KEY = KeyType()


@click.group()
def inbox() -> None:
    """The accepted notifications."""


@inbox.command("list")
@click.option("--tenant", type=TENANT, help="Only this tenant: platform/name, or a bare MindSphere name.")
@click.option("--state", type=click.Choice([str(state) for state in State]), help="Only this state.")
@click.option("--topic", help="Only this topic.")
@click.option("--limit", type=click.IntRange(1, MAX_ROWS), default=DEFAULT_ROWS, show_default=True)
@output_option
def list_rows(out: Output, tenant: Tenant | None, state: str | None, topic: str | None, limit: int) -> None:
    """Show notifications, newest first."""
    from subscriber.store import RowFilter

    wanted = RowFilter(tenant=tenant, state=State(state) if state else None, topic=topic)
    columns = ("received_at", "tenant", "state", "topic_and_key")
    found, page = 0, None
    with current().store() as store:
        for page in _pages(store.reports, wanted, limit):
            records = [record_of(row) for row in page.rows]
            out.table(columns, records, [{**record, "topic_and_key": _topic_and_key(record)} for record in records])
            found += len(records)
    if not found:
        out.say("Nothing found.")
    if found < limit and page is not None and page.next is not None:
        out.warn(f"searched back to {page.scanned_to}: name a tenant to look further")


def _pages(reports: Reports, wanted: RowFilter, limit: int) -> Iterator[Page]:
    """Pages with up to ``limit`` rows together; it gives up after many that held none."""
    found, empty, before = 0, 0, None
    while found < limit and empty < MAX_EMPTY_PAGES:
        page = reports.rows(wanted, min(PAGE_ROWS, limit - found), before)
        found, empty, before = found + len(page.rows), 0 if page.rows else empty + 1, page.next
        yield page
        if before is None:
            return


def _topic_and_key(record: Record) -> str:
    key = record["key"]
    assert isinstance(key, bytes)
    return f"{record['topic']}\n{key.hex()}"


@inbox.command()
@click.argument("key", type=KEY)
@click.option("--tenant", type=TENANT, required=True, help="Whose it is.")
@output_option
def show(out: Output, key: bytes, tenant: Tenant) -> None:
    """Show one notification with its payload."""
    with current().store() as store:
        row = store.reports.row(tenant, key)
    if row is None:
        raise NotFound(f"{tenant} has no notification {key.hex()}; `inbox list` shows those there are")
    out.facts({**record_of(row), "payload": row.notification.payload})


@inbox.command()
@click.option("--tenant", type=TENANT, help="Only this tenant.")
@output_option
def counts(out: Output, tenant: Tenant | None) -> None:
    """Show how many are in which state, and the totals that never fall."""
    with current().store() as store:
        out.facts(asdict(store.reports.counts(tenant)))


@inbox.command()
@click.argument("keys", type=KEY, nargs=-1)
@click.option("--tenant", type=TENANT, required=True, help="Whose they are.")
@click.option("--state", type=click.Choice([str(State.DEAD)]), help="All dead ones of the tenant.")
@click.option("--reason", help="All dead ones of the tenant with this reason.")
@output_option
def replay(out: Output, keys: Sequence[bytes], tenant: Tenant, state: str | None, reason: str | None) -> None:
    """Have notifications handled again: those with KEYS, or all dead ones (--state dead, --reason)."""
    if bool(keys) == bool(state or reason):
        raise click.UsageError("name either KEYS, or --state dead and/or --reason")
    with current().store() as store:
        moved = store.inbox.replay(tenant, keys) if keys else store.inbox.replay_dead(tenant, reason)
        store.registry.audit("cli", "replay", f"{tenant}: {moved}")
    if keys and not moved:
        raise NotFound(f"nothing was replayed: {tenant} has no done or dead notification with such a key")
    out.done({"replayed": moved}, f"{moved} put back to be handled again.")


def record_of(row: Row) -> Record:
    """Everything about a row but its payload."""
    notification = row.notification
    body = notification.body
    return {
        "id": notification.id,
        "key": notification.key,
        "tenant": notification.tenant,
        "topic": notification.topic,
        "channel": notification.channel,
        "source": notification.source,
        "action": notification.action,
        "repeat": notification.repeat,
        "state": row.state,
        "attempts": row.attempts,
        "reason": row.reason,
        "detail": row.detail,
        "sinks_done": tuple(sorted(row.sinks_done)),
        "occurred_at": notification.occurred_at,
        "received_at": notification.received_at,
        "not_before": row.not_before,
        "settled_at": row.settled_at,
        "body_sha256": None if body is None else sha256(body).hexdigest(),
    }
