"""What ``check`` looks at. Reads the whole database."""

from __future__ import annotations

import shutil
from pathlib import Path

from subscriber.errors import SchemaOutdated
from subscriber.store import EXPECTED_MIGRATION, Finding
from subscriber.store.sqlite.driver import OLDEST_VERSION, Connection, library_version
from subscriber.store.sqlite.transaction import Transaction

# Half a million notifications of 600 bytes with their indexes: about a day of a busy service, time to react.
ROOM_BYTES = 512 * 2**20
SHOWN_PROBLEMS = 5
FULL = 2  # the number of `PRAGMA synchronous = FULL`


def require_schema(connection: Connection) -> None:
    """Raises ``SchemaOutdated`` unless the expected migration was applied. Later ones are fine: they only add."""
    if EXPECTED_MIGRATION not in _applied(connection):
        raise SchemaOutdated("the database lacks the schema of this program: run `python -m subscriber migrate`")


def _applied(connection: Connection) -> list[str]:
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = '_sqlite_migrations'").fetchall()
    if not known:
        return []
    rows = connection.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = 'subscriber' ORDER BY id")
    return [name for (name,) in rows.fetchall()]


def findings(connection: Connection, path: str) -> list[Finding]:
    """One finding per question, in the order an operator would ask them."""
    return [
        _library(library_version()),
        _schema(connection),
        _integrity(connection),
        _references(connection),
        _journal(connection),
        _room(path),
    ]


def _library(version: tuple[int, ...]) -> Finding:
    return Finding(name="library", ok=version >= OLDEST_VERSION, detail=f"SQLite {'.'.join(map(str, version))}")


def _schema(connection: Connection) -> Finding:
    applied = _applied(connection)
    detail = f"at {applied[-1]}" if applied else "no migration was applied: run `python -m subscriber migrate`"
    return Finding(name="schema", ok=EXPECTED_MIGRATION in applied, detail=detail)


def _integrity(connection: Connection) -> Finding:
    problems = [text for (text,) in connection.execute(f"PRAGMA integrity_check({SHOWN_PROBLEMS})").fetchall()]
    return Finding(name="integrity", ok=problems == ["ok"], detail="; ".join(problems))


def _references(connection: Connection) -> Finding:
    broken = connection.execute('SELECT DISTINCT "table" FROM pragma_foreign_key_check').fetchall()
    tables = ", ".join(sorted(table for (table,) in broken))
    return Finding(name="references", ok=not broken, detail=f"broken in {tables}" if broken else "ok")


def _journal(connection: Connection) -> Finding:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return Finding(name="journal", ok=mode == "wal", detail=mode)


def durability(transaction: Transaction) -> Finding:
    """Asked of the writer, in its turn: so this also shows that the turn comes."""
    (level,) = transaction.execute("PRAGMA synchronous").fetchone()
    return Finding(name="durability", ok=level >= FULL, detail=f"synchronous={level}, {FULL} is FULL")


def _room(path: str) -> Finding:
    free = shutil.disk_usage(Path(path).absolute().parent).free
    return Finding(name="room", ok=free >= ROOM_BYTES, detail=f"{free // 2**20:,} MiB free on the database's disk")
