"""The store in one SQLite file. See ``store`` for the contract; here is only how it is built.

Reading order: ``committer`` (who writes, and when) → ``transaction`` (what work is handed) → ``admission`` (new or
duplicate) → ``leasing`` → ``ordering`` (one of a source at a time) → ``settling`` (a handler's own writes, by
``lending`` and ``guard``) → ``inbox``. Beside them: ``channels``, ``registry``, ``reports`` and
``retention``; below: ``driver``, ``lockfile``, ``readers``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from subscriber.errors import SchemaOutdated, StoreUnavailable
from subscriber.store import Clock, Store
from subscriber.store.sqlite.admission import Admission, Work
from subscriber.store.sqlite.checks import require_schema
from subscriber.store.sqlite.committer import PATIENCE_SECONDS, Committer
from subscriber.store.sqlite.driver import library_version, refuse_old_library
from subscriber.store.sqlite.inbox import SqliteInbox
from subscriber.store.sqlite.readers import Readers
from subscriber.store.sqlite.registry import SqliteRegistry
from subscriber.store.sqlite.reports import SqliteReports

SCHEME = "sqlite:///"


def open_store(url: str, *, clock: Clock | None = None, patience_seconds: float = PATIENCE_SECONDS) -> Store:
    """See ``store.open_store``. ``patience_seconds``: how long a write waits for its turn.

    Connections and the committing thread are made when first needed, in whichever process that is.
    """
    if not url.startswith(SCHEME):
        raise StoreUnavailable(f"a SQLite address reads {SCHEME}path")
    refuse_old_library(library_version())
    path = url.removeprefix(SCHEME)
    now = clock or _utc_now
    _check_schema(path)
    readers = Readers(path)
    committer: Committer[Work] = Committer(path, Admission(), now, patience_seconds=patience_seconds)
    return Store(
        inbox=SqliteInbox(path, committer, readers, now),
        registry=SqliteRegistry(committer, readers),
        reports=SqliteReports(readers, now),
    )


def _check_schema(path: str) -> None:
    if not Path(path).exists():
        raise SchemaOutdated("there is no database yet: run `python -m subscriber migrate`")
    readers = Readers(path)
    try:
        with readers.lend() as connection:
            require_schema(connection)
    finally:
        readers.close()


def _utc_now() -> datetime:
    return datetime.now(UTC)
