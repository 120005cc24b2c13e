"""`dead`: deliveries that could not become notifications, and reading one again after the program has learnt to."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from subscriber.cli.inbox import DEFAULT_ROWS, MAX_ROWS
from subscriber.cli.session import current
from subscriber.cli.tenants import TENANT
from subscriber.cli.terminal import Output, Record, output_option
from subscriber.errors import MalformedDelivery, NotFound
from subscriber.model import Delivery, Notification, Outcome, Tenant

if TYPE_CHECKING:
    from subscriber.settings import Settings
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
    session = current()
    with session.store() as store:
        row = _find(store, tenant, id)
        try:
            found = _read_again(row, session.settings())
        except MalformedDelivery as error:
            raise click.ClickException(f"still not readable: {error.detail}") from error
        receipts = store.inbox.add(found)
        store.registry.audit("cli", "replay_dead_letter", f"{tenant}: {id}")
    record = {"id": id, **{str(kind): sum(r.outcome is kind for r in receipts) for kind in Outcome}}
    told = ", ".join(f"{count} {name}" for name, count in record.items() if name != "id" and count)
    out.done(record, f"Read again: {told or 'nothing in it for this tenant'}.")


def _find(store: Store, tenant: Tenant, id: int) -> DeadLetterRow:
    row = store.reports.dead_letter(tenant, id)
    if row is None:
        raise NotFound(f"{tenant} has no dead letter {id}; `dead list` shows those there are")
    return row


def _read_again(row: DeadLetterRow, settings: Settings) -> Sequence[Notification]:
    """What the codec makes of the body now, for those whom its sender might write to."""
    from subscriber.platforms import PLATFORMS

    letter = row.letter
    if letter.body is None:
        raise NotFound("this letter has no body: policy refused the delivery unread")
    platform = letter.tenant.platform
    delivery = Delivery(platform=platform, headers={}, body=letter.body, received_at=letter.buried_at)
    found = PLATFORMS[platform].decode(delivery)
    trusted = settings.mindsphere.trusted_tenants if settings.mindsphere else ()
    # Filed under a trusted sender: it could not be seen then for whom it was.
    return [one for one in found if one.tenant == letter.tenant or letter.tenant.name in trusted]


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
