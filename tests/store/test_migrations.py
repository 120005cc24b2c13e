"""Migrations: the command, run by anybody, any number at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, LiteralString

import pytest
from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

import migrations
from migrations import MigrationFailed
from migrations.postgres import migrations as postgres
from migrations.sqlite import migrations as sqlite
from subscriber.errors import SchemaOutdated, StoreUnavailable
from subscriber.store import EXPECTED_MIGRATION, open_store
from subscriber.store.postgres.driver import EVERYBODY, open_connection
from subscriber.store.sqlite.driver import open_reader, open_writer
from subscriber.store.sqlite.lockfile import WriterLock
from tests.servers.postgres import shared

APPLY = "import sys, migrations; print(*migrations.apply(sys.argv[1]))"


def names() -> list[str]:
    return migrations.pending("sqlite:///none/nowhere.db")


def test_the_last_migration_is_the_one_the_store_expects() -> None:
    assert names()[-1] == EXPECTED_MIGRATION


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [int(name.split("_")[0]) for name in names()] == list(range(1, len(names()) + 1))


def test_what_is_pending_is_applied_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/folder/store.db"
    assert migrations.apply(url) == names()
    assert migrations.pending(url) == []
    assert migrations.apply(url) == []


def test_looking_what_is_pending_writes_nothing(tmp_path: Path) -> None:
    assert migrations.pending(f"sqlite:///{tmp_path}/folder/store.db") == names()
    assert list(tmp_path.iterdir()) == []


def test_a_path_is_relative_to_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    migrations.apply("sqlite:///var/store.db")
    assert (tmp_path / "var" / "store.db").exists()
    open_store("sqlite:///var/store.db").close()


def test_three_processes_that_migrate_together_apply_everything_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    command = [sys.executable, "-c", APPLY, url]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = sorted(process.communicate(timeout=60)[0].split() for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert outputs == [[], [], names()]


def test_migrating_takes_the_writers_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LOCK_SECONDS", 0.1)
    with WriterLock(f"{tmp_path}/store.db"), pytest.raises(MigrationFailed, match="kept the lock"):
        migrations.apply(f"sqlite:///{tmp_path}/store.db")


def test_a_migration_that_fails_leaves_nothing_behind(url: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(db: Database) -> None:
        db.execute("CREATE TABLE half (id INTEGER)")
        db.execute("this is no SQL")

    extended = Migrations("subscriber")
    extended(name="9999_broken")(broken)
    monkeypatch.setattr(sqlite, "schema", extended)
    with pytest.raises(MigrationFailed):
        migrations.apply(url)
    with closing(open_reader(str(path))) as connection:
        assert connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'half'").fetchall() == []
    assert migrations.pending(url) == ["9999_broken"]


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite:///", "store.db"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(MigrationFailed, match="reads sqlite:///path"):
        migrations.apply(url)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("something else entirely " * 100)
    for action in (migrations.pending, migrations.apply):
        with pytest.raises(MigrationFailed, match="not a database"):
            action(f"sqlite:///{tmp_path}/store.db")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MigrationFailed, match="cannot make the folder"):
        migrations.apply(f"sqlite:///{tmp_path}/file/store.db")


def test_a_store_without_its_schema_says_what_to_do(tmp_path: Path, url: str, path: Path) -> None:
    with pytest.raises(SchemaOutdated, match="python -m subscriber migrate"):
        open_store(f"sqlite:///{tmp_path}/none.db")
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = ?", (EXPECTED_MIGRATION,))
    with pytest.raises(SchemaOutdated, match="python -m subscriber migrate"):
        open_store(url)


def test_an_older_program_runs_on_a_newer_schema(url: str, path: Path) -> None:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        connection.execute("INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('subscriber', '9999_later')")
    open_store(url).close()


def test_an_address_of_no_known_kind_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        open_store("mysql://host/db")


# On PostgreSQL many write at once: rows say which transaction brought them, totals who raised them.
ONLY_ON_POSTGRES = {("inbox", "xid"), ("totals", "writer")}


@pytest.fixture
def empty() -> Iterator[str]:
    url = shared().empty()
    yield url
    shared().drop(url)


@pytest.fixture
def migrated() -> Iterator[str]:
    url = shared().fresh()
    yield url
    shared().drop(url)


def rows(url: str, sql: LiteralString) -> list[tuple[Any, ...]]:
    with closing(open_connection(url, EVERYBODY)) as connection:
        return connection.execute(sql).fetchall()


def test_both_dialects_have_the_same_migrations(empty: str) -> None:
    assert migrations.pending(empty) == postgres.names() == names()


def test_both_dialects_have_the_same_tables_and_columns(url: str, path: Path, migrated: str) -> None:
    with closing(open_reader(str(path))) as connection:
        ours = set(
            connection.execute(
                "SELECT tables.name, columns.name FROM sqlite_schema AS tables "
                "JOIN pragma_table_info(tables.name) AS columns "
                "WHERE tables.type = 'table' AND tables.name NOT LIKE '%sqlite_%'"
            ).fetchall()
        )
    theirs = rows(
        migrated,
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name <> '_migrations'",
    )
    assert set(theirs) == ours | ONLY_ON_POSTGRES


def test_every_table_on_postgres_is_behind_the_wall(migrated: str) -> None:
    unguarded = rows(
        migrated,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
        "AND relname <> '_migrations' AND NOT (relrowsecurity AND relforcerowsecurity "
        "AND EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = pg_class.oid))",
    )
    assert unguarded == []


def test_on_postgres_what_is_pending_is_applied_once(empty: str) -> None:
    assert migrations.pending(empty) == names()
    assert rows(empty, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == []
    assert migrations.apply(empty) == names()
    assert (migrations.pending(empty), migrations.apply(empty)) == ([], [])


def test_on_postgres_three_processes_that_migrate_together_apply_everything_once(empty: str) -> None:
    command = [sys.executable, "-c", APPLY, empty]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = sorted(process.communicate(timeout=60)[0].split() for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert outputs == [[], [], names()]


def test_on_postgres_a_migration_that_fails_leaves_nothing_behind(
    migrated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in names():
        (tmp_path / f"{name}.sql").write_text("")
    (tmp_path / "9999_broken.sql").write_text("CREATE TABLE half (id bigint); this is no SQL")
    monkeypatch.setattr(postgres, "FOLDER", tmp_path)
    with pytest.raises(MigrationFailed, match="syntax error"):
        migrations.apply(migrated)
    assert rows(migrated, "SELECT to_regclass('half')") == [(None,)]
    assert migrations.pending(migrated) == ["9999_broken"]


def test_on_postgres_migrating_waits_for_who_migrates(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "LOCK_SECONDS", 1)
    with closing(open_connection(empty, {})) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (postgres.LOCK,))
        with pytest.raises(MigrationFailed, match="kept the lock"):
            migrations.apply(empty)


def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    for action in (migrations.pending, migrations.apply):
        with pytest.raises(MigrationFailed, match="cannot be reached") as raised:
            action("postgresql://app:secret@127.0.0.1:1/none")
        assert "secret" not in str(raised.value)


def test_rows_from_a_dump_of_another_server_are_taken_for_the_first_of_all(migrated: str) -> None:
    with closing(open_connection(migrated, EVERYBODY)) as connection:
        for xid in ("999999999999", "4"):
            connection.execute(
                "INSERT INTO inbox (xid, tenant_id, key, identity, topic, channel, source, action, received_at, "
                "not_before) VALUES (%s, 1, decode(%s, 'hex'), 'timed', 't', '', 's', '', 0, 0)",
                (xid, f"{len(xid):02}"),
            )
    migrations.apply(migrated)
    assert rows(migrated, "SELECT xid::text FROM inbox ORDER BY seq") == [("3",), ("4",)]
