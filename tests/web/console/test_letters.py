"""Dead letters one by one, and reading them again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from subscriber.model import DeadLetter, Tenant
from subscriber.web.console.letters import ROWS
from tests.store.making import START, key, letter
from tests.web.console.world import DEVICES, OTHER, World

SAMPLE = Path(__file__).parents[2] / "samples" / "mindsphere" / "asset_update.json"


def bury(world: World, body: bytes | None, *, tenant: str = "custaa", reason: str = "malformed") -> str:
    """Its address."""
    made = DeadLetter(
        tenant=Tenant("mindsphere", tenant),
        reason=reason,
        detail="not JSON",
        digest=key("x"),
        body=body,
        buried_at=START,
    )
    world.store.inbox.add([], [made])
    return addresses(world.get("letters").text)[0]


def addresses(text: str) -> list[str]:
    return re.findall(r'href="\./(letters/[^"?]+)"', text)


def test_they_are_listed_newest_first_by_tenant_and_reason(furnished: World) -> None:
    assert len(addresses(furnished.get("letters").text)) == 4
    assert len(addresses(furnished.get("letters?tenant=custbb").text)) == 1
    assert len(addresses(furnished.get("letters?reason=too_large").text)) == 1
    assert "There are none." in furnished.get("letters?reason=none").text


def test_the_list_goes_on_page_by_page(world: World) -> None:
    world.store.inbox.add([], [letter(f"l{number}") for number in range(ROWS + 2)])
    text = world.get("letters?reason=malformed").text
    older = text.split('<a class="button" href="./')[1].split('"')[0].replace("&amp;", "&")
    assert len(addresses(text)) == ROWS
    assert len(addresses(world.get(older).text)) == 2


def test_one_is_shown_with_what_was_received(world: World) -> None:
    text = world.get(bury(world, b"<not json>")).text
    assert "&lt;not json&gt;" in text and "1 times" in text and "Read it again" in text


def test_one_without_a_body_says_so_and_cannot_be_read_again(world: World) -> None:
    address = bury(world, None, reason="too_large")
    text = world.get(address).text
    assert "policy refused the delivery unread" in text and "Read it again" not in text
    assert world.post(f"{address}/replay").status_code == 409


def test_one_of_a_platform_without_single_deliveries_offers_nothing_to_press(world: World) -> None:
    world.store.inbox.add([], [letter("alarm", tenant=DEVICES)])
    (address,) = addresses(world.get("letters").text)
    text = world.get(address).text
    assert "deliveries of cumulocity cannot be read again" in text and "Read it again" not in text
    assert world.post(f"{address}/replay").status_code == 409


def test_one_that_can_be_read_now_is_accepted(world: World) -> None:
    body = SAMPLE.read_bytes()
    answer = world.post(f"{bury(world, body)}/replay")
    assert "Read again: 1 new." in answer.text
    assert world.store.reports.counts().pending == 1
    assert world.actions()[0][1] == "replay_dead_letter"


def test_one_that_is_still_not_readable_says_why(world: World) -> None:
    assert "It is still not readable" in world.post(f"{bury(world, b'{')}/replay").text
    assert world.store.reports.counts().pending == 0


@pytest.mark.parametrize("place", ["1", "x", "x" * 75])
def test_a_letter_is_found_by_its_own_place_only(furnished: World, place: str) -> None:
    assert furnished.get(f"letters/mindsphere/custaa/{place}").status_code == 404


def test_a_letter_is_not_found_under_another_tenant(world: World) -> None:
    address = bury(world, b"{", tenant=OTHER.name)
    assert world.get(address).status_code == 200
    assert world.get(address.replace("custbb", "custaa")).status_code == 404
