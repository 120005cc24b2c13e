"""What `check` finds on PostgreSQL."""

from __future__ import annotations

from contextlib import closing

import pytest

from subscriber.errors import SchemaOutdated
from subscriber.store import Store
from subscriber.store.postgres import checks, open_store
from subscriber.store.postgres.database import Database
from tests.servers.postgres import LOGIN, USER, Server
from tests.store.postgres.asking import aside, ask


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


def problems(store: Store) -> dict[str, str]:
    return {finding.name: finding.detail for finding in store.inbox.check() if not finding.ok}


def test_every_question_has_its_finding(store: Store) -> None:
    assert [finding.name for finding in store.inbox.check()] == [
        "server",
        "schema",
        "login",
        "walls",
        "indexes",
        "durability",
        "idlers",
    ]


def test_a_superuser_is_refused(url: str) -> None:
    with closing(open_store(url.replace(f"{LOGIN}@", f"{USER}@"))) as store:
        assert problems(store) == {"login": f"{USER} is a superuser"}


def test_a_login_that_may_bypass_the_walls_is_refused(url: str, server: Server) -> None:
    server.admin("CREATE ROLE passer LOGIN BYPASSRLS")
    try:
        server.admin("GRANT SELECT ON ALL TABLES IN SCHEMA public TO passer", name_of(url))
        with closing(Database(url.replace(f"{LOGIN}@", "passer@"))) as database, database.service() as connection:
            assert checks._login(connection).detail == "passer has BYPASSRLS"
            assert not checks._login(connection).ok
    finally:
        server.admin("DROP OWNED BY passer", name_of(url))
        server.admin("DROP ROLE passer")


@pytest.mark.parametrize("change", ["NO FORCE ROW LEVEL SECURITY", "DISABLE ROW LEVEL SECURITY"])
def test_a_table_without_its_wall_is_found(store: Store, url: str, change: str) -> None:
    ask(url, f"ALTER TABLE inbox {change}")
    assert problems(store) == {"walls": "not forced on inbox"}


def test_every_table_with_rows_of_tenants_is_looked_at(url: str) -> None:
    columns = "SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id'"
    assert {name for (name,) in ask(url, columns)} | {"tenants"} == set(checks.WALLED)


def test_a_table_of_the_teams_own_handlers_is_none_of_ours(store: Store, url: str) -> None:
    ask(url, "CREATE TABLE machines (id bigint)")
    assert problems(store) == {}


def test_an_invalid_index_is_found(store: Store, url: str, server: Server) -> None:
    server.admin("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'inbox_dead'::regclass", name_of(url))
    assert problems(store) == {"indexes": "invalid: inbox_dead"}


def test_a_transaction_that_was_forgotten_is_found(store: Store, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "IDLE_SECONDS", 0)
    with aside(url) as forgotten:
        forgotten.execute("INSERT INTO pauses (kind, name, since) VALUES ('topic', 't', 0)")
        assert "1 idle in a transaction" in problems(store)["idlers"]
    assert problems(store) == {}


def test_a_commit_that_does_not_wait_for_the_disk_is_found(database: Database) -> None:
    with database.service() as connection:
        assert checks._durability(connection).ok
        connection.execute("SET LOCAL synchronous_commit = off")
        assert checks._durability(connection).detail == "synchronous_commit=off"
        assert not checks._durability(connection).ok


def test_a_database_without_our_schema_is_outdated(server: Server) -> None:
    url = server.empty()
    try:
        with pytest.raises(SchemaOutdated, match="migrate"):
            open_store(url)
        with closing(Database(url)) as database, database.service() as connection:
            assert not checks._schema(connection).ok
    finally:
        server.drop(url)


def test_a_database_that_lacks_the_newest_migration_is_outdated(url: str) -> None:
    ask(url, "DELETE FROM _migrations WHERE name = %s", checks.EXPECTED_MIGRATION)
    with pytest.raises(SchemaOutdated):
        open_store(url)
