"""Bring a database's schema up to this program's. Run by ``python -m subscriber migrate``, never by a service.

``pending`` never writes. ``apply`` holds the writer's lock, so that any number of processes may run it together and
all but the first find nothing to do. Names are the same in every dialect; changes only go forward, and an old
program keeps running on the new schema. Imports nothing from ``subscriber``.
"""

from __future__ import annotations

SQLITE = "sqlite:///"  # then a path: relative to the working folder, or absolute when it starts with another slash


class MigrationFailed(Exception):
    """The schema could not be read or changed. The text says why and is fit for a person; the cause is chained."""


def pending(url: str) -> list[str]:
    """Names of the migrations that ``apply`` would run, oldest first. A missing database lacks all of them."""
    from migrations.sqlite import migrations

    return migrations.pending(_path(url))


def apply(url: str) -> list[str]:
    """Run what is pending, creating folder and database if need be. Returns the names that were run here."""
    from migrations.sqlite import migrations

    return migrations.apply(_path(url))


def _path(url: str) -> str:
    if not url.startswith(SQLITE) or len(url) == len(SQLITE):
        raise MigrationFailed(f"a database address reads {SQLITE}path")
    return url.removeprefix(SQLITE)
