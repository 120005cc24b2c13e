"""Tenants and what is theirs."""

from __future__ import annotations

import pytest

from subscriber.model import Tenant
from subscriber.web.console.tenants import ROWS
from tests.web.console.world import World


def test_every_tenant_is_listed_with_its_state(furnished: World) -> None:
    text = furnished.get("tenants").text
    assert "4 tenants." in text
    for shown in ("cumulocity/t123", "mindsphere/custaa", "state leaving"):
        assert shown in text


def test_the_list_goes_on_and_is_searched_by_how_a_name_begins(world: World) -> None:
    for number in range(ROWS + 5):
        world.store.registry.put_tenant(Tenant("mindsphere", f"c{number:04}"), "active")
    first = world.get("tenants").text
    assert "c0099" in first and "c0100" not in first
    more = first.split('<a class="button" href="./')[1].split('"')[0].replace("&amp;", "&")
    assert "c0104" in world.get(more).text and "c0099" not in world.get(more).text
    assert "10 tenants whose name begins so." in world.get("tenants?begins=c009").text


@pytest.mark.parametrize("address", ["tenants/mindsphere/custaa", "tenants/mindsphere/custaa?period=24h"])
def test_one_shows_its_counts_charts_subscriptions(furnished: World, address: str) -> None:
    text = furnished.get(address).text
    counts = furnished.store.reports.counts(Tenant("mindsphere", "custaa"))
    assert f'inbox?state=done&amp;tenant=mindsphere/custaa">{counts.done}</a>' in text
    assert text.count('role="img"') == 5 and "state failed" in text
    assert "custbb" not in text


def test_what_is_paused_can_be_resumed_and_the_reverse(furnished: World) -> None:
    assert "Pause handling" in furnished.get("tenants/mindsphere/custaa").text
    furnished.store.registry.pause("tenant", "mindsphere/custaa")
    assert "Resume handling" in furnished.get("tenants/mindsphere/custaa").text


def test_an_unknown_tenant_is_not_found(world: World) -> None:
    assert world.get("tenants/mindsphere/nobody").status_code == 404
