"""Channels survive a restart, with their limits and what they remember of failures."""

from __future__ import annotations

from emulator.journal import Journal
from emulator.knobs import Panel
from emulator.pelion.channels import CALLBACK, WEB_SOCKET, Channels
from emulator.pelion.serialization import parse
from tests.emulator.pelion.conftest import FULL


def test_a_channel_survives(journal: Journal, panel: Panel) -> None:
    channels = Channels(journal, panel, 100.0)
    channel = channels.create("cellar", CALLBACK, 100.0)
    channel.url, channel.headers, channel.serialization = "http://x/", {"X-A": "b"}, parse(FULL)
    channel.failing_since, channel.retry_at, channel.upto = 50.0, 160.0, 12
    channels.keep(channel)
    assert Channels(journal, panel, 200.0).get("cellar") == channel
    assert "b" not in repr(channel.headers) or "X-A" not in repr(channel)


def test_a_socket_does_not_survive(journal: Journal, panel: Panel) -> None:
    channels = Channels(journal, panel, 100.0)
    channel = channels.create("cellar", WEB_SOCKET, 100.0)
    channel.connected = True
    channels.keep(channel)
    again = Channels(journal, panel, 200.0).get("cellar")
    assert again is not None and not again.connected and again.contact_at == 200.0


def test_limits_are_those_of_the_registration(journal: Journal, panel: Panel) -> None:
    channels = Channels(journal, panel, 0.0)
    channel = channels.create("cellar", CALLBACK, 0.0)
    panel.turn({"EMU_PELION_BATCH_ITEMS": "20000"})
    assert channel.chunk == 10_000 and channels.create("gates", CALLBACK, 0.0).chunk == 20_000
    channel.serialization = parse({"type": "v2", "max_chunk_size": 100})
    assert channel.chunk == 100


def test_a_deleted_channel_is_not_kept(journal: Journal, panel: Panel) -> None:
    channels = Channels(journal, panel, 0.0)
    channel = channels.create("cellar", CALLBACK, 0.0)
    channels.delete(channel)
    channels.keep(channel)
    assert Channels(journal, panel, 0.0).all() == [] and not channels.alive(channel)
