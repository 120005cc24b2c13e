"""`inbox tail`: notifications as they come, for a person who watches and for programs that follow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from subscriber.cli.inbox import record_of
from subscriber.cli.session import current
from subscriber.cli.tenants import TENANT
from subscriber.cli.terminal import Output, output_option
from subscriber.model import State, Tenant

if TYPE_CHECKING:
    from subscriber.store import Reports, Row, RowFilter

PAGE_ROWS = 200  # read at once
LOOK_SECONDS = 0.5  # soon enough for a person; each look reads what is new and nothing else
STYLES = {State.PENDING: "yellow", State.RUNNING: "blue", State.DONE: "green", State.DEAD: "red"}


@click.command()
@click.option("--tenant", type=TENANT, help="Only this tenant: platform/name, or a bare MindSphere name.")
@click.option("--topic", help="Only this topic.")
@click.option("--limit", type=click.IntRange(1), help="End after so many.")
@output_option
def tail(out: Output, tenant: Tenant | None, topic: str | None, limit: int | None) -> None:
    """Show notifications as they come, each with its state at that moment. Ctrl-C ends."""
    from subscriber.store import RowFilter

    with current().store() as store:
        out.say("Waiting for notifications; Ctrl-C ends.")
        try:
            for number, row in enumerate(_coming(store.reports, RowFilter(tenant=tenant, topic=topic)), 1):
                _show(out, row)
                if number == limit:
                    return
        except KeyboardInterrupt:
            return  # what whoever watches does in the end


def _coming(reports: Reports, wanted: RowFilter) -> Iterator[Row]:
    """Every row from now on, once, in order of arrival."""
    cursor = reports.end()
    while True:
        found = reports.after(wanted, cursor, PAGE_ROWS)
        yield from found.rows
        cursor = found.cursor
        if not found.rows and not found.more:
            time.sleep(LOOK_SECONDS)


def _show(out: Output, row: Row) -> None:
    record = record_of(row)
    words = {"received_at": "dim", "tenant": "cyan", "state": STYLES[row.state], "topic": "bold", "source": ""}
    out.line(record, words)
