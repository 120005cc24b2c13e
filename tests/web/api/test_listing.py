"""Pages of notifications: filters, both orders, bounds, and going on."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from subscriber.web.api import listing
from tests.web.api.world import ACME, ALIAS, OTHER, World, address


def keys(page: Any) -> list[str]:
    return [item["source"] for item in page["items"]]


def fill(world: World, count: int, **parts: Any) -> list[str]:
    """That many notifications, in order of arrival; their sources."""
    sources = [f"s{number}" for number in range(count)]
    for number, source in enumerate(sources):
        world.arrive(f"n-{number}", **{"source": source, **parts})
    return sources


def walked(world: World, query: str) -> list[str]:
    """All sources, page by page."""
    found, page = [], world.listed(query)
    while True:
        found += keys(page)
        if page["next"] is None:
            return found
        page = world.listed(f"{query}&cursor={page['next']}")


def test_a_page_shows_the_newest_first_and_says_how_far_back_it_looked(world: World) -> None:
    sources = fill(world, 3)
    page = world.listed()
    assert keys(page) == sources[::-1] and page["next"] is None
    assert page["searched_to"] == page["items"][-1]["received_at"]


def test_an_item_is_what_the_contract_says_with_the_payload_as_it_came(world: World) -> None:
    world.arrive("one", body=b'{"asset": {"id": "a",\n "deep": [1, 2.50]}}', source="a", action="UPDATE")
    (item,) = world.listed()["items"]
    assert item["payload"] == {"asset": {"id": "a", "deep": [1, 2.5]}}
    assert (item["platform"], item["tenant"], item["source"], item["action"]) == (*ACME, "a", "UPDATE")
    assert (item["state"], item["attempts"], item["repeat"], item["settled_at"]) == ("pending", 0, 0, None)
    assert item["id"] == f"mindsphere.custaa.{item['key']}"
    assert b'"deep": [1, 2.50]' in world.get("/api/notifications").data


@pytest.mark.parametrize("order", ["newest", "arrival"])
@pytest.mark.parametrize("limit", [1, 4, 12, 200])
def test_pages_show_everything_once(world: World, order: str, limit: int) -> None:
    sources = fill(world, 25)
    found = walked(world, f"?order={order}&limit={limit}")
    assert found == (sources if order == "arrival" else sources[::-1])


def test_what_arrives_after_the_first_page_lies_behind_its_place_to_resume(world: World) -> None:
    fill(world, 3)
    first = world.listed("?limit=1")
    world.arrive("late", source="late")
    assert keys(world.listed(f"?order=arrival&cursor={first['resume']}")) == ["late"]
    assert world.listed(f"?limit=1&cursor={first['next']}")["resume"] is None


def test_in_order_of_arrival_one_comes_back_later_for_more(world: World) -> None:
    fill(world, 2)
    page = world.listed("?order=arrival")
    assert page["next"] is None
    again = world.listed(f"?order=arrival&cursor={page['resume']}")
    assert (again["items"], again["next"]) == ([], None)
    world.arrive("late", source="late")
    assert keys(world.listed(f"?order=arrival&cursor={again['resume']}")) == ["late"]


def test_filters_are_exact(world: World) -> None:
    world.arrive("one", topic="t.a", source="x")
    world.arrive("two", topic="t.b", source="y")
    world.arrive("three", ALIAS, topic="alarms", source="z")
    assert keys(world.listed("?topic=t.a")) == ["x"]
    assert keys(world.listed("?source=y")) == ["y"]
    assert keys(world.listed("?platform=cumulocity")) == ["z"]
    assert keys(world.listed("?platform=pelion")) == []
    assert keys(world.listed("?state=done")) == []
    assert len(keys(world.listed("?state=pending"))) == 3


def test_times_are_bounds_of_reception(world: World) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for minute in range(3):
        world.arrive(f"n{minute}", source=f"s{minute}", received_at=noon + timedelta(minutes=minute))
    since, until = "2026-03-01T12:01:00Z", quote("2026-03-01T13:02:00+01:00")
    assert keys(world.listed(f"?since={since}")) == ["s2", "s1"]
    assert keys(world.listed(f"?since={since}&until={until}")) == ["s1"]
    assert keys(world.listed("?until=2026-03-01T13:02:00+01:00")) == ["s1", "s0"]  # the plus came as a blank


def test_a_page_of_large_payloads_is_short_and_has_a_next_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE_BYTES", 100)
    sources = fill(world, 25, body=b'"' + b"x" * 50 + b'"')
    page = world.listed("?limit=200")
    assert keys(page) == sources[::-1][: listing.FIRST_ROWS] and page["next"]
    assert walked(world, "?order=arrival&limit=200") == sources


def test_payloads_nested_as_deep_as_codecs_take_them_are_shown(world: World) -> None:
    world.arrive("deep", body=b"[" * 250 + b"]" * 250)
    assert world.get("/api/notifications").status_code == 200
    assert world.get(address("deep")).status_code == 200


def test_one_notification_has_its_exact_bytes(world: World) -> None:
    body = b'{ "asset" :\t{"id":"a"} }'
    world.arrive("one", body=body)
    answer = world.get(address("one"))
    assert base64.b64decode(answer.json["body"]) == body and answer.json["payload"] == {"asset": {"id": "a"}}


def test_what_a_tenant_elsewhere_gets_is_read_through_its_alias_alone(world: World) -> None:
    world.arrive("hot", ALIAS)
    assert len(world.listed()["items"]) == 1
    assert world.get(address("hot", ALIAS)).status_code == 200
    other = world.token(OTHER.name)
    assert world.listed("", other)["items"] == []
    assert world.get(address("hot", ALIAS), other).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "?topics=a",
        "?topic=",
        "?topic=a&topic=b",
        "?topic=a%00",
        f"?source={'x' * 256}",
        "?platform=Mindsphere",
        "?state=gone",
        "?since=yesterday",
        "?since=2026-02-30T00:00:00Z",
        "?until=2026-01-01",
        "?limit=0",
        "?limit=201",
        "?limit=%C2%B2",
        "?order=oldest",
        "?cursor=a.b",
    ],
)
def test_a_question_that_cannot_be_understood_is_refused_by_name_and_without_its_value(
    world: World, query: str
) -> None:
    answer = world.get(f"/api/notifications{query}")
    assert (answer.status_code, answer.json["error"]["reason"]) == (400, "parameter")


@pytest.mark.parametrize("order", ["newest", "arrival"])
def test_a_cursor_that_was_not_given_is_refused(world: World, order: str) -> None:
    fill(world, 2)
    other_order = {"newest": "arrival", "arrival": "newest"}[order]
    elsewhere = world.listed(f"?order={other_order}&limit=1")["next"]
    foreign = world.listed(f"?order={order}", world.token(OTHER.name))["resume"]
    for cursor in ("A" * 75, "0", elsewhere, foreign):
        answer = world.get(f"/api/notifications?order={order}&cursor={cursor}")
        assert (answer.status_code, answer.json["error"]["reason"]) == (400, "cursor")
