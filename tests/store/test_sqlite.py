"""The SQLite store against the whole contract."""

from __future__ import annotations

from tests.store.contract import (
    AddingContract,
    ForgettingContract,
    LeasingContract,
    RegistryContract,
    ReplayContract,
    ReportsContract,
)


class TestAdding(AddingContract):
    pass


class TestLeasing(LeasingContract):
    pass


class TestReplay(ReplayContract):
    pass


class TestForgetting(ForgettingContract):
    pass


class TestRegistry(RegistryContract):
    pass


class TestReports(ReportsContract):
    pass
