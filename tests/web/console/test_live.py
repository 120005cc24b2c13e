"""What arrives, as it arrives."""

from __future__ import annotations

import re
from urllib.parse import quote

import orjson
import pytest

from subscriber.web.console.live import ROWS, event
from tests.store.making import key, notification, several
from tests.web.console.world import ACME, OTHER, World


def source(world: World, query: str = "", tenant: str = "acmeop") -> str:
    text = world.get(f"live{query}", tenant=tenant).text
    return re.findall(r'data-source="\./([^"]*)"', text)[0].replace("&amp;", "&")


def told(text: str) -> tuple[list[dict[str, str]], str]:
    """Rows and the place of an answer's last event."""
    return orjson.loads(re.findall(r"^data: (.*)$", text, re.MULTILINE)[-1]), re.findall(r"^id: (.*)$", text, re.M)[
        -1
    ]


def test_it_goes_on_behind_what_the_page_shows_and_each_time_behind_the_last(world: World) -> None:
    world.store.inbox.add([notification("before")])
    address = source(world)
    assert told(world.get(address).text)[0] == []
    world.store.inbox.add([notification("a"), notification("b")])
    rows, place = told(world.get(address).text)
    assert [row["page"].rsplit("/", 1)[1] for row in rows] == [key("a").hex(), key("b").hex()]
    assert told(world.get(address, **{"Last-Event-ID": place}).text)[0] == []
    world.store.inbox.add([notification("c")])
    assert len(told(world.get(address, **{"Last-Event-ID": place}).text)[0]) == 1


def test_an_answer_ends_at_once_and_says_when_to_come_again(world: World) -> None:
    answer = world.get(source(world))
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.text.startswith("retry: 1000\n\n") and answer.text.endswith("\n\n")


def test_a_long_way_behind_is_caught_up_in_steps(world: World) -> None:
    address = source(world)
    world.store.inbox.add(several(ROWS + 3))
    rows, place = told(world.get(address).text)
    assert len(rows) == ROWS
    assert len(told(world.get(address, **{"Last-Event-ID": place}).text)[0]) == 3


def test_filters_hold_for_what_arrives(world: World) -> None:
    address = source(world, f"?topic={quote('t 2')}")
    world.store.inbox.add([notification("a"), notification("b", topic="t 2")])
    assert [row["topic"] for row in told(world.get(address).text)[0]] == ["t 2"]


def test_a_tenants_people_are_told_of_their_own(world: World) -> None:
    address = source(world, tenant=ACME.name)
    world.store.inbox.add([notification("a", tenant=OTHER), notification("b", tenant=ACME)])
    assert [row["tenant"] for row in told(world.get(address, tenant=ACME.name).text)[0]] == [str(ACME)]
    assert world.get(address, tenant=OTHER.name).status_code == 400


@pytest.mark.parametrize("place", ["7", "x" * 75])
def test_a_place_that_was_not_given_is_refused(world: World, place: str) -> None:
    assert world.get("live/events", **{"Last-Event-ID": place}).status_code == 400


def test_no_payload_is_told(world: World) -> None:
    address = source(world)
    world.store.inbox.add([notification("a", body=b'{"hidden":1}')])
    assert "hidden" not in world.get(address).text


def test_text_of_strangers_cannot_end_an_event() -> None:
    text = event([{"topic": "a\n\nevent: x\rdata: 1"}], "place")
    assert text.count("\n\n") == 1 and text.count("\ndata:") == 1 and "\r" not in text


def test_without_a_script_the_page_loads_itself_anew(world: World) -> None:
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in world.get("live").text
