"""Batches: what stays the same in a resend, and when a channel must go."""

from __future__ import annotations

import json

import pytest

from emulator.clock import Clock
from emulator.journal import Journal
from emulator.knobs import Panel
from emulator.pelion.channels import CALLBACK, Channel, Channels
from emulator.pelion.outbox import Outbox
from emulator.pelion.queue import Entry, Queue
from emulator.pelion.serialization import Item


@pytest.fixture
def channels(journal: Journal, panel: Panel) -> Channels:
    return Channels(journal, panel, 0.0)


@pytest.fixture
def queue(journal: Journal) -> Queue:
    return Queue(journal)


@pytest.fixture
def outbox(channels: Channels, queue: Queue, still: Clock, panel: Panel) -> Outbox:
    return Outbox(channels, queue, still, panel)


@pytest.fixture
def channel(channels: Channels, panel: Panel) -> Channel:
    panel.turn({"EMU_PELION_BATCH_ITEMS": "4"})
    return channels.create("cellar", CALLBACK, 0.0)


def fill(queue: Queue, count: int) -> None:
    items = [Item("reg-updates", "d", "d", '{"ep":"d"}', f"u{number}", 0.0) for number in range(count)]
    queue.add("cellar", [Entry(item) for item in items])


def test_a_resend_is_the_same_whatever_came_in(queue: Queue, outbox: Outbox, channel: Channel) -> None:
    fill(queue, 2)
    first = outbox.take(channel)
    fill(queue, 3)
    assert first is not None and outbox.take(channel) == first
    outbox.acknowledged(channel, first)
    second = outbox.take(channel)
    assert second is not None and len(json.loads(second.text)["reg-updates"]) == second.items == 3
    outbox.acknowledged(channel, second)
    assert outbox.take(channel) is None and not outbox.waiting(channel)


def test_or_it_is_cut_anew(queue: Queue, outbox: Outbox, channel: Channel, panel: Panel) -> None:
    panel.turn({"EMU_PELION_RESEND": "recut"})
    fill(queue, 6)
    sizes = []
    for _ in range(3):
        batch = outbox.take(channel)
        assert batch is not None
        sizes.append(batch.items)
        outbox.tried(channel, batch, "503")
    assert sizes == [4, 2, 4]


def test_pauses_double_up_to_the_longest(outbox: Outbox, channel: Channel, still: Clock) -> None:
    pauses = []
    for _ in range(9):
        outbox.failed(channel, still.now())
        assert channel.retry_at is not None
        pauses.append(channel.retry_at - still.now())
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 120, 120]


def test_a_channel_must_go_after_24_hours_of_failure(outbox: Outbox, channel: Channel, still: Clock) -> None:
    start = still.now()
    assert not outbox.failed(channel, start)
    still.advance_to(start + 86_399)
    assert not outbox.failed(channel, still.now())
    still.advance_to(start + 86_400)
    assert outbox.failed(channel, still.now())
