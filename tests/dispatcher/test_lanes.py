"""Who comes first, and who not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.dispatcher.lanes import Rotation, is_paused, lane_of, pauses_of
from subscriber.model import Lane, Tenant
from subscriber.store import Pause
from tests.dispatcher.stories import notification

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def lane(tenant: str, topic: str = "t") -> Lane:
    return Lane(Tenant("mindsphere", tenant), topic)


def turn(rotation: Rotation, lanes: list[Lane], room: int, barren: Container[Lane] = ()) -> list[Lane]:
    """One turn over lanes that have many rows, or yield none: whose rows are leased."""
    ordered = rotation.order(lanes)
    yielding = [entry for entry in ordered if entry not in barren]
    leased = [yielding[row % len(yielding)] for row in range(room)] if yielding else []
    rotation.served(ordered, leased, room)
    return leased


def test_each_tenant_has_a_lane_served_before_any_has_a_second() -> None:
    lanes = [lane("noisy", topic) for topic in "abc"] + [lane("quiet")]
    assert {entry.tenant.name for entry in Rotation().order(lanes)[:2]} == {"noisy", "quiet"}


def test_the_next_turn_begins_behind_the_tenant_served_last() -> None:
    rotation, lanes = Rotation(), [lane(name) for name in ("ta", "tb", "tc")]
    assert [entry.tenant.name for entry in turn(rotation, lanes, 2)] == ["ta", "tb"]
    assert [entry.tenant.name for entry in turn(rotation, lanes, 2)] == ["tc", "ta"]


def test_a_quiet_tenant_waits_at_most_one_turn_of_the_active_tenants() -> None:
    rotation, noisy = Rotation(), [lane(f"n{number:02}") for number in range(20)]
    for _ in range(7):
        turn(rotation, noisy, 4)
    everybody, quiet = [*noisy, lane("n07quiet")], "n07quiet"
    served = [entry.tenant.name for _ in range(6) for entry in turn(rotation, everybody, 4)]
    assert quiet in served, "21 tenants, 4 rows a turn: 6 turns go round"


def test_the_lanes_of_one_tenant_take_turns_as_well() -> None:
    rotation, lanes = Rotation(), [lane("ta", topic) for topic in "abcde"]
    served = Counter(entry.topic for _ in range(5) for entry in turn(rotation, lanes, 2))
    assert set(served.values()) == {2}


@given(tenants=st.integers(1, 6), topics=st.integers(1, 4), rows=st.integers(1, 8), noisy=st.integers(0, 5))
def test_nobody_starves(tenants: int, topics: int, rows: int, noisy: int) -> None:
    rotation = Rotation()
    lanes = [lane(f"t{number}", f"topic{topic}") for number in range(tenants) for topic in range(topics)]
    lanes += [lane("noisy", f"topic{topic}") for topic in range(noisy)]
    turns = 2 * len({entry.tenant for entry in lanes}) * max(topics, noisy)
    served = {entry for _ in range(turns) for entry in turn(rotation, lanes, rows)}
    assert served == set(lanes)


def test_tenants_that_went_away_are_forgotten() -> None:
    rotation = Rotation()
    for number in range(1000):
        turn(rotation, [lane(f"t{number}")], 1)
    assert len(rotation._last_lane) == 1


def test_a_turn_that_leased_nothing_changes_nothing() -> None:
    rotation, lanes = Rotation(), [lane("ta"), lane("tb")]
    before = rotation.order(lanes)
    rotation.served(before, [], 4)
    assert rotation.order(lanes) == before


def test_lanes_that_yield_nothing_cost_the_others_no_place() -> None:
    rotation, silent = Rotation(), [lane(f"s{number}") for number in range(5)]
    lanes = [*silent, lane("ta"), lane("tb"), lane("tz")]
    served = [entry.tenant.name for _ in range(3) for entry in turn(rotation, lanes, 2, silent)]
    assert Counter(served) == {"ta": 2, "tb": 2, "tz": 2}


def test_a_tenant_whose_lane_yielded_nothing_is_first_with_its_next_lane() -> None:
    rotation = Rotation()
    barren = [lane("ta", "1"), lane("ta", "2")]
    lanes = [*barren, lane("ta", "3"), *(lane(f"tb{number}") for number in range(9))]
    served = [turn(rotation, lanes, 1, barren)[0] for _ in range(4)]
    assert served.index(lane("ta", "3")) == 2, "two turns for two lanes in vain, though nine others wait"
    assert [entry.tenant.name for entry in served] == ["tb0", "tb1", "ta", "tb2"], "the others lost no place by it"


@given(
    tenants=st.integers(1, 5), topics=st.integers(1, 4), room=st.integers(1, 8), barren=st.sets(st.integers(0, 19))
)
def test_nobody_starves_beside_lanes_that_yield_nothing(
    tenants: int, topics: int, room: int, barren: set[int]
) -> None:
    rotation = Rotation()
    lanes = [lane(f"t{number}", f"topic{topic}") for number in range(tenants) for topic in range(topics)]
    silent = {entry for position, entry in enumerate(lanes) if position in barren}
    turns = 4 * tenants * topics
    served = {entry for _ in range(turns) for entry in turn(rotation, lanes, room, silent)}
    assert served == set(lanes) - silent


def test_a_notification_is_in_the_lane_of_its_tenant_and_topic() -> None:
    assert lane_of(notification("custaa", "t")) == lane("custaa", "t")


@pytest.mark.parametrize(
    ("kind", "name", "paused"),
    [
        ("tenant", "mindsphere/custaa", True),
        ("tenant", "mindsphere/custbb", False),
        ("tenant", "pelion/custaa", False),
        ("platform", "mindsphere", True),
        ("platform", "pelion", False),
        ("topic", "t", True),
        ("topic", "t2", False),
    ],
)
def test_a_lane_is_paused_by_its_tenant_its_platform_or_its_topic(kind: str, name: str, paused: bool) -> None:
    pauses = pauses_of([Pause(kind=kind, name=name, since=NOW)])
    assert is_paused(lane("custaa"), pauses) is paused
