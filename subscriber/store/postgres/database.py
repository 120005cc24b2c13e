"""Connections to one database, lent to whoever asks; everything of this store goes through here.

Two pools, so that a forgotten filter shows nothing (row-level security, see migration 0001): ``service`` sees every
tenant, ``reader`` only those that its transaction has named, and cannot write. A third one, of the same kind as
``service``, is for handlers' transactions: they may take a minute each and must not use up the connections of those
who take milliseconds. Pools are made when first needed, in whichever process that is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from subscriber.errors import StoreBusy, StoreUnavailable
from subscriber.model import to_millis
from subscriber.store import Clock
from subscriber.store.forks import Forkable
from subscriber.store.postgres.driver import (
    EVERYBODY,
    LOOKS_UP,
    Connection,
    DriverError,
    address,
    open_connection,
    prepare,
    refuse_broken,
    translated,
)

READER = "reader"
NOTHING: Mapping[str, str] = {}
PATIENCE_SECONDS = 5.0  # the contract's limit for a write that waits for its turn
# Connections of a process: a database as a service grants some dozens in all. Two cores ask two questions at once;
# handlers that write in their own transaction are as many as worker threads, 8 unless a team wants more.
SERVICE_CONNECTIONS = 4
READER_CONNECTIONS = 4
LOOKUP_CONNECTIONS = 2
HANDLER_CONNECTIONS = 16
IDLE_SECONDS = 120.0  # then what a rush of requests opened is closed again

# Milliseconds since 1970 in a statement: `%(now)s` is None, and the clock is the database's, except in tests.
NOW = "coalesce(%(now)s::bigint, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)"


class Database(Forkable):
    """One per process and address; all threads share it. ``clock`` takes the place of the database's own."""

    def __init__(self, url: str, clock: Clock | None = None, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._url = url
        self._clock = clock
        self.patience_seconds = patience_seconds
        self.start_over()
        self.register()

    def start_over(self) -> None:
        """Begin with no connection, as in a new process."""
        self._mutex = threading.Lock()
        self._pools: dict[str, ConnectionPool[Connection]] = {}
        self._closed = False

    def belongings(self) -> list[object]:
        return list(self._pools.values())

    @contextmanager
    def service(self) -> Iterator[Connection]:
        """A connection in a transaction of its own, which sees every tenant: committed at the end of the block.

        An exception rolls back. Raises ``StoreBusy`` when no connection comes free in time or a statement waits too
        long, ``StoreUnavailable``, ``SchemaOutdated``. If the commit itself breaks off, nobody can tell whether it
        happened.
        """
        with self._lend("service", SERVICE_CONNECTIONS, EVERYBODY) as connection:
            yield connection

    @contextmanager
    def reader(self, tenant_ids: Sequence[int]) -> Iterator[Connection]:
        """The same, read only, and blind to every tenant but these."""
        with self._lend(READER, READER_CONNECTIONS, {}) as connection:
            named = ",".join(map(str, tenant_ids))
            connection.execute("SELECT set_config('subscriber.tenants', %s, true)", (named,))
            yield connection

    @contextmanager
    def lookups(self) -> Iterator[Connection]:
        """As ``service``, for statements that only look into indexes and must never do anything else."""
        with self._lend("lookups", LOOKUP_CONNECTIONS, {**EVERYBODY, **LOOKS_UP}) as connection:
            yield connection

    @contextmanager
    def handler(self) -> Iterator[Connection]:
        """A connection for one transactional handler, as ``service``, but errors of the library pass unchanged."""
        pool = self._pool("handler", HANDLER_CONNECTIONS, EVERYBODY)
        with _borrowed(pool, self.patience_seconds) as connection:
            yield connection

    def connect(self, settings: Mapping[str, str] = NOTHING) -> Connection:
        """A connection of the caller's own, which commits each statement that stands alone and sees every tenant.

        Raises the library's errors: who owns a connection has to know them.
        """
        return open_connection(self._url, {**EVERYBODY, **settings})

    def now(self, connection: Connection) -> int:
        """Milliseconds since 1970 by the clock that counts: the database's, or the one given in tests."""
        ((millis,),) = connection.execute(f"SELECT {NOW}", {"now": self.told_millis()}).fetchall()
        return int(millis)

    def told_millis(self) -> int | None:
        """The parameter ``now`` of a statement with ``NOW`` in it."""
        return None if self._clock is None else to_millis(self._clock())

    def close(self) -> None:
        """Let go of every connection; what is lent closes when it comes back."""
        with self._mutex:
            self._closed = True
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.close(self.patience_seconds)

    @contextmanager
    def _lend(self, name: str, size: int, settings: Mapping[str, str]) -> Iterator[Connection]:
        try:
            with _borrowed(self._pool(name, size, settings), self.patience_seconds) as connection:
                yield connection
        except DriverError as error:
            raise translated(error) from error

    def _pool(self, name: str, size: int, settings: Mapping[str, str]) -> ConnectionPool[Connection]:
        with self._mutex:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            if name not in self._pools:
                self._pools[name] = _open_pool(name, address(self._url), size, settings)
            return self._pools[name]


@contextmanager
def _borrowed(pool: ConnectionPool[Connection], patience_seconds: float) -> Iterator[Connection]:
    try:
        connection = pool.getconn(patience_seconds)
    except PoolTimeout as error:
        raise StoreBusy(f"no database connection came free in {patience_seconds:.0f} s") from error
    except PoolClosed as error:
        raise StoreUnavailable("the store is closed") from error
    try:
        with connection.transaction():
            yield connection
    finally:
        pool.putconn(connection)


def _open_pool(name: str, conninfo: str, size: int, settings: Mapping[str, str]) -> ConnectionPool[Connection]:
    return ConnectionPool(
        conninfo,
        name=f"subscriber-{name}",
        min_size=0,
        max_size=size,
        configure=partial(_configure, name, settings),
        check=refuse_broken,
        max_idle=IDLE_SECONDS,
        # Whoever needs a connection tries anew: the pool's own pauses would grow for as long as an outage lasts.
        reconnect_timeout=PATIENCE_SECONDS,
        num_workers=1,
        open=True,
    )


def _configure(name: str, settings: Mapping[str, str], connection: Connection) -> None:
    prepare(connection, settings)
    connection.read_only = name == READER
