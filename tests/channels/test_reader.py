"""One socket's frames in, its acknowledgements out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web

from subscriber.channels import Place
from subscriber.channels.admitter import WINDOW_FRAMES, Admitter, Lane
from subscriber.channels.frames import Frames
from subscriber.channels.reader import Reader
from subscriber.channels.sockets import Socket
from subscriber.errors import PlatformUnavailable, SubscriberError
from subscriber.model import CUMULOCITY, Tenant
from subscriber.services import utc_now
from subscriber.store import Store
from subscriber.store.sqlite.lockfile import WriterLock
from tests.channels.small_cumulocity import TENANT, timed
from tests.channels.small_sockets import Talk, connected

DEADLINE_S = 20.0


class Scene:
    def __init__(self, socket: Socket, store: Store) -> None:
        self.socket = socket
        self.lane = Lane(CUMULOCITY)
        self.admitter = Admitter(store.inbox, lambda *_: None, jitter=lambda: 0.0, retry_base_seconds=0.02)
        frames = Frames(Place(Tenant(CUMULOCITY, TENANT), "cold", "worker"), b"")
        self.reader = Reader(socket, frames, self.admitter, self.lane, utc_now)


@asynccontextmanager
async def scene(store: Store, talk: Talk) -> AsyncIterator[Scene]:
    async with connected(talk) as socket, asyncio.timeout(DEADLINE_S):
        found = Scene(socket, store)
        admitting = asyncio.create_task(found.admitter.run())
        try:
            yield found
        finally:
            admitting.cancel()
            await asyncio.wait({admitting})


def run(story: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(story())


def test_frames_are_acknowledged_on_their_socket_in_order(store: Store) -> None:
    async def story() -> None:
        got = []

        async def talk(socket: web.WebSocketResponse) -> None:
            for number in range(700):
                await socket.send_str(f"ack{number}\n{timed(number)}")
            for _ in range(700):
                got.append(await socket.receive_str())

        async with scene(store, talk) as found:
            assert (await found.reader.run()).reason == "closed"
        assert got == [f"ack{number}" for number in range(700)]

    run(story)
    assert store.reports.counts().pending == 700


def test_a_ping_is_answered_with_its_own_words(store: Store) -> None:
    async def story() -> None:
        async def talk(socket: web.WebSocketResponse) -> None:
            await socket.ping(b"are you there")
            message = await socket.receive()
            assert (message.type, message.data) == (WSMsgType.PONG, b"are you there")
            await socket.close(code=4000)

        async with scene(store, talk) as found:
            assert "4000" in (await found.reader.run()).detail

    run(story)


def test_reading_stops_while_the_channel_holds_a_full_window(store: Store, path: Path) -> None:
    async def story() -> None:
        sent = 3 * WINDOW_FRAMES  # by a platform that knows no window

        async def talk(socket: web.WebSocketResponse) -> None:
            for number in range(sent):
                await socket.send_str(f"ack{number}\n{timed(number)}")
            for _ in range(sent):
                await socket.receive_str()

        async with scene(store, talk) as found:
            with WriterLock(str(path)):
                reading = asyncio.create_task(found.reader.run())
                while not found.admitter.full(found.lane):
                    await asyncio.sleep(0.001)
                await asyncio.sleep(0.1)  # nothing to poll for: it must not read on
                assert found.lane.frames < WINDOW_FRAMES + 250
                assert not found.socket.listening
            await reading

    run(story)
    assert store.reports.counts().pending == 3 * WINDOW_FRAMES


def test_once_told_to_stop_it_keeps_nothing_of_what_comes(store: Store) -> None:
    async def story() -> None:
        async def talk(socket: web.WebSocketResponse) -> None:
            await socket.receive_str()
            for number in range(10):
                await socket.send_str(f"ack{number}\n{timed(number)}")

        async with scene(store, talk) as found:
            found.reader.stop()
            found.socket.send_texts([b"go"])
            await found.reader.run()

    run(story)
    assert store.reports.counts().pending == 0


@pytest.mark.parametrize("kind", ["broken", "protocol"])
def test_it_says_why_a_connection_ended(store: Store, kind: str) -> None:
    async def story() -> None:
        async def talk(socket: web.WebSocketResponse) -> None:
            transport = socket._req.transport  # type: ignore[union-attr]
            assert isinstance(transport, asyncio.Transport)
            if kind == "protocol":
                transport.write(b"\xff\xff\xff\xff")
                await socket.receive()
            transport.abort()

        async with scene(store, talk) as found:
            assert (await found.reader.run()).reason == kind

    run(story)


def test_a_bug_in_reading_frames_ends_the_connection_instead_of_stalling_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError

    async def story() -> None:
        async def talk(socket: web.WebSocketResponse) -> None:
            await socket.send_str(f"ack\n{timed(1)}")
            await socket.receive()

        async with scene(store, talk) as found:
            monkeypatch.setattr(found.reader, "_now", fail)
            with pytest.raises(ZeroDivisionError):
                await found.reader.run()

    run(story)


def test_a_close_frame_that_means_something_on_a_platform_is_told_in_its_words(store: Store) -> None:
    async def story() -> None:
        async def talk(socket: web.WebSocketResponse) -> None:
            await socket.close(code=1001, message=b"taken over")

        said: list[tuple[int, str]] = []
        taken = PlatformUnavailable("another connection", reason="taken_over")

        def explain(code: int, text: str) -> SubscriberError | None:
            said.append((code, text))
            return taken

        async with scene(store, talk) as found:
            frames = Frames(Place(Tenant(CUMULOCITY, TENANT), "cold", "worker"), b"")
            reader = Reader(found.socket, frames, found.admitter, found.lane, utc_now, explain)
            assert await reader.run() is taken
        assert said == [(1001, "taken over")]

    run(story)
