"""The horizon: transactions that may still bring rows hold it back, others do not."""

from __future__ import annotations

from contextlib import closing

from subscriber.store.postgres.database import Database
from subscriber.store.postgres.driver import Connection
from subscriber.store.postgres.horizon import LOCK, horizon
from tests.servers.postgres import Server
from tests.store.postgres.asking import aside


def number(connection: Connection) -> int:
    """Gives the connection's transaction its number."""
    ((xid,),) = connection.execute("SELECT pg_current_xact_id()::text").fetchall()
    return int(xid)


def ask(database: Database) -> int:
    with database.lookups() as connection:
        return int(horizon(connection))


def test_who_may_bring_rows_holds_it_back_until_the_end(database: Database, url: str) -> None:
    with aside(url) as early, aside(url) as late:
        early.execute(LOCK)
        first = number(early)
        late.execute(LOCK)
        second = number(late)
        late.commit()
        assert ask(database) == first
        early.rollback()
        assert ask(database) > second


def test_who_brings_none_does_not_hold_it_back(database: Database, server: Server, url: str) -> None:
    with aside(url) as handler, closing(server_neighbour(server)) as neighbour:
        oldest = [number(handler), number(neighbour)]
        with aside(url) as third:
            latest = number(third)
        assert ask(database) > latest > max(oldest)


def server_neighbour(server: Server) -> Connection:
    """A session of another program, in another database of the server."""
    return aside(server.fresh())
