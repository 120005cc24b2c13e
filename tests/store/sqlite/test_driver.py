"""The SQLite library: versions, connections, errors."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from subscriber.errors import StoreUnavailable
from subscriber.store.sqlite.driver import (
    LONG_LOG_PAGES,
    DriverError,
    about_the_data,
    about_the_database,
    library_version,
    open_reader,
    open_writer,
    refuse_old_library,
    unavailable,
)


def test_a_library_that_may_corrupt_the_database_is_refused_with_what_to_do() -> None:
    with pytest.raises(StoreUnavailable, match=r"SQLite 3\.51\.2 .* install pysqlite3"):
        refuse_old_library((3, 51, 2))


def test_the_installed_library_is_recent_enough() -> None:
    refuse_old_library((3, 51, 3))
    refuse_old_library(library_version())


def test_opening_never_creates_a_database(tmp_path: Path) -> None:
    for opener in (open_reader, lambda path: open_writer(path, lock_wait_seconds=0)):
        with pytest.raises(DriverError):
            opener(str(tmp_path / "none.db"))
    assert list(tmp_path.iterdir()) == []


def test_a_path_with_signs_that_mean_something_in_addresses_is_opened(tmp_path: Path, url: str, path: Path) -> None:
    odd = path.rename(tmp_path / "a?b%20c#d.db")
    with closing(open_reader(str(odd))) as connection:
        assert connection.execute("SELECT count(*) FROM inbox").fetchone() == (0,)


def test_a_writer_waits_for_the_disk_and_keeps_references_whole(url: str, path: Path) -> None:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        wanted = {"synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "journal_mode": "wal"}
        assert {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted} == wanted


def test_the_log_stays_short_however_much_is_written(url: str, path: Path) -> None:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        for _ in range(30):
            connection.execute(
                "INSERT INTO audit (at, actor, action, detail) VALUES (0, '', '', hex(zeroblob(999999)))"
            )
        assert path.with_name(path.name + "-wal").stat().st_size < 2 * LONG_LOG_PAGES * 4096
        assert path.stat().st_size > 40_000_000


def test_a_reader_cannot_write(url: str, path: Path) -> None:
    with closing(open_reader(str(path))) as connection, pytest.raises(DriverError) as failure:
        connection.execute("DELETE FROM inbox")
    assert unavailable(failure.value).detail == "the database is read-only"


def test_a_constraint_is_about_the_data_and_no_cause_to_refuse_everybody(url: str, path: Path) -> None:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection, pytest.raises(DriverError) as failure:
        connection.execute("INSERT INTO tenants (platform, name, state, since) VALUES ('p', 'n', 'odd', 0)")
    assert about_the_data(failure.value)
    assert not about_the_database(failure.value)


@pytest.mark.parametrize("value", ["\ud800", 2**63])
def test_values_that_cannot_be_bound_are_about_the_data(url: str, path: Path, value: object) -> None:
    with closing(open_reader(str(path))) as connection, pytest.raises((UnicodeError, OverflowError)) as failure:
        connection.execute("SELECT ?", (value,))
    assert about_the_data(failure.value)


def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database, but long enough to look at " * 100)
    with pytest.raises(DriverError) as failure, closing(open_reader(str(tmp_path / "text.db"))) as connection:
        connection.execute("SELECT * FROM inbox")
    assert about_the_database(failure.value)
    assert unavailable(failure.value).detail == "the file is not a database"


def test_an_error_of_another_kind_is_named_by_its_code(url: str, path: Path) -> None:
    with closing(open_reader(str(path))) as connection, pytest.raises(DriverError) as failure:
        connection.execute("SELECT secret FROM nowhere")
    assert unavailable(failure.value).detail == "the database failed (OperationalError 1)"
