"""Migrations: the command, run by anybody, any number at once."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

import migrations
from migrations import MigrationFailed
from migrations.sqlite import migrations as sqlite
from subscriber.errors import SchemaOutdated, StoreUnavailable
from subscriber.store import EXPECTED_MIGRATION, open_store
from subscriber.store.sqlite.driver import open_reader, open_writer
from subscriber.store.sqlite.lockfile import WriterLock

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


@pytest.mark.parametrize("url", ["postgresql://host/db", "sqlite:///", "store.db"])
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
