"""Whom the service serves: everybody in sight, and each with what is theirs."""

from __future__ import annotations

from flask import Blueprint, Response, request

from subscriber.model import Tenant
from subscriber.web.console.desk import Desk
from subscriber.web.console.orders import read_query
from subscriber.web.console.overview import figures, period_of
from subscriber.web.console.pages import link
from subscriber.web.console.periods import PERIODS

ROWS = 100


def add(console: Blueprint, desk: Desk) -> None:
    def show_list() -> Response:
        sight = desk.sight()
        query = read_query(request)
        begins, after = query.text("begins") or "", query.text("after") or ""
        rows = [row for row in sight.tenants() if row.tenant.name.startswith(begins)]
        page = [row for row in rows if str(row.tenant) > after][: ROWS + 1]
        more = link("tenants", begins=begins, after=page[ROWS - 1].tenant) if len(page) > ROWS else None
        return desk.pages.show("tenants", sight, rows=page[:ROWS], count=len(rows), begins=begins, more=more)

    def show_one(platform: str, tenant: str) -> Response:
        sight = desk.sight()
        who = sight.require(Tenant(platform, tenant))
        period = period_of(read_query(request))
        return desk.pages.show(
            "tenant",
            sight,
            tenant=who,
            state=sight.state_of(who),
            counts=sight.reports.counts(who),
            subscriptions=sight.subscriptions([who]),
            channels=[row for row in sight.channels() if row.tenant == who],
            paused=any(one.kind == "tenant" and one.name == str(who) for one in sight.pauses()),
            period=period,
            periods=PERIODS.values(),
            figures=figures(sight.reports.within([who]), desk.clock(), period, refusals=False),
        )

    console.add_url_rule("/tenants", "tenants", show_list)
    console.add_url_rule("/tenants/<platform>/<tenant>", "tenant", show_one)
