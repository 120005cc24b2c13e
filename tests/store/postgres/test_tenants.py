"""Tenants' ids, and who keeps whom waiting."""

from __future__ import annotations

import pytest
from psycopg import errors

from subscriber.model import Tenant
from subscriber.store.postgres.counters import NOBODY
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.tenants import tenant_ids
from tests.store.making import ACME, OTHER
from tests.store.postgres.asking import aside, ask


def test_a_tenant_gets_an_id_once(database: Database) -> None:
    with database.service() as connection:
        first = tenant_ids(connection, 0, [ACME, OTHER, ACME])
        assert tenant_ids(connection, 0, [OTHER]) == {OTHER: first[OTHER]}
    assert first[ACME] != first[OTHER]


def test_names_are_unique_on_their_platform_only(database: Database) -> None:
    with database.service() as connection:
        ids = tenant_ids(connection, 0, [ACME, Tenant("elsewhere", ACME.name)])
    assert len(set(ids.values())) == 2


def test_an_erased_tenant_is_nobody(database: Database, url: str) -> None:
    with database.service() as connection:
        tenant_ids(connection, 0, [ACME])
    ask(url, "UPDATE tenants SET state = 'gone'")
    with database.service() as connection:
        assert tenant_ids(connection, 0, [ACME]) == {ACME: NOBODY}


def test_who_erases_waits_for_who_writes_and_changes_of_state_do_not(database: Database, url: str) -> None:
    with database.service() as connection:
        tenant_ids(connection, 0, [ACME])
    with database.service() as connection, aside(url) as other:
        tenant_ids(connection, 0, [ACME])
        other.execute("UPDATE tenants SET state = 'leaving'")
        other.rollback()
        with pytest.raises(errors.LockNotAvailable):
            other.execute("SELECT 1 FROM tenants FOR UPDATE NOWAIT")
