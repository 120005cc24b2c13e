"""Exclusive and shared consumers: stickiness, moves, windows. Without sockets."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.cumulocity.backlog import Delivery, Message
from emulator.cumulocity.consumers import Client, Consumer, chosen

NUMBERS = count(1)


def delivery(source: str) -> Delivery:
    id = next(NUMBERS)
    return Delivery(id, 1, Message(id, 1, "alarms", source, "CREATE", 0.0, b"{}", b"frame", f"ack{id}"))


def drained(consumer: Consumer, client: Client, window: int = 1000) -> list[Delivery]:
    """What it is sent now."""
    found = []
    while (entry := consumer.take(client, window)) is not None:
        consumer.sent(client, entry, 0.0)
        found.append(entry)
    return found


def joined(consumer: Consumer, *names: str) -> list[Client]:
    clients = [Client(name) for name in names]
    for client in clients:
        consumer.join(client)
    return clients


def added(consumer: Consumer, *sources: str) -> list[Delivery]:
    entries = [delivery(source) for source in sources]
    for entry in entries:
        consumer.add(entry)
    return entries


SOURCES = [str(number) for number in range(40)]


def test_all_of_a_source_go_to_one_client_and_every_message_to_exactly_one() -> None:
    """N2-5.14"""
    consumer = Consumer(1, "c")
    clients = joined(consumer, "one", "two", "three")
    entries = added(consumer, *SOURCES, *SOURCES)
    got = [drained(consumer, client) for client in clients]
    assert sorted(entry.id for part in got for entry in part) == [entry.id for entry in entries]
    homes = [{entry.message.source for entry in part} for part in got]
    assert all(homes) and sum(map(len, homes)) == len(SOURCES)


def test_a_client_that_comes_back_under_its_name_gets_its_sources_again() -> None:
    """N2-5.14"""
    consumer = Consumer(1, "c")
    one, two = joined(consumer, "one", "two")
    added(consumer, *SOURCES)
    mine = {entry.message.source for entry in drained(consumer, one)}
    consumer.leave(one)
    (again,) = joined(consumer, "one")
    added(consumer, *SOURCES)
    assert {entry.message.source for entry in drained(consumer, again)} == mine
    assert drained(consumer, two)


def test_it_can_be_asked_who_was_given_which_sources() -> None:
    """N2-5.14"""
    consumer = Consumer(1, "c")
    joined(consumer, "one", "two")
    added(consumer, *SOURCES)
    shares = consumer.shares()
    assert set(shares) == {"one", "two"} and sorted(shares["one"] + shares["two"]) == sorted(SOURCES)
    assert all(chosen(source, consumer.clients).name == "one" for source in shares["one"])


def test_what_a_departed_client_had_not_acknowledged_goes_to_the_next_owner_before_anything_newer() -> None:
    """N2-5.14"""
    consumer = Consumer(1, "c")
    one, two = joined(consumer, "one", "two")
    early = added(consumer, *SOURCES)
    sent, other = drained(consumer, one), drained(consumer, two)
    late = added(consumer, *SOURCES)
    consumer.leave(one)
    got = drained(consumer, two)
    assert {entry.id for entry in got} == {entry.id for entry in sent + late}
    for source in SOURCES:
        order = [entry.id for entry in other + got if entry.message.source == source]
        assert order == sorted(order) and len(order) == 2
    assert early


def test_a_source_moves_only_when_its_owner_has_acknowledged_it() -> None:
    """N2-5.14: so its order is kept."""
    consumer = Consumer(1, "c")
    (one,) = joined(consumer, "one")
    source = next(source for source in SOURCES if chosen(source, [Client("one"), Client("two")]).name == "two")
    (first,) = added(consumer, source)
    drained(consumer, one)
    (two,) = joined(consumer, "two")
    (second,) = added(consumer, source)
    assert drained(consumer, two) == [] and not consumer.unsettled
    consumer.acknowledge(one, first.message.ack)
    assert consumer.unsettled
    consumer.settle()
    assert drained(consumer, two) == [second] and drained(consumer, one) == []


def test_sources_that_need_not_move_stay() -> None:
    """N2-5.14"""
    two = [Client("one"), Client("two")]
    three = [*two, Client("three")]
    moved = [s for s in SOURCES if chosen(s, three) is not chosen(s, two)]
    assert all(chosen(source, three).name == "three" for source in moved) and len(moved) < len(SOURCES) / 2


@pytest.mark.parametrize("window", [1, 3])
def test_the_window_is_each_clients_own(window: int) -> None:
    """N2-5.10"""
    consumer = Consumer(1, "c")
    (one,) = joined(consumer, "one")
    entries = added(consumer, *["7"] * 5)
    assert drained(consumer, one, window) == entries[:window]
    assert consumer.acknowledge(one, entries[0].message.ack) is entries[0]
    assert drained(consumer, one, window) == [entries[window]]


def test_only_what_was_sent_to_a_client_is_its_to_acknowledge() -> None:
    """N2-5.7"""
    consumer = Consumer(1, "c")
    one, two = joined(consumer, "one", "two")
    (entry,) = added(consumer, "7")
    owner, other = (one, two) if drained(consumer, one) else (two, one)
    drained(consumer, owner)
    assert consumer.acknowledge(other, entry.message.ack) is None
    assert consumer.acknowledge(owner, entry.message.ack) is entry
    assert consumer.acknowledge(owner, entry.message.ack) is None


def test_what_is_overdue_is_queued_again_in_order() -> None:
    """N2-5.8"""
    consumer = Consumer(1, "c")
    (one,) = joined(consumer, "one")
    entries = added(consumer, "7", "8", "9")
    drained(consumer, one)
    consumer.acknowledge(one, entries[1].message.ack)
    assert consumer.oldest_sent() == [0.0] and consumer.overdue(one, -1) == 0
    assert consumer.overdue(one, 1) == 2
    assert drained(consumer, one) == [entries[0], entries[2]]


def test_a_source_that_went_and_came_back_is_sent_once() -> None:
    """Its first owner's queue then holds the message twice."""
    consumer = Consumer(1, "c")
    (entry,) = added(consumer, "0")
    (one,) = joined(consumer, "1")
    (other,) = joined(consumer, "0")
    consumer.leave(other)
    assert consumer.take(one, 9) is entry
    consumer.sent(one, entry, 0.0)
    consumer.acknowledge(one, entry.message.ack)
    assert consumer.take(one, 9) is None


