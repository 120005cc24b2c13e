"""What a handler's statements may do with the connection that is lent to them.

SQLite asks while it compiles a statement (sqlite.org/c3ref/set_authorizer.html), whatever the text looks like. A
handler reads everything, writes rows of its own tables, and may create such tables and their indexes. It can neither
end the transaction nor open one in it, change the connection, reach another database, or touch the store's tables:
those are written by the store, and a temporary table could even hide one from it.
"""

from __future__ import annotations

ALLOWED, DENIED = 0, 1  # SQLITE_OK, SQLITE_DENY

# Action codes (sqlite.org/c3ref/c_alter_table.html).
CREATE_INDEX, CREATE_TABLE, DELETE, INSERT, UPDATE = 1, 2, 9, 18, 23
READ, SELECT, REINDEX, FUNCTION, RECURSIVE = 20, 21, 27, 31, 33
# REINDEX is also asked for when an index is made.
HARMLESS = frozenset((READ, SELECT, FUNCTION, RECURSIVE, REINDEX))
WRITES = frozenset((INSERT, UPDATE, DELETE, CREATE_TABLE))

# The tables of all migrations; a test compares. A later program's tables are protected from its own handlers.
OURS = frozenset(
    (
        "_sqlite_migrations",
        "audit",
        "censuses",
        "channel_facts",
        "channels",
        "credentials",
        "dead_letters",
        "gaps",
        "heartbeats",
        "inbox",
        "locks",
        "minutes",
        "pauses",
        "quarters",
        "roster",
        "subscriptions",
        "tenants",
        "totals",
    )
)
# What CREATE writes to; SQLite itself refuses statements that do. Its other tables of its own are as good as ours.
SCHEMA = "sqlite_master"
RESERVED = "sqlite_"


def authorize(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
    """May a statement do this? As SQLite asks: what ``first`` and ``second`` name depends on the action."""
    if action in HARMLESS:
        return ALLOWED
    if database == "main" and action in WRITES and not _is_ours(first):
        return ALLOWED
    if database == "main" and action == CREATE_INDEX and not _is_ours(second):
        return ALLOWED
    return DENIED


def _is_ours(table: str | None) -> bool:
    return table is None or table in OURS or (table.startswith(RESERVED) and table != SCHEMA)
