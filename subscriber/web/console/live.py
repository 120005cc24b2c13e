"""The live tail: what arrives, as it arrives.

The page itself shows the newest rows. With a script the browser asks for what came behind its cursor, as an event
source (WHATWG HTML, server-sent events); each answer ends at once and tells it to come again a second later. So no
thread is held, a token that has expired ends it, and a stopping server has nothing to wait for. Without a script
the page loads itself anew.
"""

from __future__ import annotations

import orjson
from flask import Blueprint, Response, request

from subscriber.store import Row
from subscriber.web.console.desk import Desk
from subscriber.web.console.inbox import FILTERS, filter_of
from subscriber.web.console.orders import read_query
from subscriber.web.console.pages import link, tenant_path
from subscriber.web.console.places import TAIL

ROWS = 50  # of an answer; whoever is further behind gets the rest a moment later
AGAIN_MILLIS = 1000  # quick enough to watch, and 1 look a second for each who does


def add(console: Blueprint, desk: Desk) -> None:
    def show() -> Response:
        sight = desk.sight()
        query = read_query(request)
        wanted = filter_of(query, sight)
        cursor = sight.reports.end()
        page = sight.reports.rows(wanted, ROWS)
        asked = {name: query.text(name) for name in FILTERS}
        source = link("live/events", **asked, cursor=desk.places.shown(cursor, TAIL, sight))
        return desk.pages.show("live", sight, found=page, asked=asked, source=source)

    def events() -> Response:
        sight = desk.sight()
        query = read_query(request)
        place = request.headers.get("Last-Event-ID") or query.text("cursor")
        cursor = desk.places.cursor(place, TAIL, sight) if place else sight.reports.end()
        tail = sight.reports.after(filter_of(query, sight), cursor, ROWS)
        rows = [_told(row) for row in tail.rows]
        text = f"retry: {AGAIN_MILLIS}\n\n" + event(rows, desk.places.shown(tail.cursor, TAIL, sight))
        return Response(text, content_type="text/event-stream", headers={"Cache-Control": "no-store"})

    console.add_url_rule("/live", "live", show)
    console.add_url_rule("/live/events", "live_events", events)


def event(rows: list[dict[str, str]], cursor: str) -> str:
    """One event with all rows of an answer, also with none: its id is where the browser goes on."""
    return f"event: rows\nid: {cursor}\ndata: {orjson.dumps(rows).decode()}\n\n"


def _told(row: Row) -> dict[str, str]:
    """What the table shows; no payload."""
    notification = row.notification
    return {
        "received_at": notification.received_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "tenant": str(notification.tenant),
        "topic": notification.topic,
        "source": notification.source,
        "action": notification.action,
        "state": str(row.state),
        "page": f"inbox/{tenant_path(notification.tenant)}/{notification.key.hex()}",
    }
