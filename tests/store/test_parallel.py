"""Every sentence of the contract, many times at once: each on a database of its own, all on the same machine.

What only holds while nothing else happens shows here: on PostgreSQL the databases share a server and its transaction
numbers, on SQLite the threads share an interpreter.
"""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import migrations
from subscriber.store import open_store
from tests.servers.postgres import shared
from tests.store import contract
from tests.store.making import Clock

FULL = os.environ.get("FULL") == "1"
TIMES = 20 if FULL else 2
THREADS = 8


class Case(NamedTuple):
    """One test of the contract and what it was parametrized with."""

    owner: type
    name: str
    given: dict[str, Any]

    def run(self, url: str) -> None:
        clock = Clock()
        method = getattr(self.owner(), self.name)
        with closing(open_store(url, clock=clock)) as store:
            known = {"store": store, "clock": clock, "url": url, **self.given}
            method(**{name: known[name] for name in inspect.signature(method).parameters})


def cases() -> Iterator[Case]:
    for owner in vars(contract).values():
        if inspect.isclass(owner) and owner.__name__.endswith("Contract"):
            for name, method in inspect.getmembers(owner, inspect.isfunction):
                # What changes the program for a moment would change it for all that run beside it.
                if name.startswith("test_") and "monkeypatch" not in inspect.signature(method).parameters:
                    yield from (Case(owner, name, given) for given in parameters(method))


def parameters(method: Callable[..., None]) -> list[dict[str, Any]]:
    """Every combination that the method's ``parametrize`` marks name."""
    choices = []
    for mark in getattr(method, "pytestmark", []):
        names = mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0]
        rows = [row if len(names) > 1 else (row,) for row in mark.args[1]]
        choices.append([dict(zip(names, row, strict=True)) for row in rows])
    return [{key: value for part in parts for key, value in part.items()} for parts in itertools.product(*choices)]


@contextmanager
def sqlite_database(folder: Path, number: int) -> Iterator[str]:
    url = f"sqlite:///{folder}/{number}.db"
    migrations.apply(url)
    yield url


@contextmanager
def postgres_database(folder: Path, number: int) -> Iterator[str]:
    url = shared().fresh()
    try:
        yield url
    finally:
        shared().drop(url)


@pytest.mark.parametrize("database", [sqlite_database, postgres_database])
def test_each_sentence_holds_many_times_at_once(database: Callable[..., Any], tmp_path: Path) -> None:
    def run(number: int, case: Case) -> str:
        with database(tmp_path, number) as url:
            try:
                case.run(url)
            except BaseException as error:  # whatever it is, the others go on and this one is told of
                return f"{case.owner.__name__}.{case.name}{case.given or ''}: {type(error).__name__} {error}"
        return ""

    everything = [case for _ in range(TIMES) for case in cases()]
    assert len(everything) > 100 * TIMES
    with ThreadPoolExecutor(THREADS) as threads:
        failures = [failure for failure in threads.map(run, itertools.count(), everything) if failure]
    assert failures == []
