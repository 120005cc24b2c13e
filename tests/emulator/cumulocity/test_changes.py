"""The feed, and times as the platform writes them."""

from __future__ import annotations

from emulator.cumulocity.changes import Action, Change, Feed, stamp


def test_listeners_hear_every_change_in_the_order_they_came() -> None:
    heard: list[tuple[str, str]] = []
    feed = Feed()
    feed.listen(lambda change: heard.append(("first", change.source)))
    feed.listen(lambda change: heard.append(("second", change.source)))
    feed.emit(Change("t1", "events", Action.CREATE, "7", {}))
    assert heard == [("first", "7"), ("second", "7")]


def test_times_have_milliseconds_and_a_z() -> None:
    assert stamp(1_767_225_601.12) == "2026-01-01T00:00:01.120Z"
