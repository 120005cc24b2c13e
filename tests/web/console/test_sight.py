"""What one operator may see: everything or their own tenants, and nothing of others in any way."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from subscriber.access import Operator
from subscriber.errors import Forbidden, NotFound
from subscriber.model import Tenant
from subscriber.store import Gap, Pause
from subscriber.web.console.sight import Sight
from tests.store.making import START
from tests.web.console.world import ACME, DEVICES, OTHER, World

PAGES = (
    "",
    "?period=7d",
    "inbox",
    "dead",
    "letters",
    "subscriptions",
    "tenants",
    "channels",
    "pauses",
    "live",
    "health",
)


def sight(world: World, *tenants: Tenant) -> Sight:
    operator = Operator(name="ann", tenants=tenants or None, expires_at=START)
    return Sight(operator, world.store)


def test_the_hosts_operators_see_every_tenant(furnished: World) -> None:
    everybody = sight(furnished)
    assert everybody.everybody
    assert {ACME, OTHER, DEVICES} <= {row.tenant for row in everybody.tenants()}
    assert everybody.scope(None) == [None]
    assert everybody.require(OTHER) == OTHER


def test_others_see_their_own(furnished: World) -> None:
    own = sight(furnished, ACME, DEVICES)
    assert [row.tenant for row in own.tenants()] == [DEVICES, ACME]
    assert {row.tenant for row in own.channels()} == {DEVICES}
    assert {row.tenant for row in own.astray(10)} == {ACME}
    assert [row.tenant for row in own.subscriptions([ACME, OTHER])] == [ACME, ACME]
    assert list(own.scope(None)) == [ACME, DEVICES]
    assert sight(furnished, OTHER).channels() == []


def test_unknown_and_foreign_tenants_are_not_told_apart(furnished: World) -> None:
    own = sight(furnished, ACME)
    for tenant in (OTHER, Tenant("mindsphere", "unknown")):
        with pytest.raises(NotFound, match=f"there is no tenant {tenant} here"):
            own.require(tenant)
    assert own.require(ACME) == ACME


def test_gaps_are_those_of_ones_tenants_and_of_their_platforms_as_a_whole(world: World) -> None:
    for tenant, platform in ((None, "mindsphere"), (None, "pelion"), (OTHER, "mindsphere"), (ACME, "mindsphere")):
        world.store.registry.add_gap(
            Gap(
                tenant=tenant,
                platform=platform,
                channel="",
                lost_from=START,
                lost_until=START + timedelta(days=1),
                reason="away",
                noticed_at=START,
            )
        )
    assert [(gap.tenant, gap.platform) for gap in sight(world, ACME).gaps()] == [
        (ACME, "mindsphere"),
        (None, "mindsphere"),
    ]
    assert len(sight(world).gaps()) == 4


def test_pauses_of_other_tenants_are_not_seen_those_of_everybody_are(world: World) -> None:
    for kind, name in (("tenant", str(ACME)), ("tenant", str(OTHER)), ("topic", "t")):
        world.store.registry.pause(kind, name)
    assert [(one.kind, one.name) for one in sight(world, ACME).pauses()] == [("tenant", str(ACME)), ("topic", "t")]
    assert sight(world).pauses()[0] == Pause(kind="tenant", name=str(ACME), since=START)


def test_what_concerns_every_tenant_is_for_the_host(world: World) -> None:
    sight(world).require_everybody()
    with pytest.raises(Forbidden) as refused:
        sight(world, ACME).require_everybody()
    assert refused.value.reason == "host_only"


def test_a_tenant_in_sight_that_nothing_has_come_for_is_active(world: World) -> None:
    assert sight(world, ACME).state_of(ACME) == "active"


def test_an_action_is_audited_under_its_actor(world: World) -> None:
    sight(world, ACME).note("pause", "topic t")
    assert world.actions() == [("ann", "pause", "topic t")]


def test_no_page_shows_a_tenants_people_anything_of_another(furnished: World) -> None:
    for path in PAGES:
        answer = furnished.get(path, tenant=ACME.name)
        assert answer.status_code == 200, path
        assert OTHER.name not in answer.text and "custcc" not in answer.text, path


def test_what_another_tenant_does_changes_no_page(furnished: World) -> None:
    """Numbers and places included: only the time at the foot may differ, which stands still here."""

    def pages() -> list[str]:
        return [furnished.get(path, tenant=OTHER.name).text for path in PAGES if path != "live"]

    before = pages()
    furnished.die("more", "another reason", ACME)
    furnished.store.inbox.add([], [])
    furnished.store.registry.pause("tenant", str(ACME))
    assert pages() == before


def test_rows_and_letters_of_others_are_not_found(furnished: World) -> None:
    row = re.search(r'href="\./(inbox/mindsphere/custbb/[0-9a-f]+)"', furnished.get("inbox").text)
    letter = re.search(r'href="\./(letters/mindsphere/custbb/[^"]+)"', furnished.get("letters").text)
    assert row and letter
    for path in (row[1], letter[1], "tenants/mindsphere/custbb", "inbox?tenant=custbb", "dead?tenant=custbb"):
        assert furnished.get(path).status_code == 200, path
        foreign = furnished.get(path, tenant=ACME.name)
        unknown = furnished.get(path.replace("custbb", "nobody"), tenant=ACME.name)
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.text.replace("custbb", "nobody") == unknown.text