STEP = st.sampled_from(["add", "join", "leave", "take", "acknowledge"])


@given(st.lists(st.tuples(STEP, st.integers(0, 5)), max_size=60))
def test_whatever_happens_nothing_is_lost_and_each_source_keeps_its_order(steps: list[tuple[str, int]]) -> None:
    """N2-5.9, N2-5.14"""
    consumer = Consumer(1, "c")
    clients: dict[int, Client] = {}
    last: dict[str, int] = {}
    done, made = set(), []

    def take(client: Client) -> None:
        entry = consumer.take(client, 3)
        if entry is not None:
            consumer.sent(client, entry, 0.0)

    def acknowledge(client: Client) -> None:
        """The oldest first, as a careful client does."""
        for ack in list(client.unacked)[:1]:
            entry = consumer.acknowledge(client, ack)
            assert entry is not None and entry.id not in done
            assert entry.id > last.get(entry.message.source, 0)
            last[entry.message.source] = entry.id
            done.add(entry.id)
        if consumer.unsettled:
            consumer.settle()

    for step, number in steps:
        if step == "add":
            made += added(consumer, str(number))
        elif step == "join" and number not in clients:
            clients[number] = joined(consumer, str(number))[0]
        elif step == "leave" and number in clients:
            consumer.leave(clients.pop(number))
        elif number in clients:
            take(clients[number]) if step == "take" else acknowledge(clients[number])
    if not clients:
        clients[9] = joined(consumer, "9")[0]
    for _ in range(len(made) + 1):
        for client in clients.values():
            take(client)
            acknowledge(client)
    assert done == {entry.id for entry in made} and not consumer.backlog
