"""`dead`: deliveries that could not become notifications, and reading one again after the program has learnt to."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import click

from subscriber.cli.inbox import DEFAULT_ROWS, MAX_ROWS
from subscriber.cli.session import current
from subscriber.cli.tenants import TENANT
from subscriber.cli.terminal import Output, Record, output_option
from subscriber.errors import MalformedDelivery, NotFound
from subscriber.model import Outcome, Tenant

if TYPE_CHECKING:
    from subscriber.store import DeadLetterRow, Store


@click.group()
def dead() -> None:
    """Deliveries that could not be read.

    Or that policy refused: too large, encoded.
    """


@dead.command("list")
@click.option("--tenant", type=TENANT, help="Only this tenant: platform/name, or a bare MindSphere name.")
@click.option("--limit", type=click.IntRange(1, MAX_ROWS), default=DEFAULT_ROWS, show_default=True)
@output_option
def list_letters(out: Output, tenant: Tenant | None, limit: int) -> None:
    """Show dead letters, newest first."""
    with current().store() as store:
        rows = store.reports.dead_letters(tenant, limit)
    out.table(("id", "last_at", "tenant", "count", "reason", "detail"), [_record(row) for row in rows])
    if not rows:
        out.say("No dead letters.")


@dead.command()
@click.argument("id", type=int)
@click.option("--tenant", type=TENANT, required=True, help="Whose it is.")
@output_option
def show(out: Output, id: int, tenant: Tenant) -> None:
    """Show one dead letter with the body that was received."""
    with current().store() as store:
        row = _find(store, tenant, id)
    out.facts({**_record(row), **_body(row.letter.body)})


@dead.command()
@click.argument("id", type=int)
@click.option("--tenant", type=TENANT, required=True, help="Whose it is.")
@output_option
def replay(out: Output, id: int, tenant: Tenant) -> None:
    """Read the body of dead letter ID again and accept what is in it. The letter stays until it is pruned."""
    from subscriber.rereading import accept_again

    session = current()
    with session.store() as store:
        row = _find(store, tenant, id)
        mindsphere = session.settings().mindsphere
        try:
            receipts = accept_again(store.inbox, row.letter, mindsphere.trusted_tenants if mindsphere else ())
        except MalformedDelivery as error:
            raise click.ClickException(f"still not readable: {error.detail}") from error
        store.registry.audit("cli", "replay_dead_letter", f"{tenant}: {id}")
    record = {"id": id, **{str(kind): sum(r.outcome is kind for r in receipts) for kind in Outcome}}
    told = ", ".join(f"{count} {name}" for name, count in record.items() if name != "id" and count)
    out.done(record, f"Read again: {told or 'nothing in it for this tenant'}.")


def _find(store: Store, tenant: Tenant, id: int) -> DeadLetterRow:
    row = store.reports.dead_letter(tenant, id)
    if row is None:
        raise NotFound(f"{tenant} has no dead letter {id}; `dead list` shows those there are")
    return row


def _record(row: DeadLetterRow) -> Record:
    letter = row.letter
    return {
        "id": row.id,
        "tenant": letter.tenant,
        "reason": letter.reason,
        "detail": letter.detail,
        "key": letter.key,
        "count": row.count,
        "buried_at": letter.buried_at,
        "last_at": row.last_at,
    }


def _body(body: bytes | None) -> Record:
    """Text where it is text; anything else as base64, so that nothing is lost."""
    if body is None:
        return {"body": None}
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": b64encode(body).decode()}
