"""Questions that tests put to a PostgreSQL database behind the store's back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from subscriber.store.postgres.driver import EVERYBODY, Connection, open_connection


def aside(url: str) -> Connection:
    """A session of the test's own that sees every tenant; it commits when told."""
    connection = open_connection(url, EVERYBODY)
    connection.autocommit = False
    return connection


def ask(url: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """One statement in a transaction of its own. Its rows, if it has any."""
    with aside(url) as connection:
        cursor = connection.execute(sql, values or None)
        return cursor.fetchall() if cursor.description else []


def plan(connection: Connection, sql: str, values: Mapping[str, object] | Sequence[object]) -> str:
    """How the database would do it."""
    cursor = psycopg.ClientCursor(connection)
    return "\n".join(line for (line,) in cursor.execute(f"EXPLAIN {sql}", values).fetchall())


def fill(url: str, rows: int) -> None:
    """Done rows of two tenants by turns, of two hundred sources, brought by as many transactions; and statistics.

    The tenants have the ids 1 and 2.
    """
    ask(
        url,
        "INSERT INTO tenants (platform, name, state, since) "
        "VALUES ('mindsphere', 'custaa', 'active', 0), ('mindsphere', 'custbb', 'active', 0)",
    )
    ask(
        url,
        """
        INSERT INTO inbox (xid, tenant_id, key, identity, topic, channel, source, action, received_at, not_before,
            state, settled_at, body)
        SELECT (3 + n * 200 / %s)::text::xid8, 1 + n %% 2, decode(md5(n::text), 'hex'), 'timed', 't', '',
            'source-' || n %% 200, '', n, n, 'done', n, CASE WHEN n %% 3 = 0 THEN 'body'::bytea END
        FROM generate_series(1, %s) AS n
        """,
        rows,
        rows,
    )
    ask(url, "ANALYZE inbox, tenants")
