"""Numbers of the store as pages show them."""

from __future__ import annotations

import pytest

from subscriber.access import Operator
from subscriber.errors import InvalidCursor
from subscriber.model import Tenant
from subscriber.web.console.places import INBOX, LETTERS, Places
from subscriber.web.console.sight import Sight
from tests.store.making import START
from tests.web.console.world import ACME, OTHER, World


def sight(world: World, *tenants: Tenant) -> Sight:
    return Sight(Operator(name="ann", tenants=tenants or None, expires_at=START), world.store)


def test_a_place_is_found_again_and_tells_nothing(world: World) -> None:
    places = Places("secret")
    shown = places.shown(41, INBOX, sight(world, ACME))
    assert places.number(shown, INBOX, sight(world, ACME)) == 41
    assert "41" not in shown and len(shown) == len(places.shown(9_000_000, INBOX, sight(world, ACME)))
    assert places.number(None, INBOX, sight(world)) is None
    assert places.cursor(places.shown("12-3", INBOX, sight(world)), INBOX, sight(world)) == "12-3"


def test_a_place_holds_for_its_list_and_for_whoever_sees_the_same(world: World) -> None:
    places = Places("secret")
    shown = places.shown(41, INBOX, sight(world, ACME))
    for of, who in ((LETTERS, sight(world, ACME)), (INBOX, sight(world, OTHER)), (INBOX, sight(world))):
        with pytest.raises(InvalidCursor):
            places.number(shown, of, who)
    with pytest.raises(InvalidCursor):
        Places("another").number(shown, INBOX, sight(world, ACME))


def test_a_cursor_is_no_number(world: World) -> None:
    places = Places("secret")
    with pytest.raises(InvalidCursor):
        places.number(places.shown("12-3", INBOX, sight(world)), INBOX, sight(world))
