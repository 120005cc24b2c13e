"""What is out of attempts, given up or without a route: by reason, and back to be handled again."""

from __future__ import annotations

from flask import Blueprint, Response, request

from subscriber.model import Tenant
from subscriber.store import DeadFilter
from subscriber.web.console.desk import Desk
from subscriber.web.console.orders import Form, read_query
from subscriber.web.console.pages import link
from subscriber.web.console.sight import Sight

FIELDS = ("tenant", "reason", "since", "until")


def add(console: Blueprint, desk: Desk) -> None:
    def show() -> Response:
        sight = desk.sight()
        query = read_query(request)
        wanted = wanted_of(query, sight)
        asked = {name: query.text(name) for name in FIELDS}
        return desk.pages.show(
            "dead",
            sight,
            dead=sight.reports.dead_by_reason(wanted),
            letters=sight.reports.letters_by_reason(wanted.tenant),
            asked=asked,
            narrowed=any(asked.values()),
        )

    def replay() -> Response:
        sight, form = desk.order()
        wanted = wanted_of(form, sight)
        moved = sum(
            desk.store.inbox.replay_dead(tenant, wanted.reason, wanted.since, wanted.until)
            for tenant in sight.scope(wanted.tenant)
        )
        sight.note("replay_dead", f"{told(wanted)}: {moved} moved")
        text = f"{moved:,} put back to be handled again."
        return desk.pages.show("done", sight, text=text, back=link("dead", tenant=wanted.tenant))

    console.add_url_rule("/dead", "dead", show)
    console.add_url_rule("/dead/replay", "replay_dead", replay, methods=["POST"])


def wanted_of(form: Form, sight: Sight) -> DeadFilter:
    """Raises ``BadForm``; ``NotFound`` for a tenant that is not in sight."""
    tenant = form.tenant()
    return DeadFilter(
        tenant=None if tenant is None else sight.require(tenant),
        reason=form.text("reason"),
        since=form.moment("since"),
        until=form.moment("until"),
    )


def told(wanted: DeadFilter) -> str:
    """For the audit."""
    whose: Tenant | str = wanted.tenant or "every tenant in sight"
    bounds = {"since": wanted.since, "until": wanted.until}
    times = [f"{name} {at:%Y-%m-%dT%H:%M:%SZ}" for name, at in bounds.items() if at]
    return ", ".join([str(whose), wanted.reason or "any reason", *times])
