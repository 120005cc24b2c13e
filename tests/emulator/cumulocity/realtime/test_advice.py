"""Row 86 as a value."""

from __future__ import annotations

from emulator.cumulocity.realtime.advice import UNKNOWN_CLIENT, Advice

BASE = Advice(5_400_000, 0, "retry")


def test_what_is_missing_comes_from_what_it_is_laid_over() -> None:
    assert Advice(interval=10).over(BASE) == Advice(5_400_000, 10, "retry")
    assert Advice(reconnect="none").over(BASE) == Advice(5_400_000, 0, "none")


def test_only_changes_are_news() -> None:
    assert BASE.news_to(None) == BASE
    assert BASE.news_to(BASE) is None
    assert Advice(10_000, 0, "retry").news_to(BASE) == Advice(10_000, None, "retry")


def test_it_is_columns_or_a_document() -> None:
    assert Advice(None, 10_000, "retry").values() == ("", "10000", "retry")
    assert UNKNOWN_CLIENT.document() == {"reconnect": "handshake", "interval": 0}
