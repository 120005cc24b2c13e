"""The proof itself is tried: a store that lets a tenant see others, or that mixes up their figures, is found out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from proof import isolation
from subscriber.model import Tenant
from subscriber.store.sqlite import reports
from subscriber.store.sqlite.reports import SqliteReports

PAIRS = range(12)


def found() -> list[str]:
    with isolation.STORES["SQLite"]() as fresh:
        told, broken = isolation.on_new_databases(fresh, PAIRS)
    assert told > len(PAIRS)
    return broken


def test_two_tenants_on_one_database_are_told_what_each_is_told_alone() -> None:
    assert found() == []


def test_reports_that_see_everybody_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_hearted(self: SqliteReports, tenants: Sequence[Tenant]) -> SqliteReports:
        return self

    monkeypatch.setattr(SqliteReports, "within", open_hearted)
    assert found()


def test_figures_that_forget_the_tenant_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "COUNTS", reports.COUNTS.replace("WHERE {ours}", "WHERE {ours} OR true"))
    assert found()
