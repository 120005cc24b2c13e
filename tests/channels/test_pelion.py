"""A WebSocket channel of Pelion from the platform to the store, and every way its connection ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web

import migrations
from subscriber.channels.pelion import PERSON_SECONDS, TAKEN_SECONDS, Application, ending
from subscriber.errors import PlatformRefused
from subscriber.store import ChannelRow, Store
from subscriber.store.sqlite import open_store
from tests.channels.small_pelion import SmallPelion, read_on, small_pelion
from tests.emulator.pelion.socket import Socket
from tests.emulator.running import Emulator, Receiver, running_emulator, wait_for
from tests.pelion.conftest import DEVICE, PATH, World
from tests.pelion.working import rows, working

KEY = "ak_1" + "k" * 107


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with running_emulator("--clock", "virtual") as emulator:
        yield emulator


@pytest.fixture
def world(emulator: Emulator) -> World:
    emulator.control("/reset", {})
    return World(emulator, Receiver("http://127.0.0.1:1"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path}/store.db"
    migrations.apply(url)
    with closing(open_store(url)) as store:
        yield store


@pytest.fixture
def small() -> Iterator[SmallPelion]:
    with small_pelion() as platform:
        yield platform


def environ_of(small: SmallPelion) -> dict[str, str]:
    channel = {"name": "cellar", "api_key": KEY, "host": small.url, "mode": "websocket"}
    return {"PELION_CHANNELS": json.dumps([channel])}


def publish(world: World, count: int, **more: object) -> None:
    world.emulator.control("/publish", {"tenant": "pelion/cellar", "count": count, **more})


def channel(world: World) -> dict[str, object]:
    return next(
        (one for one in world.emulator.control("/pelion/channels")["channels"] if one["name"] == "cellar"), {}
    )


def connected(world: World) -> bool:
    return channel(world).get("connected") is True


def board(store: Store) -> ChannelRow:
    (row,) = wait_for(store.registry.channels)
    return row


def uids(store: Store) -> list[str]:
    return [row.notification.payload["uid"] for row in rows(store)]


# From the platform to the store.


def test_every_item_is_stored_once_in_order_with_its_exact_text(world: World, store: Store) -> None:
    topics = ["notifications", "registrations", "de-registrations"]
    with working(store, world.environ()) as counted:
        wait_for(lambda: connected(world))
        publish(world, 700, topic=topics)
        wait_for(lambda: counted.frames["new"] == 2100)
    found = rows(store)
    assert len(set(uids(store))) == 2100
    assert {row.notification.topic for row in found} == set(topics)
    first = found[0].notification
    assert (first.tenant.name, first.channel, first.source) == ("cellar", "cellar", first.payload["ep"])
    times = [row.notification.occurred_at for row in rows(store, topic="registrations")]
    assert times == sorted(times)


def test_what_comes_while_nobody_is_connected_waits_for_the_next_connection(world: World, store: Store) -> None:
    with working(store, world.environ()):
        wait_for(lambda: connected(world))
    wait_for(lambda: not connected(world))
    publish(world, 30)
    assert channel(world)["waiting"] == 30
    with working(store, world.environ()) as counted:
        wait_for(lambda: counted.frames["new"] == 30)
    assert store.registry.gaps() == []


def test_an_unreadable_item_becomes_a_dead_letter_and_drops_nothing_else(small: SmallPelion, store: Store) -> None:
    async def play(socket: web.WebSocketResponse) -> None:
        await socket.send_str('{"notifications":[{"ep":"a","path":"/1","uid":"u1"},7]}')
        await socket.send_bytes(b'{"registrations":[{"ep":"a","uid":"u2"}]}')
        await socket.send_str("no JSON")
        await socket.send_str("{}")
        await read_on(socket)

    small.play = play
    with working(store, environ_of(small)) as counted:
        wait_for(lambda: counted.frames["dead_letter"] == 2)
    assert uids(store) == ["u1", "u2"]
    assert counted.frames == {"new": 2, "dead_letter": 2}


def test_a_message_larger_than_a_burst_and_one_in_fragments_are_stored(small: SmallPelion, store: Store) -> None:
    items = [{"ep": "a", "path": "/3303/0/5700", "payload": "x" * 200, "uid": f"u{number}"} for number in range(9000)]
    message = json.dumps({"notifications": items}).encode()

    async def play(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(message)
        await read_on(socket)

    small.play = play
    with working(store, environ_of(small)) as counted:
        wait_for(lambda: counted.frames["new"] == 9000)
    assert len(message) > 1 << 20


def test_equal_items_without_id_and_time_are_never_suppressed(world: World, store: Store) -> None:
    world.ask("PUT", "/v2/notification/websocket")  # somebody registered it before, in the default serialization
    same = {"notifications": [{"ep": "a", "path": "/3303/0/5700", "payload": "MQ=="}]}
    with working(store, world.environ()) as counted:
        wait_for(lambda: connected(world))
        publish(world, 25, body=same)
        wait_for(lambda: counted.frames["new"] == 25)
        publish(world, 5, body=same)
        wait_for(lambda: counted.frames["new"] == 30)


def test_the_answer_to_a_command_that_was_sent_with_the_channel_s_key_comes_by_it(world: World, store: Store) -> None:
    with working(store, world.environ()) as counted:
        wait_for(lambda: connected(world))
        command = {"method": "GET", "uri": PATH}
        path = f"/v2/device-requests/{DEVICE}?async-id=c0ffee-1"
        assert world.ask("POST", path, command).status_code == 202
        assert world.ask("POST", path.replace("-1", "-2"), command, application="gates").status_code == 202
        wait_for(lambda: counted.frames["new"] == 1)
    (row,) = rows(store)
    assert (row.notification.topic, row.notification.payload["id"]) == ("async-responses", "c0ffee-1")


# Registering and connecting.


def test_the_key_goes_as_bearer_and_where_that_is_refused_as_subprotocol(small: SmallPelion, store: Store) -> None:
    small.refusals = [401]
    with working(store, environ_of(small)) as counted:
        wait_for(lambda: counted.connected)
    assert small.offers == [(f"Bearer {KEY}", "wss"), ("", f"wss,pelion_{KEY}")]


def test_a_key_that_is_refused_both_ways_is_told_without_being_shown(
    small: SmallPelion, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    small.refusals = [401, 401]
    with working(store, environ_of(small)) as counted:
        wait_for(lambda: counted.losses)
    assert (counted.losses, len(small.offers)) == (["key_refused"], 2)
    assert "access key is not valid" in board(store).detail or "stopped" in board(store).detail
    assert KEY not in caplog.text


def test_another_handshake_under_way_is_waited_out(world: World, store: Store) -> None:
    world.emulator.control("/fault", {"name": "ws-429", "probability": 0.5})
    with working(store, world.environ()) as counted:
        wait_for(lambda: counted.connected)


def test_a_new_channel_that_is_not_visible_yet_is_connected_to_a_little_later(world: World, store: Store) -> None:
    world.turn(pelion_visible_after_s=3)
    with working(store, world.environ()) as counted:
        wait_for(lambda: "channel_missing" in counted.losses)
        world.advance(4)
        wait_for(lambda: connected(world))
    assert store.registry.gaps() == []


def test_a_channel_of_another_kind_is_left_alone_and_told(world: World, store: Store) -> None:
    with_callback = {"url": f"{world.host}/nobody"}
    assert world.ask("PUT", "/v2/notification/callback", with_callback).status_code in (204, 400)
    if world.kind() is None:  # nothing listens there
        world.ask("GET", "/v2/notification/pull?noWait=true")
    kind = world.kind()
    with working(store, world.environ()) as counted:
        wait_for(lambda: counted.losses == ["channel_kind"])
    assert kind not in (None, "WEB_SOCKET") and world.kind() == kind


# Pings, and how connections end.


def test_a_ping_of_four_bytes_is_answered_with_the_same_four(small: SmallPelion, store: Store) -> None:
    answers: list[bytes] = []
    pings = [b"\x00\xff\x10\x7f", b"abcd"]

    async def play(socket: web.WebSocketResponse) -> None:
        for ping in pings:
            await socket.ping(ping)
            message = await socket.receive()
            assert message.type is WSMsgType.PONG
            answers.append(bytes(message.data))
        await read_on(socket)

    small.play = play
    with working(store, environ_of(small)):
        wait_for(lambda: answers == pings)


def test_a_platform_that_pings_keeps_the_connection(world: World, store: Store) -> None:
    with working(store, world.environ()) as counted:
        wait_for(lambda: connected(world))
        world.advance(600)  # twenty pings, each wants its answer within five seconds
        assert connected(world) and counted.losses == []


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        (1000, "no activity", "channel_closed"),
        (1001, "ping timeout: no pong in time", "ping_timeout"),
        (1006, "", "broken"),
        (1011, "unexpected", "channel_missing"),
        (1012, "maintenance", "restarting"),
    ],
)
def test_after_these_closes_it_connects_again_and_nothing_is_lost(
    world: World, store: Store, code: int, text: str, reason: str
) -> None:
    with working(store, world.environ()) as counted:
        wait_for(lambda: connected(world))
        publish(world, 3)
        world.emulator.control("/pelion/close", {"tenant": "cellar", "code": code, "message": text})
        wait_for(lambda: counted.losses)
        publish(world, 4)
        wait_for(lambda: counted.frames["new"] == 7)
    assert counted.losses == [reason]
    assert (len(uids(store)), store.registry.gaps()) == (7, [])


def test_a_connection_that_another_one_took_over_is_left_to_it_for_a_while(world: World, store: Store) -> None:
    with working(store, world.environ()) as counted:
        wait_for(lambda: connected(world))
        other = Socket(world.host, world.keys["cellar"])
        wait_for(lambda: counted.losses == ["taken_over"])
        wait_for(lambda: board(store).state == "waiting" and "in use elsewhere" in board(store).detail)
        assert connected(world), "the other one"
        other.drop()
    wait_for(lambda: not connected(world))
    assert world.kind() == "WEB_SOCKET"


def test_a_revoked_key_stops_the_channel_until_somebody_acts(world: World, store: Store) -> None:
    environ = world.environ()
    with working(store, environ) as counted:
        wait_for(lambda: connected(world))
        world.emulator.control("/pelion/keys/revoke", {"key": world.keys["cellar"]})
        wait_for(lambda: counted.losses == ["key_refused"])


@pytest.mark.parametrize(
    ("code", "text", "reason", "seconds"),
    [
        (1000, "", "channel_closed", None),
        (1001, "another connection took over this channel", "taken_over", TAKEN_SECONDS),
        (1001, "", "taken_over", TAKEN_SECONDS),
        (1001, "Ping timeout", "ping_timeout", None),
        (1008, "", "key_refused", PERSON_SECONDS),
        (1011, "", "channel_missing", None),
        (1012, "", "restarting", None),
    ],
)
def test_close_codes_are_told_apart(code: int, text: str, reason: str, seconds: int | None) -> None:
    found = ending(code, text)
    assert found is not None and (found.reason, found.retry_after_seconds) == (reason, seconds)
    assert isinstance(found, PlatformRefused) == (code == 1008)


@pytest.mark.parametrize("code", [1003, 1006, 1009, 4000])
def test_other_codes_mean_nothing_in_particular(code: int) -> None:
    assert ending(code, "") is None


# What the channel keeps.


@pytest.mark.parametrize("policy", ["remove", "keep"])
def test_an_orderly_stop_leaves_the_channel_whatever_a_close_frame_would_do(
    world: World, store: Store, policy: str
) -> None:
    world.turn(pelion_client_close=policy)
    for _ in range(2):
        with working(store, world.environ()):
            wait_for(lambda: connected(world))
        wait_for(lambda: not connected(world))
        assert world.kind() == "WEB_SOCKET"
    assert store.registry.gaps() == []


def test_an_orderly_stop_in_the_middle_of_a_stream_loses_and_doubles_nothing(world: World, store: Store) -> None:
    for _ in range(3):
        with working(store, world.environ()) as counted:
            wait_for(lambda: connected(world))
            publish(world, 2000)
            wait_for(lambda: counted.frames["new"] > 100)
    with working(store, world.environ()):
        wait_for(lambda: len(rows(store)) >= 6000)
    found = uids(store)
    assert len(found) == len(set(found)) == 6000
    assert world.emulator.ledger()["pending"] == 0


def test_a_message_that_is_too_large_ends_the_connection_and_not_the_channel(
    small: SmallPelion, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subscriber.channels.pelion.MESSAGE_BYTES", 1000)
    ends: list[WSMsgType] = []

    async def play(socket: web.WebSocketResponse) -> None:
        await socket.send_str("x" * 2000)
        ends.append((await socket.receive()).type)

    small.play = play
    with working(store, environ_of(small)) as counted:
        wait_for(lambda: ends and counted.losses)
    assert counted.losses[0] == "protocol"
    assert WSMsgType.CLOSE not in ends, "a close frame of ours would end the channel"


def test_a_channel_that_was_removed_meanwhile_is_made_again_and_the_gap_told(world: World, store: Store) -> None:
    made: list[tuple[str, bool]] = []
    environ = world.environ()

    def created(tenant: object, instead: bool) -> None:
        made.append((str(tenant), instead))

    with working(store, environ, created) as counted:
        wait_for(lambda: connected(world))
        publish(world, 2)
        wait_for(lambda: counted.frames["new"] == 2)
    wait_for(lambda: not connected(world))
    publish(world, 5)
    world.advance(25 * 3600)
    assert world.kind() is None
    with working(store, environ, created):
        wait_for(lambda: connected(world))
        publish(world, 3)
        wait_for(lambda: len(rows(store)) == 5)
    (gap,) = store.registry.gaps()
    newest = rows(store)[1].notification.received_at
    assert (gap.reason, gap.lost_from >= newest, gap.lost_until >= gap.lost_from) == ("channel_removed", True, True)
    assert made == [("pelion/cellar", False), ("pelion/cellar", True)]


def test_an_application_does_not_show_its_key() -> None:
    assert KEY not in repr(Application(name="cellar", host="http://x", api_key=KEY))
