"""One request and its answer over a real socket, whatever the server does with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subscriber.channels.admitter import Admitter, Lane
from subscriber.channels.exchange import Exchange
from subscriber.channels.outbound import LARGE_BYTES
from subscriber.errors import SubscriberError
from subscriber.model import SMARTREST
from subscriber.platforms.smartrest.session import Session
from subscriber.platforms.smartrest.transitions import State
from subscriber.platforms.smartrest.turns import Turn
from subscriber.services import utc_now
from subscriber.store import Store
from tests.channels.small_sockets import outbound
from tests.channels.talking import conversation

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
CLIENT = "3k9x0q7w1vj2m5d8t4b6"
PATIENCE_SECONDS = 10.0


class Script:
    """A server that answers every request with these pieces, one after another, and then closes."""

    def __init__(self, *pieces: bytes, hang: bool = False) -> None:
        self._pieces = pieces
        self._hang = hang
        self.heads: list[bytes] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        for piece in self._pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        if self._hang:
            await reader.read()  # until the other side gives up
        writer.close()


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[str]:
    async with await asyncio.start_server(script.answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def chunk(body: bytes) -> bytes:
    return f"{len(body):x}\r\n".encode() + body + b"\r\n"


def polling() -> Session:
    """A session whose next request is a poll."""
    session = Session(conversation("").realtime)
    for body in (b"20,1", CLIENT.encode(), b""):
        session.request()
        session.receive(body)
        session.end(200)
    assert session.state is State.CONNECT
    return session


async def exchanged(store: Store | None, url: str, session: Session, seconds: float = PATIENCE_SECONDS) -> Turn:
    async with outbound() as out:
        admitter = Admitter(store.inbox if store else None, lambda *_: None)  # type: ignore[arg-type]
        exchange = Exchange(session, out, admitter, Lane(SMARTREST), lambda _: seconds, utc_now)
        request = session.request()
        assert request is not None
        return await exchange.run(conversation(url), request, lambda: None)


def answered(*pieces: bytes, hang: bool = False, seconds: float = PATIENCE_SECONDS) -> Turn:
    """What comes of a poll that is answered so. Nothing is stored here."""

    async def story() -> Turn:
        async with scripted(Script(*pieces, hang=hang)) as url:
            return await exchanged(None, url, polling(), seconds)

    return asyncio.run(story())


def test_heartbeats_and_rows_are_read_as_they_come() -> None:
    turn = answered(HEAD, chunk(b" "), chunk(b" "), chunk(b"500,600"), chunk(b"01,5010\n"), END)
    assert [row.values for row in turn.rows] == [("500", "60001", "5010")]
    assert turn.failure is None


def test_the_answer_of_the_page_is_read_as_it_goes_over_the_wire() -> None:
    """HTTP/1.0, so it ends with the connection; the space before it is a heartbeat."""
    example = b"HTTP/1.0 200 OK\r\n\r\n \t87,2,mytemplate1\n100,myvalue\n101,myvalue2\n87,1,mytemplate3\n100,myvalue3"
    turn = answered(example)
    assert [(row.x_id, *row.values) for row in turn.rows] == [
        ("mytemplate1", "100", "myvalue"),
        ("mytemplate1", "101", "myvalue2"),
        ("mytemplate3", "100", "myvalue3"),
    ]
    assert turn.failure is None and not turn.unreadable


def test_an_answer_that_breaks_off_is_told_as_lost_with_what_came_whole() -> None:
    turn = answered(HEAD, chunk(b"500,1,5010\n500,2"))
    assert (turn.gap, [row.values for row in turn.rows]) == ("answer_lost", [("500", "1", "5010")])
    assert turn.failure is not None and turn.failure.reason == "connection_lost"


@pytest.mark.parametrize("said", [b"", HEAD, HEAD + chunk(b" ")])
def test_a_connection_that_says_nothing_more_is_given_up(said: bytes) -> None:
    turn = answered(said, hang=True, seconds=0.3)
    assert turn.failure is not None and "nothing was heard" in turn.failure.detail


def test_a_request_that_was_never_sent_loses_nothing() -> None:
    turn = asyncio.run(exchanged(None, "http://127.0.0.1:1", polling()))
    assert turn.gap == "" and turn.failure is not None and turn.failure.reason == "unreachable"


def test_a_request_that_was_sent_and_not_answered_may_have_lost_something() -> None:
    turn = answered()
    assert turn.gap == "answer_lost"


def test_the_status_decides_and_a_busy_server_says_when_to_come_again() -> None:
    turn = answered(b"HTTP/1.1 503 Away\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
    assert turn.failure is not None
    assert (turn.failure.reason, turn.failure.retry_after_seconds) == ("unavailable", 7)


def test_no_redirect_is_followed() -> None:
    async def story() -> tuple[Turn, int]:
        script = Script(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
        async with scripted(script) as url:
            return await exchanged(None, url, polling()), len(script.heads)

    turn, requests = asyncio.run(story())
    assert requests == 1 and turn.failure is not None


def test_a_request_looks_as_the_documents_say() -> None:
    async def story() -> bytes:
        script = Script(HEAD, END)
        async with scripted(script) as url:
            await exchanged(None, url, polling())
        return script.heads[0]

    head = asyncio.run(story())
    assert head.startswith(b"POST /notification/operations HTTP/1.1\r\n")
    lines = head.lower().split(b"\r\n")
    assert b"x-id: com.acme.gw-v3" in lines and b"accept-encoding: identity" in lines
    assert any(line.startswith(b"authorization: basic ") for line in lines)


def test_a_large_answer_is_read_whole() -> None:
    row = b"500,60001,5010\n"
    count = 2 * LARGE_BYTES // len(row)
    turn = answered(HEAD, *[chunk(row * 1000)] * (count // 1000), END)
    assert len(turn.rows) == count // 1000 * 1000


PIECES = st.lists(
    st.sampled_from([HEAD, END, chunk(b" "), chunk(b"500,1,2\n"), chunk(b"86,,,handshake"), b"HTTP/1.1 ", b"\r\n"])
    | st.binary(max_size=30).map(chunk)
    | st.binary(max_size=30),
    max_size=6,
)


@settings(max_examples=50, deadline=None)
@given(pieces=PIECES, headed=st.booleans())
def test_whatever_bytes_a_server_sends_give_rows_a_typed_failure_or_a_new_handshake(
    pieces: list[bytes], headed: bool
) -> None:
    turn = answered(*([HEAD] if headed else []), *pieces, seconds=0.5)
    assert turn.failure is None or isinstance(turn.failure, SubscriberError)
    assert turn.failure or turn.state in (State.CONNECT, State.HANDSHAKE)
    assert turn.gap in ("", "answer_lost", "session_lost")
