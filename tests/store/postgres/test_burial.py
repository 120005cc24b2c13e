"""Dead letters of one transaction."""

from __future__ import annotations

from subscriber.model import to_millis
from subscriber.store.postgres.burial import Burial
from subscriber.store.postgres.counters import NOBODY
from subscriber.store.postgres.database import Database
from tests.store.making import START, letter
from tests.store.postgres.asking import ask


def test_letters_are_numbered_as_they_came_and_equal_ones_are_counted(database: Database, url: str) -> None:
    burial = Burial()
    for name in ("z", "a", "z", "m"):
        burial.add(1, letter(name))
    with database.service() as connection:
        burial.carry_out(connection)
    found = ask(url, "SELECT digest, count, last_at FROM dead_letters ORDER BY id")
    assert found == [(letter(name).digest, 2 if name == "z" else 1, to_millis(START)) for name in ("z", "a", "m")]


def test_nothing_is_kept_of_nobody(database: Database, url: str) -> None:
    burial = Burial()
    burial.add(NOBODY, letter())
    with database.service() as connection:
        burial.carry_out(connection)
    assert ask(url, "SELECT * FROM dead_letters") == []
