"""Who did what: the audit, newest first. For the host's operators, since it speaks of every tenant."""

from __future__ import annotations

from flask import Blueprint, Response, request

from subscriber.web.console.desk import Desk
from subscriber.web.console.orders import read_query
from subscriber.web.console.pages import link

ROWS = 100


def add(console: Blueprint, desk: Desk) -> None:
    def show() -> Response:
        sight = desk.sight()
        sight.require_everybody()
        rows = desk.store.registry.audited(ROWS, read_query(request).number("before"))
        older = link("actions", before=rows[-1].id) if len(rows) == ROWS else None
        return desk.pages.show("actions", sight, rows=rows, older=older)

    console.add_url_rule("/actions", "actions", show)
