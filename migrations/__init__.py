"""Bring a database's schema up to this program's. Run by ``python -m subscriber migrate``, never by a service.

``pending`` never writes. ``apply`` holds a lock, so that any number of processes may run it together and all but the
first find nothing to do. Names are the same in every dialect; changes only go forward, and an old program keeps
running on the new schema. Imports nothing from ``subscriber``.
"""

from __future__ import annotations

SQLITE = "sqlite:///"  # then a path: relative to the working folder, or absolute when it starts with another slash
POSTGRES = ("postgresql://", "postgres://")


class MigrationFailed(Exception):
    """The schema could not be read or changed. The text says why and is fit for a person; the cause is chained."""


def pending(url: str) -> list[str]:
    """Names of the migrations that ``apply`` would run, oldest first. A missing SQLite file lacks all of them."""
    if url.startswith(POSTGRES):
        from migrations.postgres import migrations as postgres

        return postgres.pending(url)
    from migrations.sqlite import migrations as sqlite

    return sqlite.pending(_path(url))


def apply(url: str) -> list[str]:
    """Run what is pending. Returns the names that were run here.

    On SQLite folder and file are made if need be; on PostgreSQL the database has to be there.
    """
    if url.startswith(POSTGRES):
        from migrations.postgres import migrations as postgres

        return postgres.apply(url)
    from migrations.sqlite import migrations as sqlite

    return sqlite.apply(_path(url))


def _path(url: str) -> str:
    if not url.startswith(SQLITE) or len(url) == len(SQLITE):
        raise MigrationFailed(f"a database address reads {SQLITE}path or {POSTGRES[0]}user:password@host/name")
    return url.removeprefix(SQLITE)
