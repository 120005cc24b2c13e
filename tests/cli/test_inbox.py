"""`inbox`: lists, shows, counts and replays what was accepted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from subscriber.model import Dead, Done, Tenant
from subscriber.store import Store
from tests.cli.conftest import CUSTAA, TOPIC, Run, notification

CUSTBB = Tenant("mindsphere", "custbb")


def settle_all(store: Store, decision: Done | Dead) -> None:
    for attempt in store.inbox.lease(store.inbox.lanes(), 100, 60):
        store.inbox.settle(attempt, decision)


def test_the_newest_come_first(run: Run, store: Store) -> None:
    store.inbox.add([notification(1)])
    store.inbox.add([notification(2)])
    listed = run("inbox", "list", "--json")
    assert (listed.code, listed.err) == (0, "")
    assert [row["source"] for row in listed.objects] == ["asset2", "asset1"]
    assert listed.objects[0]["key"] == notification(2).key.hex()
    assert listed.objects[0]["tenant"] == "mindsphere/custaa"


def test_people_see_time_tenant_state_topic_and_key_at_eighty_columns(run: Run, store: Store) -> None:
    store.inbox.add([notification(1)])
    lines = run("inbox", "list").out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    shown = "".join("".join(lines).split())
    assert TOPIC in "".join(line[-41:].strip() for line in lines) or TOPIC[:30] in shown
    assert "2026-01-05 12:00:00" in lines[1] and "custaa" in lines[1] and "pending" in lines[1]


def test_a_list_can_be_narrowed(run: Run, store: Store) -> None:
    store.inbox.add([notification(1), notification(2, tenant=CUSTBB)])
    assert len(run("inbox", "list", "--json", "--tenant", "custbb").objects) == 1
    assert len(run("inbox", "list", "--json", "--tenant", "cumulocity/custbb").objects) == 0
    assert len(run("inbox", "list", "--json", "--state", "dead").objects) == 0
    assert len(run("inbox", "list", "--json", "--topic", TOPIC, "--limit", "1").objects) == 1


def test_a_rare_one_is_found_behind_many_others(run: Run, store: Store) -> None:
    rare = replace(notification(0), topic="mdsp.core.rare.v1.pubsub.one")
    store.inbox.add([rare])
    store.inbox.add([notification(number) for number in range(1, 6_001)])
    assert [row["source"] for row in run("inbox", "list", "--json", "--topic", rare.topic).objects] == ["asset0"]


def test_an_empty_list_says_so_to_people_only(run: Run, store: Store) -> None:
    assert run("inbox", "list").out == "Nothing found.\n"
    assert run("inbox", "list", "--json").out == ""


def test_a_notification_is_shown_with_its_payload(run: Run, store: Store) -> None:
    store.inbox.add([notification(1)])
    key = notification(1).key.hex()
    shown = run("inbox", "show", key.upper(), "--tenant", "custaa", "--json").objects[0]
    assert (shown["payload"], shown["key"], shown["state"]) == ({"number": 1}, key, "pending")
    assert '"number": 1' in run("inbox", "show", key, "--tenant", "mindsphere/custaa").out


def test_another_tenants_notification_is_not_found(run: Run, store: Store) -> None:
    store.inbox.add([notification(1)])
    result = run("inbox", "show", notification(1).key.hex(), "--tenant", "custbb")
    assert result.code == 1
    assert result.err.startswith("error: mindsphere/custbb has no notification ")
    assert "`inbox list`" in result.err


@pytest.mark.parametrize(
    "arguments", [("show", "xyz", "--tenant", "custaa"), ("show", "ab"), ("list", "--limit", "0")]
)
def test_misuse_is_told_apart_from_failure(run: Run, arguments: tuple[str, ...]) -> None:
    result = run("inbox", *arguments)
    assert (result.code, result.out) == (2, "")
    assert "Usage:" in result.err


def test_counts_have_exactly_the_members_of_the_contract(run: Run, store: Store) -> None:
    store.inbox.add([notification(1), notification(2), notification(1)])
    counts = run("inbox", "counts", "--json")
    assert counts.objects == [{"pending": 2, "running": 0, "done": 0, "dead": 0, "duplicates": 1, "dead_letters": 0}]
    assert list(counts.objects[0]) == ["pending", "running", "done", "dead", "duplicates", "dead_letters"]
    assert run("inbox", "counts", "--json", "--tenant", "custbb").objects[0]["pending"] == 0


def test_notifications_are_replayed_by_key(run: Run, store: Store) -> None:
    store.inbox.add([notification(1), notification(2)])
    settle_all(store, Done())
    result = run("inbox", "replay", notification(1).key.hex(), "--tenant", "custaa")
    assert (result.code, result.out) == (0, "1 put back to be handled again.\n")
    assert store.reports.counts().pending == 1


def test_dead_notifications_are_replayed_by_state_or_reason(run: Run, store: Store) -> None:
    store.inbox.add([notification(1), notification(2, tenant=CUSTBB)])
    settle_all(store, Dead("unrouted"))
    assert run("inbox", "replay", "--tenant", "custaa", "--reason", "attempts", "--json").objects == [{"replayed": 0}]
    assert run("inbox", "replay", "--tenant", "custaa", "--reason", "unrouted", "--json").objects == [{"replayed": 1}]
    assert run("inbox", "replay", "--tenant", "custbb", "--state", "dead", "--json").objects == [{"replayed": 1}]


def test_replaying_what_is_not_there_fails(run: Run, store: Store) -> None:
    result = run("inbox", "replay", "ab", "--tenant", "custaa")
    assert result.code == 1
    assert "nothing was replayed" in result.err


@pytest.mark.parametrize("arguments", [(), ("ab", "--state", "dead"), ("ab", "--reason", "unrouted")])
def test_a_replay_names_keys_or_dead_ones(run: Run, store: Store, arguments: tuple[str, ...]) -> None:
    assert run("inbox", "replay", *arguments, "--tenant", str(CUSTAA)).code == 2
