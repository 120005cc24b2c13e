"""A disk that was promised things: what may be on it when the power goes.

Rules. What a sync was asked for, of a file or of the folder, is there once it has returned. Of later writes any
subset may be there, each whole or only some of its sectors. Names that were made or removed without a sync of the
folder may be as before, in the order it happened (a journalling file system). Nothing is there that nobody wrote.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from proof.power.trace import Record

SECTOR = 512  # bytes that a disk writes as a whole
VOLATILE = "-shm"  # the index of the log, made anew by whoever opens a database first


@dataclass(eq=False)
class Change:
    """A write, or a truncation if ``data`` is None."""

    offset: int
    data: bytes | None


@dataclass(eq=False)
class File:
    """``synced`` is surely there; ``unsynced`` is on its way, in order."""

    synced: bytearray = field(default_factory=bytearray)
    unsynced: list[Change] = field(default_factory=list)


Choose = Callable[[list[Change], random.Random], list[Change]]


def _nothing(changes: list[Change], chance: random.Random) -> list[Change]:
    return []


def _everything(changes: list[Change], chance: random.Random) -> list[Change]:
    return changes


def _beginning(changes: list[Change], chance: random.Random) -> list[Change]:
    """What came first is there; the last of it perhaps in part."""
    kept = changes[: chance.randint(0, len(changes))]
    return kept[:-1] + [part for change in kept[-1:] for part in _torn(change, chance)]


def _some(changes: list[Change], chance: random.Random) -> list[Change]:
    """A disk that writes in the order it likes."""
    return [change for change in changes if chance.random() < 0.5]


def _pieces(changes: list[Change], chance: random.Random) -> list[Change]:
    """And stops in the middle of each write."""
    return [part for change in changes for part in _torn(change, chance)]


KINDS: Mapping[str, Choose] = {
    "nothing unsynced": _nothing,
    "everything": _everything,
    "the beginning, torn": _beginning,
    "some writes": _some,
    "some sectors": _pieces,
}


def _torn(change: Change, chance: random.Random) -> list[Change]:
    if change.data is None:
        return [change] if chance.random() < 0.5 else []
    data, at, parts = change.data, 0, []
    while at < len(data):
        end = min(len(data), at + SECTOR - (change.offset + at) % SECTOR)
        if chance.random() < 0.5:
            parts.append(Change(change.offset + at, data[at:end]))
        at = end
    return parts


class Disk:
    """Follows a trace, from a state in which everything was synced."""

    def __init__(self, content: Mapping[str, bytes]) -> None:
        self._names = {name: File(bytearray(data)) for name, data in content.items()}
        self._synced_names = dict(self._names)
        self._renamings: list[tuple[str, File | None]] = []  # since the folder was synced; None: removed
        self._syncs: dict[int, tuple[File | None, int]] = {}  # which file (None: folder) up to which change

    def follow(self, record: Record) -> None:
        """Take the next call into account."""
        match record.kind:
            case "W":
                self._names[record.path].unsynced.append(Change(record.offset, record.data))
            case "T":
                self._names[record.path].unsynced.append(Change(record.offset, None))
            case "B":
                file = self._names[record.path] if record.path else None
                self._syncs[record.offset] = (file, len(file.unsynced if file else self._renamings))
            case "S":
                self._synced(*self._syncs.pop(record.offset))
            case "C":
                self._name(record.path, File())
            case "U":
                self._name(record.path, None)

    def cut(self, kind: str, chance: random.Random) -> dict[str, bytes]:
        """What is there if the power goes now, by a kind of ``KINDS``."""
        names = dict(self._synced_names)
        for name, file in self._renamings[: chance.randint(0, len(self._renamings))]:
            _rename(names, name, file)
        found = {}
        for name, file in names.items():
            if not name.endswith(VOLATILE):
                content = bytearray(file.synced)
                for change in KINDS[kind](file.unsynced, chance):
                    _apply(content, change)
                found[name] = bytes(content)
        return found

    def _name(self, name: str, file: File | None) -> None:
        _rename(self._names, name, file)
        self._renamings.append((name, file))

    def _synced(self, file: File | None, count: int) -> None:
        if file is None:
            for name, made in self._renamings[:count]:
                _rename(self._synced_names, name, made)
            del self._renamings[:count]
            self._shorten(None, count)
        else:
            for change in file.unsynced[:count]:
                _apply(file.synced, change)
            del file.unsynced[:count]
            self._shorten(file, count)

    def _shorten(self, file: File | None, count: int) -> None:
        """Other syncs of the same file are under way: what they were asked for is nearer to the front now."""
        for which, (other, upto) in self._syncs.items():
            if other is file:
                self._syncs[which] = (other, max(0, upto - count))


def _rename(names: dict[str, File], name: str, file: File | None) -> None:
    if file is None:
        names.pop(name, None)
    else:
        names[name] = file


def _apply(content: bytearray, change: Change) -> None:
    if change.data is None:
        del content[change.offset :]
        content.extend(bytes(change.offset - len(content)))
        return
    end = change.offset + len(change.data)
    content.extend(bytes(max(0, end - len(content))))
    content[change.offset : end] = change.data
