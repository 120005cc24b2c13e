"""Who has the application on SQLite."""

from __future__ import annotations

from tests.store.provisioned import ProvisionedContract


class TestProvisioned(ProvisionedContract):
    pass
