"""The library: sessions as we want them, errors in our words."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest
from psycopg import errors

from subscriber.errors import SchemaOutdated, StoreBusy, StoreUnavailable, SubscriberError
from subscriber.store.postgres.driver import EVERYBODY, address, open_connection, refuse_broken, translated
from tests.servers.postgres import Server


def test_a_commit_waits_for_the_disk_whatever_the_database_says(server: Server, url: str) -> None:
    name = url.rpartition("/")[2]
    server.admin(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with closing(open_connection(url, EVERYBODY)) as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    server.admin(f"ALTER DATABASE {name} SET synchronous_commit = remote_apply")
    with closing(open_connection(url, EVERYBODY)) as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("remote_apply",)


def test_no_statement_waits_for_ever(url: str) -> None:
    with closing(open_connection(url, {"statement_timeout": "50ms"})) as connection:
        with pytest.raises(errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(10)")
    with closing(open_connection(url, {})) as connection:
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            assert connection.execute(f"SHOW {name}").fetchone() == ("10s",)  # type: ignore[arg-type]


def test_what_the_address_says_is_kept() -> None:
    said = address("postgresql://user@host/name?sslmode=verify-full&connect_timeout=60")
    assert "sslmode=verify-full" in said and "connect_timeout=60" in said
    assert "connect_timeout=5" in address("postgresql://user@host/name")


def test_a_session_that_was_ended_is_noticed_without_asking(server: Server, url: str) -> None:
    with closing(open_connection(url, {})) as connection:
        refuse_broken(connection)
        server.terminate(url)
        with pytest.raises(psycopg.OperationalError):
            refuse_broken(connection)
        assert connection.closed


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (errors.UndefinedTable(), SchemaOutdated, "schema_outdated"),
        (errors.QueryCanceled(), StoreBusy, "store_busy"),
        (errors.LockNotAvailable(), StoreBusy, "store_busy"),
        (errors.DeadlockDetected(), StoreBusy, "store_busy"),
        (errors.DiskFull(), StoreUnavailable, "store_unavailable"),
        (errors.AdminShutdown(), StoreUnavailable, "store_unavailable"),
        (psycopg.OperationalError("could not connect"), StoreUnavailable, "store_unavailable"),
        (psycopg.DataError("NUL"), StoreUnavailable, "unstorable"),
        ("\ud800", StoreUnavailable, "unstorable"),
    ],
)
def test_an_error_of_the_library_is_told_in_our_words(
    error: Exception | str, kind: type[SubscriberError], reason: str
) -> None:
    if isinstance(error, str):
        with pytest.raises(UnicodeError) as raised:
            error.encode()
        error = raised.value
    told = translated(error)
    assert (type(told), told.reason) == (kind, reason)


def test_no_address_is_shown_by_an_error() -> None:
    with pytest.raises(psycopg.Error) as raised:
        open_connection("postgresql://somebody:secret@127.0.0.1:1/name", {})
    assert "secret" not in str(translated(raised.value)) and "127.0.0.1" not in str(translated(raised.value))
