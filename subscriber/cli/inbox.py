"""`inbox`: what was accepted, how far it is, and handling it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
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
MAX_ROWS = 1_000  # more belongs into a program that follows the API
MAX_PAGES = 50  # a rare filter is searched for this many bounded pages, then says how far back it looked


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
    with current().store() as store:
        rows, last = _collect(store.reports, wanted, limit)
    people = [
        {**_record(row), "topic_and_key": f"{row.notification.topic}\n{row.notification.key.hex()}"} for row in rows
    ]
    columns = ("received_at", "tenant", "state", "topic_and_key")
    out.table(columns, [_record(row) for row in rows], people)
    if not rows:
        out.say("Nothing found.")
    if len(rows) < limit and last.next is not None:
        out.warn(f"searched back to {last.scanned_to}: name a tenant to look further")


def _collect(reports: Reports, wanted: RowFilter, limit: int) -> tuple[list[Row], Page]:
    """Up to ``limit`` rows, from as many pages as that takes, and the last page read."""
    page = reports.rows(wanted, limit)
    rows = list(page.rows)
    for _ in range(MAX_PAGES - 1):
        if len(rows) >= limit or page.next is None:
            break
        page = reports.rows(wanted, limit - len(rows), page.next)
        rows += page.rows
    return rows, page


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
    out.facts({**_record(row), "payload": row.notification.payload})


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


def _record(row: Row) -> Record:
    notification = row.notification
    return {
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
    }
