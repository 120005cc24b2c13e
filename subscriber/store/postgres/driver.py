"""The PostgreSQL library: how a connection is opened, and its errors in our words.

The only place that opens connections. Whatever the database's own settings say, a commit waits for the disk
(``synchronous_commit``), and nothing waits for ever. TLS is as the address says (``sslmode``, ``sslrootcert``, …):
libpq reads it there, see postgresql.org/docs, "Database Connection Control Functions".
"""

from __future__ import annotations

import select
from collections.abc import Mapping
from typing import Any, TypeAlias

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict

from subscriber.errors import SchemaOutdated, StoreBusy, StoreUnavailable, SubscriberError

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
DriverError = psycopg.Error

UNSTORABLE = "unstorable"  # reason: a value that no column takes

EVERYBODY = {"subscriber.everybody": "on"}  # the session sees every tenant's rows (row-level security)

# What the address does not say itself. A server that vanished without a word (a fail-over) is noticed after ten
# seconds, not after the two hours that TCP would wait.
ADDRESS_DEFAULTS = {
    "application_name": "subscriber",
    "client_encoding": "UTF8",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
# No statement of ours takes a second: one that takes ten waits for a lock or for a disk that hangs.
STATEMENT_SECONDS = 10.0
SESSION = {
    "statement_timeout": f"{STATEMENT_SECONDS:.0f}s",
    "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS:.0f}s",
    "jit": "off",  # compiling pays for statements of seconds; ours look into indexes
}
# For statements that only look into indexes: whatever a plan was made for, an empty table or a full one, it must not
# read through the inbox. A prepared statement keeps its plan until the tables' statistics are renewed.
LOOKS_UP = {"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
SYNCHRONOUS = "SELECT set_config('synchronous_commit', 'on', false) " + (
    "WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')"
)

SCHEMA_KINDS = (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction)
WAITED_KINDS = (errors.QueryCanceled, errors.LockNotAvailable)
# The same work may succeed when it is done once more: somebody else was in its way.
COLLISION_KINDS = (errors.DeadlockDetected, errors.SerializationFailure)


def open_connection(url: str, settings: Mapping[str, str]) -> Connection:
    """A connection of ours that commits each statement that stands alone; see ``prepare`` for the settings."""
    connection = psycopg.connect(address(url), autocommit=True)
    prepare(connection, settings)
    return connection


def address(url: str) -> str:
    """The address with what it leaves open filled in."""
    return psycopg.conninfo.make_conninfo(**{**ADDRESS_DEFAULTS, **conninfo_to_dict(url)})  # type: ignore[arg-type]


def prepare(connection: Connection, settings: Mapping[str, str]) -> None:
    """Settings of a new session: ``SESSION``, and these."""
    known = {**SESSION, **settings}
    calls = [sql.SQL("set_config({}, {}, false)").format(name, value) for name, value in known.items()]
    autocommit, connection.autocommit = connection.autocommit, True
    connection.execute(sql.SQL("SELECT {}").format(sql.SQL(", ").join(calls)))
    connection.execute(SYNCHRONOUS)
    connection.autocommit = autocommit


def refuse_broken(connection: Connection) -> None:
    """Close an idle connection that has ended meanwhile, and raise. Asks nobody: a server has nothing else to say."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        connection.close()
        raise psycopg.OperationalError("the server ended the connection")


def about_the_data(error: Exception) -> bool:
    """Did the values of a row cause this? Text that is no UTF-8 fails when it is bound, others in the database."""
    kinds = (psycopg.DataError, psycopg.IntegrityError, UnicodeError, OverflowError)
    return isinstance(error, kinds) or isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None


def translated(error: Exception) -> SubscriberError:
    """What an error of the library means for callers. Never carries values of a row, nor an address."""
    if about_the_data(error):
        # Codecs let no such value through; if one does, nothing is acknowledged. The value is not shown.
        return StoreUnavailable(f"a value cannot be stored ({type(error).__name__})", reason=UNSTORABLE)
    if isinstance(error, SCHEMA_KINDS):
        return SchemaOutdated("the database lacks the schema of this program: run `python -m subscriber migrate`")
    if isinstance(error, WAITED_KINDS):
        return StoreBusy(f"the database let a statement wait for longer than {STATEMENT_SECONDS:.0f} s")
    if isinstance(error, COLLISION_KINDS):
        return StoreBusy("others wrote the same rows again and again")
    return StoreUnavailable(_in_words(error))


def _in_words(error: Exception) -> str:
    state = getattr(error, "sqlstate", None)
    if state is None:
        return "the database cannot be reached, or the connection broke"
    return f"the database failed ({type(error).__name__} {state})"
