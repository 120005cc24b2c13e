"""What may be on a disk when the power goes: the rules of ``proof.power.disk``."""

from __future__ import annotations

import random

import pytest

from proof.power.disk import KINDS, SECTOR, Disk
from proof.power.trace import Record

OLD, NEW = b"o" * 4 * SECTOR, b"n" * 4 * SECTOR
TIMES = 200  # enough for each half chance to fall both ways


def disk(*records: Record) -> Disk:
    made = Disk({"db": OLD})
    for record in records:
        made.follow(record)
    return made


def write(data: bytes = NEW, at: int = 0, path: str = "db") -> Record:
    return Record("W", path, at, data)


def sync(path: str = "db", which: int = 1) -> tuple[Record, Record]:
    return Record("B", path, which, b""), Record("S", path, which, b"")


def cuts(made: Disk, kind: str) -> list[dict[str, bytes]]:
    return [made.cut(kind, random.Random(seed)) for seed in range(TIMES)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_synced_is_there(kind: str) -> None:
    assert all(found == {"db": NEW} for found in cuts(disk(write(), *sync()), kind))


def test_what_was_not_synced_may_be_there_or_not_or_in_part() -> None:
    made = disk(write())
    assert {found["db"] for found in cuts(made, "nothing unsynced")} == {OLD}
    assert {found["db"] for found in cuts(made, "everything")} == {NEW}
    parts = {found["db"] for found in cuts(made, "some sectors")}
    assert len(parts) > 2
    assert all(part[at : at + SECTOR] in (OLD[:SECTOR], NEW[:SECTOR]) for part in parts for at in range(0, 2048, 512))


def test_a_later_write_may_be_there_without_an_earlier_one() -> None:
    made = disk(write(b"1", at=0), write(b"2", at=1))
    assert b"o2" in {found["db"][:2] for found in cuts(made, "some writes")}


def test_a_sync_promises_nothing_of_what_was_written_while_it_ran() -> None:
    begun, ended = sync()
    assert cuts(disk(begun, write(), ended), "nothing unsynced")[0] == {"db": OLD}


def test_a_sync_that_failed_promises_nothing() -> None:
    begun, _ = sync()
    assert cuts(disk(write(), begun), "nothing unsynced")[0] == {"db": OLD}


def test_two_syncs_at_a_time_each_promise_their_own() -> None:
    first, second = sync(which=1), sync(which=2)
    made = disk(write(b"1"), first[0], write(b"2"), second[0], first[1], write(b"3"), second[1])
    assert made.cut("nothing unsynced", random.Random(0))["db"][:1] == b"2"


def test_a_new_name_is_sure_once_its_folder_was_synced() -> None:
    created = (Record("C", "log", 0, b""), write(b"x", path="log"), *sync("log"))
    assert {"log" in found for found in cuts(disk(*created), "everything")} == {True, False}
    assert all("log" in found for found in cuts(disk(*created, *sync("", 2)), "everything"))


def test_a_removed_name_may_come_back_until_its_folder_was_synced() -> None:
    removed = Record("U", "db", 0, b"")
    assert {len(found) for found in cuts(disk(removed), "everything")} == {0, 1}
    assert cuts(disk(removed, *sync("", 2)), "everything") == [{}] * TIMES


def test_a_truncation_is_a_change_like_others() -> None:
    made = disk(Record("T", "db", 1, b""))
    assert {len(found["db"]) for found in cuts(made, "some writes")} == {1, len(OLD)}
