"""The SQLite library: which one, how it is opened, and its errors in our words.

The only place that imports a driver. ``pysqlite3`` brings a current SQLite; the standard library's is used where it
is missing and recent enough. A connection made here never creates a database: only ``migrate`` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from subscriber.errors import StoreUnavailable

if TYPE_CHECKING:
    import sqlite3 as driver
else:
    try:
        from pysqlite3 import dbapi2 as driver
    except ImportError:
        import sqlite3 as driver

Connection = driver.Connection
Cursor = driver.Cursor
DriverError = driver.Error
ConstraintBroken = driver.IntegrityError

# Before 3.51.3, two connections that write and checkpoint a WAL database at the same moment can corrupt it
# (sqlite.org/wal.html, "The WAL-reset bug").
OLDEST_VERSION = (3, 51, 3)

# Interior pages of the indexes of some million rows; another process's commit empties it anyway.
WRITER_CACHE_KIB = 8192
READER_CACHE_KIB = 2048
# The commit that finds the log this long moves it into the database. Measured: at 3,000,000 rows 2,000 pages (8 MiB)
# keep a tenth more throughput than SQLite's 1,000 at the same p99; a thread that moves the log beside the commits
# kept no more at any length, for they wait for the same disk.
LONG_LOG_PAGES = 2000
LARGEST_IDLE_LOG = 64 * 2**20  # bytes; a log that grew behind a long reader is cut to this when it starts anew
# Statements of every size up to LARGEST_STATEMENT_ROWS, and of the few larger ones, stay prepared.
PREPARED_STATEMENTS = 256

# Primary result codes (sqlite.org/rescode.html): the low byte of every extended code.
CAUSES = {
    3: "no permission to use the database file",
    5: "another program holds the database's lock",
    6: "another program holds the database's lock",
    8: "the database is read-only",
    10: "reading or writing the database file failed",
    11: "the database file is damaged: restore it, or see `check`",
    13: "the disk is full",
    14: "the database cannot be opened",
    26: "the file is not a database",
}
NOT_AUTHORIZED = 23


def library_version() -> tuple[int, ...]:
    return tuple(driver.sqlite_version_info)


def refuse_old_library(version: tuple[int, ...]) -> None:
    """Raises ``StoreUnavailable`` for a version that may lose data."""
    if version < OLDEST_VERSION:
        found, needed = (".".join(map(str, numbers)) for numbers in (version, OLDEST_VERSION))
        raise StoreUnavailable(
            f"SQLite {found} can corrupt a database that several processes write: install pysqlite3, "
            f"or a Python with SQLite {needed} or later"
        )


def open_writer(path: str, *, lock_wait_seconds: float) -> Connection:
    """A connection for the one thread that writes. A stranger's lock is waited out for ``lock_wait_seconds``."""
    connection = _open(path, lock_wait_seconds, WRITER_CACHE_KIB)
    connection.execute("PRAGMA synchronous = FULL")  # an acknowledged row survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {LONG_LOG_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {LARGEST_IDLE_LOG}")
    connection.execute("PRAGMA secure_delete = ON")  # erased is erased; costs nothing until something is deleted
    return connection


def open_reader(path: str) -> Connection:
    """A connection that cannot write, usable by one thread at a time."""
    connection = _open(path, 1.0, READER_CACHE_KIB)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _open(path: str, wait_seconds: float, cache_kib: int) -> Connection:
    address = f"{Path(path).absolute().as_uri()}?mode=rw"
    connection = driver.connect(
        address,
        uri=True,
        timeout=wait_seconds,
        isolation_level=None,  # we say BEGIN and COMMIT ourselves
        check_same_thread=False,  # the pool and the committer each see to it that one thread uses it at a time
        cached_statements=PREPARED_STATEMENTS,
    )
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    return connection


def open_copy(path: str) -> Connection:
    """A connection to a file that nobody else knows."""
    return driver.connect(path)


def about_the_database(error: Exception) -> bool:
    """Is the database in a condition that fails any work, whatever it is?"""
    return isinstance(error, DriverError) and _code(error) in CAUSES


def about_the_data(error: Exception) -> bool:
    """Did the values of a row cause this?

    Text that is no UTF-8 and numbers beyond 64 bits fail when they are bound, others by size or constraint.
    """
    kinds = (driver.IntegrityError, driver.DataError, driver.InterfaceError, driver.ProgrammingError)
    return isinstance(error, (*kinds, UnicodeError, OverflowError))


def forbidden(error: DriverError) -> bool:
    """Did the connection's authorizer refuse a statement?"""
    return _code(error) == NOT_AUTHORIZED


def unavailable(error: DriverError) -> StoreUnavailable:
    """What a driver's error means for callers. Never carries values of a row."""
    code = _code(error)
    return StoreUnavailable(CAUSES.get(code, f"the database failed ({type(error).__name__} {code})"))


def _code(error: DriverError) -> int:
    """The primary result code; 0 if the driver itself complains."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
