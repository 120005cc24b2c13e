"""What choosing rows costs: lookups that follow lanes and leased rows, never the backlog.

Cost is counted in pages the server looks at, the same on every machine, however busy.
"""

from __future__ import annotations

import json

import pytest

from subscriber.model import Done, Lane, Tenant, to_millis
from subscriber.store import Store
from subscriber.store.postgres import leasing, ordering
from subscriber.store.postgres.database import Database
from tests.store.making import START, TOPIC, lane, lease_all, notification, several
from tests.store.postgres.asking import ask

NOW = to_millis(START)


def pages(database: Database, sql: str, known: dict[str, object]) -> int:
    """How many pages a statement looks at; what it changes is undone."""
    with database.lookups() as connection, connection.transaction(force_rollback=True):
        ((plans,),) = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", known).fetchall()
    (plan,) = plans if isinstance(plans, list) else json.loads(plans)
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


def taking(lanes: list[Lane], limit: int) -> dict[str, object]:
    known = {"now": NOW, "millis": 30_000, "horizon": "9000000", "depth": limit, "limit": limit}
    return {**ordering.asked(lanes, {}), **known}


@pytest.mark.parametrize("what", ["lanes", "lease"])
def test_the_backlog_costs_nothing(database: Database, store: Store, url: str, what: str) -> None:
    def cost() -> int:
        ask(url, "ANALYZE inbox")
        if what == "lanes":
            return pages(database, leasing.LANES, {"now": NOW})
        return pages(database, leasing.TAKE_DUE, taking([lane()], 4))

    store.inbox.add(several(200))
    few = cost()
    store.inbox.add(several(8000, prefix="more"))
    assert cost() <= few + 60  # the trees of a dozen indexes have grown a level


def test_looking_ends_when_enough_lanes_had_work(database: Database, store: Store) -> None:
    topics = [f"t{number}" for number in range(400)]
    store.inbox.add([notification(topic, topic=topic) for topic in topics])
    lanes = [lane(topic=topic) for topic in topics]
    few, many = (pages(database, leasing.TAKE_DUE, {**taking(lanes[:n], 4), "depth": 1}) for n in (4, 400))
    assert many <= few + 410  # the tenant's row is looked up for each lane


def test_every_lane_is_found_once(store: Store) -> None:
    tenants = [Tenant("mindsphere", name) for name in ("a", "b", "ü")]
    wanted = [Lane(tenant, topic) for tenant in tenants for topic in ("", "t", "T", TOPIC)]
    store.inbox.add([notification(str(each), tenant=each.tenant, topic=each.topic) for each in wanted * 3])
    assert sorted(store.inbox.lanes()) == sorted(wanted)


def test_a_plan_made_for_an_empty_table_does_not_read_through_a_full_one(store: Store, database: Database) -> None:
    for _ in range(12):  # by then the statements are prepared, and their plans kept
        store.inbox.add([notification()])
        lease_all(store)
    store.inbox.add(several(5000))
    with database.lookups() as connection:
        for sql, known in ((leasing.LANES, {"now": NOW}), (leasing.TAKE_DUE, taking([lane()], 4))):
            plan = connection.execute(f"EXPLAIN {sql}", known).fetchall()  # type: ignore[arg-type]
            assert not [line for (line,) in plan if "Seq Scan on inbox" in line or "Hash Join" in line]


def test_leases_that_ran_out_come_back_in_one_go_of_bounded_size(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.inbox.add(several(20))
    attempts = lease_all(store, seconds=-1)
    assert len(attempts) == 20
    assert {attempt.number for attempt in lease_all(store)} == {2}
    assert store.inbox.settle(attempts[0], Done()) is False
