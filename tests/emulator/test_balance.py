"""The books: each thing that can go wrong shows in its own number."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.balance import balance


def item(body: str = "a", **changes: Any) -> dict[str, Any]:
    return {
        "tenant": "custaa",
        "body_sha256": body,
        "state": "acknowledged",
        "acknowledged": 1,
        "attempts": 1,
    } | changes


def row(body: str = "a", id: str = "1") -> dict[str, Any]:
    return {"tenant": "mindsphere/custaa", "body_sha256": body, "id": id}


def test_everything_once_is_even() -> None:
    books = balance([item("a"), item("b", attempts=3)], [row("a", "1"), row("b", "2")], ["1", "2"])
    assert books.even
    assert (books.published, books.attempts, books.acknowledged, books.accepted, books.handled) == (2, 4, 2, 2, 2)


def test_equal_bodies_published_twice_are_two_messages() -> None:
    assert balance([item("a"), item("a")], [row("a", "1"), row("a", "2")], ["1", "2"]).even


@pytest.mark.parametrize(
    ("name", "items", "rows", "effects"),
    [
        ("lost", [item("a"), item("b")], [row("a", "1")], ["1"]),
        ("lost", [item("a"), item("a")], [row("a", "1")], ["1"]),
        ("unacknowledged", [item("a", state="pending", acknowledged=0)], [], []),
        ("invented", [item("a")], [row("a", "1"), row("z", "2")], ["1", "2"]),
        ("invented", [item("a", tenant="custbb"), item("a")], [row("a", "1"), row("b", "2")], ["1", "2"]),
        ("admitted_twice", [item("a")], [row("a", "1"), row("a", "2")], ["1", "2"]),
        ("handled_twice", [item("a")], [row("a", "1")], ["1", "1"]),
        ("unhandled", [item("a")], [row("a", "1")], []),
    ],
)
def test_each_fault_has_its_number(
    name: str, items: list[dict[str, Any]], rows: list[dict[str, Any]], effects: list[str]
) -> None:
    books = balance(items, rows, effects)
    assert books.as_json()[name] == 1 and not books.even


def test_the_same_body_of_another_tenant_is_no_substitute() -> None:
    assert balance([item("a", tenant="custbb")], [row("a", "1")], ["1"]).lost == 1


def test_each_source_is_read_once_as_a_stream() -> None:
    assert balance(iter([item("a")]), iter([row("a", "1")]), iter(["1"])).even


def test_a_row_may_tell_of_its_effect_itself() -> None:
    books = balance([item("a"), item("b")], [row("a") | {"handled": True}, row("b", "2") | {"handled": False}], [])
    assert (books.handled, books.unhandled) == (1, 1)
