"""A WebSocket that writes what belongs together at once."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web

from subscriber.channels.sockets import LONG_BYTES, PING, TEXT, frame
from tests.channels.small_sockets import connected
from tests.web.certificates import replace_pair


def unmasked(data: bytes) -> tuple[int, bytes]:
    """First byte and payload of a frame, by RFC 6455, section 5.2."""
    size, at = data[1] & 0x7F, 2
    if size == 126:
        size, at = int.from_bytes(data[2:4]), 4
    key, masked = data[at : at + 4], data[at + 4 :]
    assert data[1] & 0x80 and len(masked) == size
    return data[0], bytes(byte ^ key[place % 4] for place, byte in enumerate(masked))


@pytest.mark.parametrize("size", [0, 1, 4, 16, 17, 125, 126, 127, 4096, LONG_BYTES])
def test_a_frame_is_masked_by_its_key_and_announces_its_length(size: int) -> None:
    payload = bytes(place % 251 for place in range(size))
    assert unmasked(frame(TEXT, payload, b"\x01\xa2\x03\xf4")) == (TEXT, payload)


def test_what_is_too_long_for_a_frame_of_ours_is_refused() -> None:
    with pytest.raises(ValueError):
        frame(TEXT, bytes(LONG_BYTES + 1), bytes(4))


def test_a_control_frame_says_so() -> None:
    assert unmasked(frame(PING, b"", b"abcd")) == (0x89, b"")


def encrypting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a far side encrypts with, believed here."""
    certificate, key = replace_pair(folder, "localhost")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def test_many_texts_arrive_as_messages_of_their_own_in_order() -> None:
    texts = [f"CPu7BB{number}AwAQ==" for number in range(500)] + ["x" * 300]

    async def story() -> list[str]:
        got: list[str] = []

        async def talk(socket: web.WebSocketResponse) -> None:
            for _ in texts:
                got.append(await socket.receive_str())

        async with connected(talk) as socket:
            socket.send_texts([text.encode() for text in texts])
            assert (await socket.receive()).type is WSMsgType.CLOSE
        return got

    assert asyncio.run(story()) == texts


def test_nothing_is_sent_on_a_closed_connection() -> None:
    async def story() -> None:
        async def talk(socket: web.WebSocketResponse) -> None:
            await socket.close()

        async with connected(talk) as socket:
            await socket.receive()
            await socket.close()
            socket.send_texts([b"late"])
            socket.send_ping()

    asyncio.run(story())


def test_a_ping_is_answered_and_silence_begins_anew_with_what_is_heard() -> None:
    async def story() -> None:
        async def talk(socket: web.WebSocketResponse) -> None:
            message = await socket.receive()
            await socket.pong(message.data)

        async with connected(talk) as socket:
            socket.send_ping()
            assert socket.pinged_at is not None
            assert (await socket.receive()).type is WSMsgType.PONG
            socket.heard()
            assert socket.pinged_at is None

    asyncio.run(story())


def test_an_aborted_connection_ends_its_reader() -> None:
    async def story() -> None:
        async def talk(socket: web.WebSocketResponse) -> None:
            await socket.receive()

        async with connected(talk) as socket:
            reading = asyncio.create_task(socket.receive())
            await asyncio.sleep(0)
            socket.abort()
            assert (await reading).type is WSMsgType.CLOSED
            assert socket.silent

    asyncio.run(story())


def test_a_dropped_connection_says_no_word() -> None:
    async def story() -> list[WSMsgType]:
        heard: list[WSMsgType] = []

        async def talk(socket: web.WebSocketResponse) -> None:
            heard.append((await socket.receive()).type)

        async with connected(talk) as socket:
            reading = asyncio.create_task(socket.receive())
            await asyncio.sleep(0)
            socket.drop()
            assert (await reading).type is WSMsgType.CLOSED
            assert not socket.silent
        return heard

    assert WSMsgType.CLOSE not in asyncio.run(story())


def test_where_a_close_frame_must_not_come_from_us_theirs_is_answered() -> None:
    async def story() -> int | None:
        codes: list[int | None] = []

        async def talk(socket: web.WebSocketResponse) -> None:
            await socket.close()
            codes.append(socket.close_code)

        async with connected(talk) as socket:
            socket.abrupt = True
            assert (await socket.receive()).type is WSMsgType.CLOSE
        return codes[0]

    assert asyncio.run(story()) == 1000


def test_where_a_close_frame_must_not_come_from_us_there_is_none() -> None:
    async def story() -> list[WSMsgType]:
        heard: list[WSMsgType] = []

        async def talk(socket: web.WebSocketResponse) -> None:
            heard.append((await socket.receive()).type)

        async with connected(talk) as socket:
            socket.abrupt = True
            await socket.close()
        return heard

    assert WSMsgType.CLOSE not in asyncio.run(story())


@pytest.mark.parametrize("encrypted", [False, True])
def test_having_fallen_silent_it_still_hears_what_was_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encrypted: bool
) -> None:
    tls = encrypting(tmp_path, monkeypatch) if encrypted else None

    async def story() -> list[str]:
        sent, silent = asyncio.Event(), asyncio.Event()

        async def talk(socket: web.WebSocketResponse) -> None:
            for number in range(500):
                await socket.send_str(str(number))
            await socket.ping(b"1234")
            sent.set()
            await silent.wait()

        heard = []
        async with connected(talk, tls) as socket, asyncio.timeout(20):
            await sent.wait()
            socket.fall_silent()
            socket.fall_silent()
            socket.send_ping()
            while (message := await socket.receive()).type is not WSMsgType.CLOSED:
                if message.type is WSMsgType.PING:
                    await socket.pong(message.data)
                    silent.set()
                elif message.type is WSMsgType.TEXT:
                    heard.append(message.data.decode())
                else:
                    break
            socket.drop()
        return heard

    assert asyncio.run(story()) == [str(number) for number in range(500)]


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_far_side_that_reads_notices_the_silence_and_what_it_said_before_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encrypted: bool
) -> None:
    tls = encrypting(tmp_path, monkeypatch) if encrypted else None

    async def story() -> list[str]:
        silent, got = asyncio.Event(), []

        async def talk(socket: web.WebSocketResponse) -> None:
            await silent.wait()
            for number in range(500):
                await socket.send_str(str(number))
            await socket.receive()  # it closes for nothing else

        async with connected(talk, tls) as socket, asyncio.timeout(20):
            socket.fall_silent()
            silent.set()
            while (message := await socket.receive()).type is WSMsgType.TEXT:
                got.append(message.data.decode())
            socket.drop()
        return got

    assert asyncio.run(story()) == [str(number) for number in range(500)]
