"""Dead letters: verified deliveries that could not become notifications, each with what was received."""

from __future__ import annotations

from flask import Blueprint, Response, request

from subscriber.errors import InvalidCursor, MalformedDelivery, NotFound
from subscriber.model import Outcome, Tenant
from subscriber.rereading import accept_again, refusal
from subscriber.store import DeadLetterRow
from subscriber.web.console.desk import Desk
from subscriber.web.console.inbox import SHOWN_BYTES
from subscriber.web.console.orders import read_query
from subscriber.web.console.pages import link, tenant_path
from subscriber.web.console.places import LETTER, LETTERS
from subscriber.web.console.sight import Sight

ROWS = 50


def add(console: Blueprint, desk: Desk) -> None:
    def show_list() -> Response:
        sight = desk.sight()
        query = read_query(request)
        tenant, reason = query.tenant(), query.text("reason")
        if tenant is not None:
            sight.require(tenant)
        before = desk.places.number(query.text("before"), LETTERS, sight)
        found = sight.reports.dead_letters(tenant, ROWS, before, reason)
        rows = [(desk.places.shown(row.id, LETTER, sight), row) for row in found]
        older = None
        if len(found) == ROWS:
            place = desk.places.shown(found[-1].id, LETTERS, sight)
            older = link("letters", tenant=tenant, reason=reason, before=place)
        return desk.pages.show("letters", sight, rows=rows, tenant=tenant, reason=reason, older=older)

    def show_one(platform: str, tenant: str, place: str) -> Response:
        sight = desk.sight()
        row = find(desk, sight, Tenant(platform, tenant), place)
        body = row.letter.body
        text = None if body is None else body[:SHOWN_BYTES].decode("utf-8", "replace")
        cut = body is not None and len(body) > SHOWN_BYTES
        why = refusal(row.letter)
        return desk.pages.show("letter", sight, place=place, row=row, body=text, cut=cut, refusal=why)

    def read_again(platform: str, tenant: str, place: str) -> Response:
        sight, _ = desk.order()
        row = find(desk, sight, Tenant(platform, tenant), place)
        letter = row.letter
        mindsphere = desk.settings.mindsphere
        try:
            receipts = accept_again(desk.store.inbox, letter, mindsphere.trusted_tenants if mindsphere else ())
        except MalformedDelivery as error:
            text = f"It is still not readable: {error.detail}."
        else:
            counts = [(sum(one.outcome is kind for one in receipts), kind) for kind in Outcome]
            told = ", ".join(f"{count} {kind}" for count, kind in counts if count)
            text = f"Read again: {told or 'nothing in it for this tenant'}."
        sight.note("replay_dead_letter", f"{letter.tenant}: {row.id}. {text}")
        back = f"letters/{tenant_path(letter.tenant)}/{place}"
        return desk.pages.show("done", sight, text=text, back=back)

    one = "/letters/<platform>/<tenant>/<place>"
    console.add_url_rule("/letters", "letters", show_list)
    console.add_url_rule(one, "letter", show_one)
    console.add_url_rule(f"{one}/replay", "replay_letter", read_again, methods=["POST"])


def find(desk: Desk, sight: Sight, tenant: Tenant, place: str) -> DeadLetterRow:
    """Raises ``NotFound``: unknown, foreign and malformed are not told apart."""
    try:
        id = desk.places.number(place, LETTER, sight)
    except InvalidCursor:
        id = None
    row = None if id is None else sight.reports.dead_letter(tenant, id)
    if row is None:
        raise NotFound("there is no such dead letter here")
    return row
