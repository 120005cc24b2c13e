"""The accepted notifications: a list by what one looks for, and each with its payload and what became of it."""

from __future__ import annotations

import shlex

import orjson
from flask import Blueprint, Response, request

from subscriber.errors import NotFound
from subscriber.model import Notification, State, Tenant
from subscriber.store import Row, RowFilter
from subscriber.web.console.desk import Desk
from subscriber.web.console.orders import PLATFORMS, BadForm, Form, read_query
from subscriber.web.console.pages import link, tenant_path
from subscriber.web.console.places import INBOX
from subscriber.web.console.sight import Sight

ROWS = 30  # a page that a phone shows at once
SHOWN_BYTES = 262_144  # of a payload: more is no reading matter; the address for programs gives all of it
FILTERS = ("tenant", "platform", "topic", "source", "state", "reason", "since", "until")


def add(console: Blueprint, desk: Desk) -> None:
    def show_list() -> Response:
        sight = desk.sight()
        query = read_query(request)
        wanted = filter_of(query, sight)
        before = desk.places.number(query.text("before"), INBOX, sight)
        page = sight.reports.rows(wanted, ROWS, before)
        asked = {name: query.text(name) for name in FILTERS}
        older = link("inbox", **asked, before=desk.places.shown(page.next, INBOX, sight)) if page.next else None
        return desk.pages.show(
            "inbox", sight, found=page, asked=asked, platforms=PLATFORMS, states=list(State), older=older
        )

    def show_one(platform: str, tenant: str, key: str) -> Response:
        sight = desk.sight()
        row = find(sight, Tenant(platform, tenant), key)
        text, cut = payload_of(row.notification)
        curl = curl_of(desk.settings.public_url, row.notification)
        return desk.pages.show("notification", sight, row=row, payload=text, cut=cut, curl=curl)

    def replay(platform: str, tenant: str, key: str) -> Response:
        sight, _ = desk.order()
        row = find(sight, Tenant(platform, tenant), key)
        moved = desk.store.inbox.replay(row.notification.tenant, [row.notification.key])
        sight.note("replay", f"{row.notification.tenant}: {key}, {moved} moved")
        text = "It is put back to be handled again." if moved else "Nothing was changed: it waits or runs already."
        back = f"inbox/{tenant_path(row.notification.tenant)}/{key}"
        return desk.pages.show("done", sight, text=text, back=back)

    one = "/inbox/<platform>/<tenant>/<key>"
    console.add_url_rule("/inbox", "inbox", show_list)
    console.add_url_rule(one, "notification", show_one)
    console.add_url_rule(f"{one}/replay", "replay_one", replay, methods=["POST"])


def filter_of(query: Form, sight: Sight) -> RowFilter:
    """What an address looks for. Raises ``BadForm``; ``NotFound`` for a tenant that is not in sight."""
    tenant, state = query.tenant(), query.text("state")
    if state is not None and state not in list(State):
        raise BadForm(f"state is one of {', '.join(State)}")
    return RowFilter(
        tenant=None if tenant is None else sight.require(tenant),
        platform=query.platform(),
        topic=query.text("topic"),
        source=query.text("source"),
        state=None if state is None else State(state),
        reason=query.text("reason"),
        since=query.moment("since"),
        until=query.moment("until"),
    )


def find(sight: Sight, tenant: Tenant, key: str) -> Row:
    """Raises ``NotFound``: unknown, foreign and malformed keys are not told apart."""
    try:
        row = sight.reports.row(tenant, bytes.fromhex(key))
    except ValueError:
        row = None
    if row is None:
        raise NotFound("there is no such notification here")
    return row


def payload_of(notification: Notification) -> tuple[str, bool]:
    """The body as people read it, indented where it is JSON, and whether that is not all of it."""
    body = notification.body
    if body is None:
        return "", False
    try:
        pretty = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2)
    except orjson.JSONDecodeError:
        pretty = body
    return pretty[:SHOWN_BYTES].decode("utf-8", "replace"), len(pretty) > SHOWN_BYTES


def curl_of(public_url: str, notification: Notification) -> str:
    """A command that fetches the same from the tenant API; whoever runs it sets TOKEN."""
    tenant = notification.tenant
    here = public_url if public_url.startswith("http") else request.host_url
    path = f"{here.rstrip('/')}/api/notifications/{tenant.platform}/{tenant.name}/{notification.key.hex()}"
    return f'curl -H "Authorization: Bearer $TOKEN" {shlex.quote(path)}'
