"""No byte of an erased tenant stays behind."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from subscriber.errors import StoreBusy
from subscriber.model import Done
from subscriber.store import Retention, Store
from subscriber.store.sqlite.compaction import SUFFIX, compact, empty_log
from subscriber.store.sqlite.driver import open_reader, open_writer
from tests.store.making import ACME, OTHER, Clock, lease_all, letter, notification, several


def files_with(folder: Path, text: bytes) -> list[str]:
    return [file.name for file in folder.iterdir() if text in file.read_bytes()]


def test_no_file_holds_a_byte_of_an_erased_tenants_payload(store: Store, path: Path, clock: Clock) -> None:
    secret = b"secret-of-acme"
    for number in range(200):
        # Different sizes: rows that grow and shrink leave copies behind on the pages they were moved from.
        body = secret + b"." * (number * 37 % 9000)
        store.inbox.add([notification(f"n{number}", body=body), notification(f"n{number}", tenant=OTHER)])
    store.inbox.add([], [letter(detail="secret-of-acme")])
    for attempt in lease_all(store, 250):
        store.inbox.settle(attempt, Done())
    clock.advance(days=8)
    ages = Retention(
        horizon=timedelta(days=30), payload=timedelta(days=7), dead=timedelta(days=90), tombstone=timedelta(days=7)
    )
    store.inbox.prune(ages, limit=50)
    assert files_with(path.parent, secret)
    store.inbox.erase(ACME)
    assert files_with(path.parent, secret) == []
    assert store.reports.counts(OTHER).done + store.reports.counts(OTHER).pending == 200


def test_the_database_shrinks_and_stays_sound(store: Store, path: Path) -> None:
    store.inbox.add(several(500) + several(10, tenant=OTHER))
    store.inbox.erase(OTHER)
    before = path.stat().st_size
    store.inbox.erase(ACME)
    assert path.stat().st_size < before
    assert Path(f"{path}-wal").stat().st_size == 0
    assert all(finding.ok for finding in store.inbox.check())


def test_what_a_crash_left_behind_is_removed(url: str, path: Path) -> None:
    left = Path(f"{path}{SUFFIX}")
    left.write_bytes(b"half a copy")
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        compact(str(path), connection)
    assert not left.exists()


def test_a_reader_on_old_pages_is_said_so_and_compacting_can_be_repeated(url: str, path: Path) -> None:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as writer, closing(open_reader(str(path))) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM inbox").fetchone()
        with pytest.raises(StoreBusy):
            compact(str(path), writer)
        reader.execute("COMMIT")
        empty_log(writer)
