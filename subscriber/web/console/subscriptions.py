"""Subscriptions: what a run would change, what is not in place, and applying the plan now."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, request

from subscriber.model import Tenant
from subscriber.store import SubscriptionRow
from subscriber.web.console.applying import Run, Seen
from subscriber.web.console.desk import Desk
from subscriber.web.console.orders import PLATFORMS, Form, read_query
from subscriber.web.console.pages import link
from subscriber.web.console.planning import WAIT_SECONDS
from subscriber.web.console.plans import REASONS, Plan
from subscriber.web.console.sight import Sight

ASTRAY_ROWS = 200
TENANTS = 25  # whose subscriptions one page lists
CONFLICT = 409  # the order was given on a plan that is another by now


def add(console: Blueprint, desk: Desk) -> None:
    def show() -> Response:
        sight = desk.sight()
        query = read_query(request)
        tenant = query.tenant()
        tenants = [sight.require(tenant)] if tenant else sight.operator.tenants
        plans = desk.planning.asked(tenants) if query.text("ask") else desk.planning.remembered(tenants)
        return page(sight, tenant, plans, query.text("after") or "")

    def apply() -> Response:
        sight, form = desk.order()
        tenant = form.tenant()
        if tenant is None:
            sight.require_everybody()
        else:
            sight.require(tenant)
        sight.note("register_started", str(tenant or "every tenant"))
        run = desk.applying.start(sight.operator.name, tenant, seen(form, tenant))
        desk.planning.forget()
        if run.changed:
            return page(sight, tenant, desk.planning.asked([tenant] if tenant else None), changed=True)
        return desk.pages.show("done", sight, text=told(run, sight), back=link("subscriptions", tenant=tenant))

    def page(
        sight: Sight, tenant: Tenant | None, plans: Sequence[Plan], after: str = "", changed: bool = False
    ) -> Response:
        rows, more = listed(sight, [tenant] if tenant else None, after)
        astray = [row for row in rows if row.state != "active"] if tenant else sight.astray(ASTRAY_ROWS)
        return desk.pages.show(
            "subscriptions",
            sight,
            CONFLICT if changed else 200,
            tenant=tenant,
            plans=plans,
            reasons=REASONS,
            wait_seconds=WAIT_SECONDS,
            changed=changed,
            astray=astray,
            rows=rows,
            more=more,
        )

    console.add_url_rule("/subscriptions", "subscriptions", show)
    console.add_url_rule("/subscriptions/apply", "apply", apply, methods=["POST"])


def told(run: Run, sight: Sight) -> str:
    """What came of a run. Why it failed speaks of the service's addresses and credentials: the host's business."""
    if sight.everybody:
        return run.told or "It is under way: how it ended will stand among the actions."
    if not run.told:
        return "It is under way: what is still to be done then, the plan will show."
    return "It was not done: who runs this service can read why." if run.failed else run.told


def seen(form: Form, tenant: Tenant | None) -> Seen:
    """What the plans showed as lost, of those platforms that the order is about and whose plan was shown."""
    asked = PLATFORMS if tenant is None else (tenant.platform,)
    found = {platform: form.text(f"seen-{platform}") for platform in asked}
    return {platform: text for platform, text in found.items() if text is not None}


def listed(sight: Sight, tenants: Sequence[Tenant] | None, after: str) -> tuple[list[SubscriptionRow], str | None]:
    """The subscriptions of some tenants in sight, and where the next ones are. None: of all, a few at a time."""
    everybody = [row.tenant for row in sight.tenants()] if tenants is None else list(tenants)
    behind = [tenant for tenant in everybody if str(tenant) > after]
    rows = sight.subscriptions(behind[:TENANTS])
    return rows, link("subscriptions", after=behind[TENANTS - 1]) if len(behind) > TENANTS else None
