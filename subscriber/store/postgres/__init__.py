"""The store on PostgreSQL, for any number of processes. See ``store`` for the contract; here is how it is built.

Reading order: ``committer`` (who writes, and when) → ``arrivals`` and ``admission`` (new or duplicate) →
``equal_keys`` (if not new, what?) → ``leasing`` → ``ordering`` → ``settlement`` → ``settling`` → ``inbox``. Beside
them: ``channels``, ``registry``, ``reports``, ``retention``, ``erasing``, ``replaying``; below: ``database``,
``driver``, ``tenants``, ``counters``.

Sessions run at READ COMMITTED, and the statements are made for it: each one sees what was committed before it began,
and an update that had to wait for another looks at the row anew.
"""

from __future__ import annotations

from subscriber.store import Clock, Store
from subscriber.store.postgres.checks import require_schema
from subscriber.store.postgres.database import PATIENCE_SECONDS, Database
from subscriber.store.postgres.driver import DriverError, translated
from subscriber.store.postgres.inbox import PostgresInbox
from subscriber.store.postgres.registry import PostgresRegistry
from subscriber.store.postgres.reports import PostgresReports

SCHEMES = ("postgresql://", "postgres://")


def open_store(url: str, *, clock: Clock | None = None, patience_seconds: float = PATIENCE_SECONDS) -> Store:
    """See ``store.open_store``. ``patience_seconds``: how long a write waits for its turn.

    The one connection that looks at the schema is closed again; others, and threads, are made when first needed, in
    whichever process that is.
    """
    database = Database(url, clock, patience_seconds=patience_seconds)
    _check_schema(database)
    return Store(
        inbox=PostgresInbox(database),
        registry=PostgresRegistry(database),
        reports=PostgresReports(database),
    )


def _check_schema(database: Database) -> None:
    try:
        with database.connect() as connection:
            require_schema(connection)
    except DriverError as error:
        raise translated(error) from error
