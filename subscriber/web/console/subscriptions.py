"""Subscriptions: what a run would change, what is not in place, and applying the plan now."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, request

from subscriber.model import Tenant
from subscriber.store import SubscriptionRow
from subscriber.web.console.desk import Desk
from subscriber.web.console.orders import read_query
from subscriber.web.console.pages import link
from subscriber.web.console.sight import Sight

ASTRAY_ROWS = 200
TENANTS = 25  # whose subscriptions one page lists


def add(console: Blueprint, desk: Desk) -> None:
    def show() -> Response:
        sight = desk.sight()
        query = read_query(request)
        tenant, after = query.tenant(), query.text("after") or ""
        rows, more = listed(sight, [sight.require(tenant)] if tenant else None, after)
        return desk.pages.show(
            "subscriptions",
            sight,
            tenant=tenant,
            plan=desk.applying.plan([tenant] if tenant else sight.operator.tenants),
            astray=sight.astray(ASTRAY_ROWS),
            rows=rows,
            more=more,
        )

    def apply() -> Response:
        sight, form = desk.order()
        tenant = form.tenant()
        if tenant is None:
            sight.require_everybody()
        else:
            sight.require(tenant)
        sight.note("register_started", str(tenant or "every tenant"))
        told = desk.applying.start(sight.operator.name, tenant)
        text = told or "It is under way: how it ended will stand among the actions."
        return desk.pages.show("done", sight, text=text, back=link("subscriptions", tenant=tenant))

    console.add_url_rule("/subscriptions", "subscriptions", show)
    console.add_url_rule("/subscriptions/apply", "apply", apply, methods=["POST"])


def listed(sight: Sight, tenants: Sequence[Tenant] | None, after: str) -> tuple[list[SubscriptionRow], str | None]:
    """The subscriptions of some tenants in sight, and where the next ones are. None: of all, a few at a time."""
    everybody = [row.tenant for row in sight.tenants()] if tenants is None else list(tenants)
    behind = [tenant for tenant in everybody if str(tenant) > after]
    rows = sight.subscriptions(behind[:TENANTS])
    return rows, link("subscriptions", after=behind[TENANTS - 1]) if len(behind) > TENANTS else None
