"""What of an application's answer matters to the broker, and when its connection may carry the next delivery."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from emulator.mindsphere import lines
from emulator.mindsphere.lines import Broken, Lines

ACCEPTED = b"HTTP/1.1 204 No Content\r\n\r\n"
SECONDS = 20.0
Play = Callable[["Application"], Awaitable[None]]


class Application:
    """Answers each request with the same pieces, one after another, and counts what came."""

    def __init__(self, *pieces: bytes, closes: bool = False) -> None:
        self._pieces = pieces
        self._closes = closes
        self.lines = Lines(ssl.create_default_context())
        self.got: list[bytes] = []
        self.connections = 0
        self._serving: list[asyncio.Task[None]] = []
        self.url = ""

    async def post(
        self, body: bytes = b"{}", *, seconds: float = SECONDS, cut: bool = False, topic: str | None = None
    ) -> int:
        given = {"Authorization": "Bearer x"} | ({} if topic is None else {"X-MDSP-Topic": topic})
        return await self.lines.post(
            self.url, given, body, connect_timeout_s=SECONDS, response_timeout_s=seconds, cut=cut
        )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.append(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                self.got.append(head + await reader.readexactly(length))
                for piece in self._pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if self._closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the broker hung up
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def end(self) -> None:
        """Until both sides of every connection are closed."""
        self.lines.close()
        await asyncio.gather(*self._serving)


def play(application: Application, scene: Play) -> None:
    async def whole() -> None:
        server = await asyncio.start_server(application.serve, "127.0.0.1", 0)
        application.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/notify me?a=1"
        async with server, asyncio.timeout(SECONDS):
            try:
                await scene(application)
            finally:
                await application.end()

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("pieces", "status", "connections"),
    [
        pytest.param([ACCEPTED], 204, 1, id="no body"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], 200, 1, id="a body of known length"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-", b"Length: 2\r\n\r\n", b"o", b"k"], 200, 1, id="in pieces"),
        pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n", ACCEPTED], 204, 1, id="an interim answer before it"),
        pytest.param([b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"], 503, 1, id="a refusal"),
        pytest.param([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"], 200, 2, id="chunks"),
        pytest.param([b"HTTP/1.1 200 OK\r\n\r\n"], 200, 2, id="a body until the end"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n"], 200, 2, id="a great body"),
        pytest.param([b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"], 204, 2, id="it will close"),
        pytest.param([b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"], 200, 2, id="an old version"),
        pytest.param([ACCEPTED + ACCEPTED], 204, 2, id="more than was asked for"),
    ],
)
def test_the_status_counts_and_the_connection_is_kept_if_its_end_is_known(
    pieces: list[bytes], status: int, connections: int
) -> None:
    application = Application(*pieces)

    async def scene(application: Application) -> None:
        assert [await application.post(), await application.post()] == [status, status]

    play(application, scene)
    assert application.connections == connections


def test_a_request_is_as_it_was_given() -> None:
    application = Application(ACCEPTED)

    async def scene(application: Application) -> None:
        await application.post(b'{"a":"\xc3\xa4"}', topic="tömp")

    play(application, scene)
    head, _, body = application.got[0].partition(b"\r\n\r\n")
    first, host, *fields = head.decode().split("\r\n")
    assert first == "POST /v1/notify%20me?a=1 HTTP/1.1" and host.startswith("Host: 127.0.0.1:")
    assert fields == ["Authorization: Bearer x", "X-MDSP-Topic: tömp", "Content-Length: 10"]
    assert body == b'{"a":"\xc3\xa4"}'


def test_no_header_can_begin_another() -> None:
    async def scene(application: Application) -> None:
        with pytest.raises(ValueError, match="line end"):
            await application.post(topic="a\r\nX-Other: b")

    play(Application(ACCEPTED), scene)


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([], id="nothing"),
        pytest.param([b"HTTP/1.1 204"], id="half a head"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"], id="half a body"),
        pytest.param([b"SSH-2.0 hello\r\n\r\n"], id="another protocol"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok"], id="a length that is none"),
        pytest.param([b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2 * lines.HEAD_BOUND], id="a head without end"),
    ],
)
def test_an_answer_that_breaks_off_or_is_none_is_a_failure(pieces: list[bytes]) -> None:
    async def scene(application: Application) -> None:
        with pytest.raises(Broken):
            await application.post()

    play(Application(*pieces, closes=True), scene)


def test_silence_is_a_time_out_and_its_connection_is_not_used_again() -> None:
    application = Application()

    async def scene(application: Application) -> None:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await application.post(seconds=0.2)

    play(application, scene)
    assert application.connections == 2


def test_where_nobody_listens_there_is_no_way() -> None:
    async def scene(application: Application) -> None:
        application.url = "http://127.0.0.1:1/"
        with pytest.raises(OSError):
            await application.post()

    play(Application(), scene)


def test_a_cut_request_never_arrives_whole() -> None:
    application = Application(ACCEPTED)

    async def scene(application: Application) -> None:
        with pytest.raises(Broken):
            await application.post(b"x" * 1000, cut=True)
        assert await application.post() == 204

    play(application, scene)
    assert len(application.got) == 1


def test_parallel_deliveries_have_a_connection_each_and_the_next_ones_take_them() -> None:
    application = Application(ACCEPTED)

    async def scene(application: Application) -> None:
        for _ in range(2):
            await asyncio.gather(*(application.post() for _ in range(5)))

    play(application, scene)
    assert application.connections == 5


def test_an_idle_connection_is_not_trusted_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "IDLE_S", -1.0)
    application = Application(ACCEPTED)

    async def scene(application: Application) -> None:
        assert [await application.post(), await application.post()] == [204, 204]

    play(application, scene)
    assert application.connections == 2
