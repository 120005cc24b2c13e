"""What ``check`` looks at. All of it is cheap: the server keeps its own files whole, and says so when it cannot."""

from __future__ import annotations

from collections.abc import Callable

from subscriber.errors import SchemaOutdated
from subscriber.store import EXPECTED_MIGRATION, Finding
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.driver import Connection

# The first whose every behaviour we rely on: xid8 and pg_current_xact_id() came with 13, and 13 is out of support.
OLDEST_VERSION = 140_000
# A transaction that has written and does nothing holds back autovacuum, and if it wrote to the inbox, ordered routes
# and whoever follows arrivals. Handlers may take a minute (``Inbox.settling``); who takes five has forgotten it.
IDLE_SECONDS = 300
FLUSHING = ("on", "remote_apply")  # values of `synchronous_commit` with which a commit waits for the disk

RECORDED = "SELECT to_regclass('_migrations') IS NOT NULL"
APPLIED = "SELECT name FROM _migrations ORDER BY name"
LOGIN = "SELECT current_user, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
# With rows of tenants: what a question that forgets its tenant could read without the wall. What handlers keep in
# tables of their own is their business.
WALLED = (
    "inbox",
    "dead_letters",
    "minutes",
    "totals",
    "subscriptions",
    "gaps",
    "channel_facts",
    "channels",
    "tenants",
)
OPEN_TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = ANY (%s)
    AND NOT (relrowsecurity AND relforcerowsecurity) ORDER BY relname
"""
INVALID_INDEXES = """
    SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
    WHERE relnamespace = current_schema()::regnamespace AND NOT (indisvalid AND indisready) ORDER BY 1
"""
# Of sessions of other logins a database shows nothing but that they are there.
IDLERS = """
    SELECT count(*), coalesce(floor(max(extract(epoch FROM clock_timestamp() - state_change))), 0)::bigint
    FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%' AND backend_xid IS NOT NULL
    AND state_change < clock_timestamp() - make_interval(secs => %s)
"""
# A commit that a stranger's coordinator prepared and never finished holds back as much, and for ever.
PREPARED = "SELECT count(*) FROM pg_prepared_xacts WHERE prepared < clock_timestamp() - make_interval(secs => %s)"


def require_schema(connection: Connection) -> None:
    """Raises ``SchemaOutdated`` unless the expected migration was applied. Later ones are fine: they only add."""
    if EXPECTED_MIGRATION not in _applied(connection):
        raise SchemaOutdated("the database lacks the schema of this program: run `python -m subscriber migrate`")


def findings(database: Database) -> list[Finding]:
    """One finding per question, in the order an operator would ask them."""
    with database.service() as connection:
        return [question(connection) for question in QUESTIONS]


def _applied(connection: Connection) -> list[str]:
    if connection.execute(RECORDED).fetchone() == (False,):
        return []
    return [name for (name,) in connection.execute(APPLIED).fetchall()]


def _server(connection: Connection) -> Finding:
    number = connection.info.server_version
    return Finding(name="server", ok=number >= OLDEST_VERSION, detail=f"PostgreSQL {number // 10_000}.{number % 100}")


def _schema(connection: Connection) -> Finding:
    applied = _applied(connection)
    detail = f"at {applied[-1]}" if applied else "no migration was applied: run `python -m subscriber migrate`"
    return Finding(name="schema", ok=EXPECTED_MIGRATION in applied, detail=detail)


def _login(connection: Connection) -> Finding:
    """Row-level security says nothing to a superuser, nor to a login that may bypass it."""
    ((name, superuser, bypasses),) = connection.execute(LOGIN).fetchall()
    why = "is a superuser" if superuser else "has BYPASSRLS" if bypasses else "is bound by the tables' policies"
    return Finding(name="login", ok=not (superuser or bypasses), detail=f"{name} {why}")


def _walls(connection: Connection) -> Finding:
    found = _names(connection, OPEN_TABLES, list(WALLED))
    return Finding(
        name="walls",
        ok=not found,
        detail=f"not forced on {found}" if found else "row-level security is forced on all",
    )


def _indexes(connection: Connection) -> Finding:
    found = _names(connection, INVALID_INDEXES)
    return Finding(name="indexes", ok=not found, detail=f"invalid: {found}" if found else "all valid")


def _durability(connection: Connection) -> Finding:
    """Of our own sessions: they ask for it, whatever the database's default is."""
    ((commit,),) = connection.execute("SELECT current_setting('synchronous_commit')").fetchall()
    return Finding(name="durability", ok=commit in FLUSHING, detail=f"synchronous_commit={commit}")


def _idlers(connection: Connection) -> Finding:
    ((sessions, seconds),) = connection.execute(IDLERS, (IDLE_SECONDS,)).fetchall()
    ((prepared,),) = connection.execute(PREPARED, (IDLE_SECONDS,)).fetchall()
    if not sessions and not prepared:
        return Finding(name="idlers", ok=True, detail="no transaction was forgotten")
    detail = f"{sessions} idle in a transaction, up to {seconds} s; {prepared} prepared: autovacuum and readers wait"
    return Finding(name="idlers", ok=False, detail=detail)


def _names(connection: Connection, sql: str, *known: object) -> str:
    return ", ".join(name for (name,) in connection.execute(sql, known or None).fetchall())


QUESTIONS: tuple[Callable[[Connection], Finding], ...] = (
    _server,
    _schema,
    _login,
    _walls,
    _indexes,
    _durability,
    _idlers,
)
