"""What `check` finds."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from subscriber.errors import SchemaOutdated
from subscriber.store import Finding, Store
from subscriber.store.sqlite import checks, open_store
from subscriber.store.sqlite.driver import open_reader, open_writer
from tests.store.making import notification


def problems(store: Store) -> list[str]:
    return [finding.name for finding in store.inbox.check() if not finding.ok]


def test_every_question_has_its_finding(store: Store) -> None:
    assert [finding.name for finding in store.inbox.check()] == [
        "library",
        "schema",
        "integrity",
        "references",
        "journal",
        "room",
        "durability",
    ]


def test_a_row_without_its_tenant_is_found(store: Store, path: Path) -> None:
    store.inbox.add([notification()])
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM tenants")
    assert problems(store) == ["references"]


def test_an_index_that_lost_an_entry_is_found(store: Store, path: Path) -> None:
    store.inbox.add([notification()])
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'tenant_id, seq', 'tenant_id, lease') "
            "WHERE name = 'inbox_tenant'"
        )
    assert "integrity" in problems(store)


def test_a_journal_that_is_no_log_is_found(url: str, path: Path) -> None:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    with closing(open_store(url)) as store:
        assert problems(store) == ["journal"]


def test_a_disk_with_little_room_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ROOM_BYTES", 2**60)
    assert problems(store) == ["room"]


def test_an_old_library_is_found() -> None:
    assert checks._library((3, 40, 1)) == Finding(name="library", ok=False, detail="SQLite 3.40.1")


def test_a_database_without_our_schema_is_outdated(tmp_path: Path) -> None:
    empty = tmp_path / "empty.db"
    empty.touch()
    with closing(open_reader(str(empty))) as connection, pytest.raises(SchemaOutdated, match="migrate"):
        checks.require_schema(connection)
