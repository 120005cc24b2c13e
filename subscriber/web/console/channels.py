"""Long-lived connections as their processes last described them, and the gaps that nobody can fetch again."""

from __future__ import annotations

from flask import Blueprint, Response, request

from subscriber.web.console.desk import Desk
from subscriber.web.console.health import SILENT
from subscriber.web.console.orders import read_query

ROWS = 500  # what is not connected comes first


def add(console: Blueprint, desk: Desk) -> None:
    def show() -> Response:
        sight = desk.sight()
        tenant = read_query(request).tenant()
        rows = [row for row in sight.channels() if tenant in (None, row.tenant)]
        rows.sort(key=lambda row: (row.state == "connected", row.tenant, row.channel, row.name))
        silent_since = desk.clock() - SILENT
        return desk.pages.show(
            "channels",
            sight,
            rows=rows[:ROWS],
            count=len(rows),
            connected=sum(row.state == "connected" for row in rows),
            silent_since=silent_since,
            gaps=sight.gaps()[:ROWS],
        )

    console.add_url_rule("/channels", "channels", show)
