"""Dead notifications by reason, and bringing them back."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from subscriber.model import State
from subscriber.store import RowFilter
from tests.web.console.world import ACME, OTHER, OURS, World


@pytest.fixture
def dead(world: World) -> World:
    """Three of one tenant refused, one unrouted, a minute apart; one unrouted of another tenant."""
    for number in range(3):
        world.clock.advance(minutes=1)
        world.die(f"r{number}")
    world.clock.advance(minutes=1)
    world.die("u", "unrouted")
    world.die("theirs", "unrouted", OTHER)
    return world


def buttons(text: str) -> list[str]:
    return [re.sub(r"<[^>]*>", "", found).strip() for found in re.findall(r"<button>(.*?)</button>", text, re.DOTALL)]


def pending(world: World) -> int:
    return len(world.store.reports.rows(RowFilter(state=State.PENDING), 100).rows)


def test_they_are_grouped_by_reason_with_their_count_before_one_presses(dead: World) -> None:
    text = dead.get("dead").text
    assert buttons(text) == [
        "Count",
        "Replay 3 with the reason refused",
        "Replay 2 with the reason unrouted",
        "Replay all these 5",
    ]
    assert 'href="./inbox?state=dead&amp;reason=refused">3</a>' in text


def test_all_of_a_reason_come_back(dead: World) -> None:
    answer = dead.post("dead/replay", reason="refused")
    assert "3 put back to be handled again." in answer.text
    assert pending(dead) == 3
    assert dead.actions()[0][1:] == ("replay_dead", "every tenant in sight, refused: 3 moved")


def test_a_time_range_is_counted_and_comes_back(dead: World) -> None:
    since, until = "2026-03-01T12:02", "2026-03-01T12:04"
    text = dead.get(f"dead?since={since}&until={until}").text
    assert "Replay all these 2" in buttons(text)
    assert f'name="since" value="{since}"' in text
    assert "2 put back" in dead.post("dead/replay", since=since, until=until).text
    assert pending(dead) == 2


def test_all_of_one_tenant_come_back(dead: World) -> None:
    assert "Replay 1 with the reason unrouted" in buttons(dead.get("dead?tenant=custbb").text)
    dead.post("dead/replay", tenant="mindsphere/custbb")
    (row,) = dead.store.reports.rows(RowFilter(state=State.PENDING), 100).rows
    assert row.notification.tenant == OTHER


def test_a_tenants_people_bring_back_their_own_only(dead: World) -> None:
    assert "Replay all these 4" in buttons(dead.get("dead", tenant=ACME.name).text)
    assert "4 put back" in dead.post("dead/replay", ACME.name).text
    assert pending(dead) == 4


def test_what_was_counted_is_checked_again_when_one_presses(dead: World) -> None:
    dead.post("dead/replay", reason="refused")
    assert "0 put back" in dead.post("dead/replay", reason="refused").text


def test_more_than_is_counted_is_said_to_be_more(dead: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subscriber.store.paging.GROUPED_ROWS", 2)
    text = dead.get("dead").text
    assert "each number is a least" in text and "at least" in text


def test_nothing_dead_is_said_in_words(world: World) -> None:
    text = world.get("dead").text
    assert "No notification is dead." in text and "There are no dead letters." in text
    assert buttons(text) == ["Count"]


def test_letters_are_grouped_too(furnished: World) -> None:
    text = furnished.get("dead").text
    assert 'href="./letters?reason=malformed">3</a>' in text


@pytest.mark.parametrize(
    "headers", [{}, {**OURS, "Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}]
)
def test_another_sites_order_is_refused_and_leaves_no_trace(dead: World, headers: dict[str, str]) -> None:
    assert dead.post("dead/replay", headers=headers).status_code == 403
    assert pending(dead) == 0 and dead.actions() == []


def test_without_the_scope_nothing_happens(dead: World) -> None:
    headers = {**OURS, "Authorization": f"Bearer {dead.token(scope=['alarmapi.read'])}"}
    answer = dead.client.post("/console/dead/replay", headers=headers, data={"reason": "x"})
    assert (answer.status_code, "alarmapi.operate" in answer.text) == (403, True)
    del headers["Authorization"]
    answer = dead.client.post("/console/dead/replay", headers=headers, data={"reason": "x"})
    assert (answer.status_code, pending(dead)) == (401, 0)


def test_what_died_later_than_wanted_stays(dead: World) -> None:
    until = (dead.clock() - timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%S")
    assert "0 put back" in dead.post("dead/replay", until=until).text
