"""The Messaging Service over time: time to live, several consumers, shared clients over sockets."""

from __future__ import annotations

from tests.emulator.conftest import World
from tests.emulator.cumulocity.running import Tenant


def test_messages_vanish_at_the_end_of_their_time_to_live(world: World, tenant: Tenant) -> None:
    """N2-5.16"""
    tenant.rule("A", "measurements")
    tenant.reader("A").close()
    tenant.measurement(tenant.devices[0], 1)
    world.advance(3600)
    tenant.measurement(tenant.devices[0], 2)
    world.advance(36 * 3600 - 1800)
    totals = world.emulator.ledger()
    assert (totals["expired"], totals["pending"]) == (1, 1)
    reader = tenant.reader("A")
    assert [frame.body["c8y_T"]["T"]["value"] for frame in reader.frames(1)] == [2]
    world.advance(3 * 86_400)
    assert world.emulator.ledger()["expired"] == 1


def test_independent_consumers_of_a_topic_each_get_everything_in_the_same_order(tenant: Tenant) -> None:
    """N2-5.9, N2-5.14"""
    tenant.rule("A", "measurements")
    readers = [tenant.reader("A", "one"), tenant.reader("A", "two"), tenant.reader("A", "three", shared=True)]
    for value in range(5):
        tenant.measurement(tenant.devices[value], value)
    orders = [[frame.body["c8y_T"]["T"]["value"] for frame in reader.frames(5)] for reader in readers]
    assert orders == [[0, 1, 2, 3, 4]] * 3


def test_nothing_is_kept_before_the_first_consumer_and_everything_after_it(tenant: Tenant) -> None:
    """N2-5.16, N2-5.17: a detached consumer's backlog grows."""
    tenant.rule("A", "measurements")
    tenant.measurement(tenant.devices[0], 1)
    tenant.reader("A").close()
    tenant.wait_for_clients("A", 0)
    for value in (2, 3):
        tenant.measurement(tenant.devices[0], value)
    assert tenant.backlog("A") == 2
    reader = tenant.reader("A")
    tenant.measurement(tenant.devices[0], 4)
    assert [frame.body["c8y_T"]["T"]["value"] for frame in reader.frames(3)] == [2, 3, 4]


def test_two_clients_share_by_source_and_one_that_stays_gets_all(world: World, tenant: Tenant) -> None:
    """N2-5.14: the same token or one each."""
    for device in tenant.devices:
        tenant.rule("A", "measurements", source=device)
    token = tenant.token("A", shared=True)
    one, two = tenant.socket(token, "one"), tenant.reader("A", client="two", shared=True)
    for _ in range(4):
        for device in tenant.devices:
            tenant.measurement(device)
    tenant.wait_for_backlog("A", 20)
    split: list[list[str]] = []
    for reader in (one, two):
        found: list[str] = []
        while not reader.silent_or(found):
            pass
        split.append(found)
    assert sorted(split[0] + split[1]) == sorted(tenant.devices * 4)
    assert set(split[0]).isdisjoint(split[1]) and all(split)
    one.close()
    tenant.wait_for_clients("A", 1)
    for device in tenant.devices:
        tenant.measurement(device)
    sources = {frame.body["source"]["id"] for frame in two.frames(5)}
    assert sources == set(tenant.devices)


def test_an_acknowledgement_on_another_socket_has_no_effect(tenant: Tenant) -> None:
    """N2-5.7"""
    tenant.rule("A", "measurements")
    token = tenant.token("A", shared=True)
    sockets = {"one": tenant.socket(token, "one"), "two": tenant.socket(token, "two")}
    tenant.measurement(tenant.devices[0])
    kept: list[str] = []
    owner = next(name for name, socket in sockets.items() if not socket.silent_or(kept))
    other = "two" if owner == "one" else "one"
    tenant.measurement(tenant.devices[0])
    (frame,) = sockets[owner].frames(1, ack=False)
    sockets[other].send(frame.ack)
    assert sockets[other].silent()
    tenant.wait_for_backlog("A", 1)
    sockets[owner].send(frame.ack)
    tenant.wait_for_backlog("A", 0)
