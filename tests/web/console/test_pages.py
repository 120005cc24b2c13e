"""How a page is made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from subscriber.errors import Forbidden, InvalidToken, NotFound, StoreBusy
from subscriber.model import Tenant
from subscriber.web.console.pages import HEADERS, advice, dots, duration, link, moment, number, root, tenant_path
from tests.web.console.world import World


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/console/", "./"),
        ("/console/inbox", "./"),
        ("/console/pauses/pause", "../"),
        ("/api/acme-alarmapi/v1/console/inbox/mindsphere/custaa/00", "../../../"),
    ],
)
def test_links_find_the_consoles_address_whatever_stands_before_it(path: str, expected: str) -> None:
    assert root(path) == expected


def test_times_are_told_in_full_and_in_utc() -> None:
    at = datetime(2026, 3, 1, 13, 0, 7, 900_000, tzinfo=timezone(timedelta(hours=1)))
    assert moment(at) == '<time datetime="2026-03-01T12:00:07Z">2026-03-01 12:00:07 UTC</time>'


@pytest.mark.parametrize(("count", "told"), [(0, "0"), (7, "7"), (1234567, "1,234,567"), (0.25, "0.2"), (12.6, "13")])
def test_counts_are_told_as_people_read_them(count: float, told: str) -> None:
    assert number(count) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (-5, "0 s"), (59.9, "59 s"), (725, "12 min 5 s"), (3600, "1 h 0 min"), (90_061, "1 d 1 h")],
)
def test_durations_are_told_in_their_two_largest_units(seconds: float, told: str) -> None:
    assert duration(timedelta(seconds=seconds)) == told


def test_an_address_carries_only_what_has_a_value() -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert link("inbox") == link("inbox", state=None, topic="") == "inbox"
    assert link("inbox", tenant=Tenant("cumulocity", "t 1"), since=at) == (
        "inbox?tenant=cumulocity%2Ft+1&since=2026-03-01T12%3A00%3A00Z"
    )


def test_a_tenant_is_two_segments_of_an_address() -> None:
    assert tenant_path(Tenant("pelion", "a b?#")) == "pelion/a%20b%3F%23"


def test_a_long_name_breaks_after_its_dots_and_nothing_in_it_is_markup() -> None:
    assert dots("a.<b>") == "a.<wbr>&lt;b&gt;"


@pytest.mark.parametrize(
    ("error", "word"),
    [(InvalidToken(), "gateway"), (Forbidden(), "Roles"), (StoreBusy(), "5 sec"), (NotFound(), "")],
)
def test_whoever_is_not_let_in_is_told_what_to_do(error: Exception, word: str) -> None:
    assert word in advice(error) and bool(word) == bool(advice(error))  # type: ignore[arg-type]


def test_every_answer_carries_the_strict_headers(world: World) -> None:
    for path in ("", "nowhere", "static/console.css", "live/events"):
        headers = world.get(path).headers
        assert {name: headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_pages_are_kept_by_nobody_and_their_files_are_named_by_content(world: World) -> None:
    page = world.get()
    assert page.headers["Cache-Control"] == "no-store"
    assert "static/console.css?v=" in page.text
    assert "max-age" in world.get("static/console.css").headers["Cache-Control"]


def test_no_page_holds_a_script_or_a_style_or_another_host(furnished: World) -> None:
    for path in ("", "inbox", "dead", "subscriptions", "channels", "live"):
        text = furnished.get(path).text
        assert "<style" not in text and " style=" not in text and " on" + "click=" not in text
        assert "<script>" not in text and "//" not in text.replace("http://www.w3.org", "")
