"""Streams told by one thread: news, silence, readers that are slow, gone or too many, and a store that is away."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from subscriber.errors import Overloaded, StoreUnavailable
from subscriber.web import live
from subscriber.web.live import Live
from subscriber.web.server.outlet import Outlet

DEADLINE_SECONDS = 20.0


class Story:
    """What is told: whatever a test adds."""

    opening = b"once\n"

    def __init__(self, reader: str = "custaa") -> None:
        self.reader = reader
        self.ends_at = float("inf")
        self.pieces: list[bytes] = []
        self.fails: Exception | None = None
        self.lives = 0

    def news(self) -> tuple[bytes, bool]:
        if self.fails:
            raise self.fails
        return (self.pieces.pop(0), bool(self.pieces)) if self.pieces else (b"", False)

    def silent(self, now: float, said: bytes) -> bool:
        return self.lives > 0 and not said

    def sign_of_life(self) -> bytes:
        self.lives -= 1
        return b"still here\n"


class Teller:
    """Stories told over real sockets. ``end`` is what the store says its arrivals end with."""

    def __init__(self) -> None:
        self.end = "0"
        self.stopping = False
        self.fails: Exception | None = None
        self.live = Live(self._where)
        self._sockets: list[socket.socket] = []

    def _where(self) -> str:
        if self.fails:
            raise self.fails
        return self.end

    def tell(self, story: Story) -> socket.socket:
        """The reader's end of a new line."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.settimeout(DEADLINE_SECONDS)
        self._sockets += [ours, theirs]
        self.live.sit(story.reader)
        self.live.tell(
            story, Outlet(ours, b"", chunked=False, stopping=lambda: self.stopping, give_back=lambda: ours.close())
        )
        return theirs

    def close(self) -> None:
        self.stopping = True
        for theirs in self._sockets[1::2]:
            theirs.close()
        wait_until(lambda: not threads())
        for ours in self._sockets[::2]:
            ours.close()


@pytest.fixture
def teller() -> Iterator[Teller]:
    made = Teller()
    yield made
    made.close()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "live"]


def wait_until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def heard(sock: socket.socket, text: bytes) -> None:
    """The next words are these."""
    found = b""
    while len(found) < len(text):
        piece = sock.recv(len(text) - len(found))
        assert piece, found
        found += piece
    assert found == text


def test_what_is_there_is_told_at_once_and_news_when_the_store_s_end_moves(teller: Teller) -> None:
    story = Story()
    story.pieces = [b"first\n", b"second\n"]
    sock = teller.tell(story)
    heard(sock, b"once\nfirst\nsecond\n")
    story.pieces = [b"third\n"]
    teller.end = "1"
    heard(sock, b"third\n")


def test_all_streams_share_a_thread_that_exists_only_while_there_are_some(teller: Teller) -> None:
    assert not threads()
    socks = [teller.tell(Story(f"t{number}")) for number in range(10)]
    for sock in socks:
        heard(sock, b"once\n")
    assert len(threads()) == 1
    for sock in socks:
        sock.close()
    wait_until(lambda: not threads())
    heard(teller.tell(Story()), b"once\n")


def test_silence_is_broken_by_a_sign_of_life(teller: Teller) -> None:
    story = Story()
    sock = teller.tell(story)
    heard(sock, b"once\n")
    story.lives = 1
    heard(sock, b"still here\n")


def test_a_stream_ends_when_its_time_is_over_or_the_server_stops(teller: Teller) -> None:
    over, cut = Story(), Story("custbb")
    first, second = teller.tell(over), teller.tell(cut)
    heard(first, b"once\n")
    heard(second, b"once\n")
    over.ends_at = 0.0
    assert first.recv(1) == b""
    teller.stopping = True
    assert second.recv(1) == b""


def test_seats_are_limited_for_one_and_for_all_and_are_given_back(
    teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_STREAMS", 3)
    monkeypatch.setattr(live, "MAX_STREAMS_OF_ONE", 2)
    socks = [teller.tell(Story()), teller.tell(Story())]
    with pytest.raises(Overloaded):
        teller.live.sit("custaa")
    socks.append(teller.tell(Story("custbb")))
    with pytest.raises(Overloaded):
        teller.live.sit("custcc")
    for sock in socks:
        sock.close()
    wait_until(lambda: not threads())
    for _ in range(2):
        teller.live.sit("custaa")


def test_a_reader_that_takes_nothing_holds_nobody_up_and_is_cut_off(
    teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STALLED_SECONDS", 0.2)
    stalled, quick = Story(), Story("custbb")
    stalled.pieces = [b"x" * 4_000_000]
    teller.tell(stalled)
    sock = teller.tell(quick)
    heard(sock, b"once\n")
    wait_until(lambda: "custaa" not in teller.live._seats)
    quick.pieces = [b"on\n"]
    teller.end = "1"
    heard(sock, b"on\n")


def test_much_is_told_to_a_reader_that_takes_it(teller: Teller) -> None:
    story = Story()
    story.pieces = [bytes([letter]) * 1_000_000 for letter in b"abc"]
    heard(teller.tell(story), b"once\n" + b"".join(story.pieces))


def test_what_a_reader_says_meanwhile_is_thrown_away(teller: Teller) -> None:
    story = Story()
    sock = teller.tell(story)
    heard(sock, b"once\n")
    sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    story.pieces = [b"on\n"]
    teller.end = "1"
    heard(sock, b"on\n")


def test_streams_stay_open_while_the_store_is_away_and_it_is_said_once(
    teller: Teller, caplog: pytest.LogCaptureFixture
) -> None:
    story = Story()
    sock = teller.tell(story)
    heard(sock, b"once\n")
    with caplog.at_level(logging.WARNING, "subscriber.web.live"):
        teller.fails = StoreUnavailable("away")
        wait_until(lambda: bool(caplog.records))
        story.lives = 2
        heard(sock, b"still here\nstill here\n")
    assert len(caplog.records) == 1
    teller.fails = None
    story.pieces = [b"on\n"]
    teller.end = "1"
    heard(sock, b"on\n")


def test_a_bug_cuts_the_streams_off_and_the_next_ones_are_told(
    teller: Teller, caplog: pytest.LogCaptureFixture
) -> None:
    story = Story()
    story.fails = RuntimeError("a bug")
    sock = teller.tell(story)
    while sock.recv(100):
        pass
    assert "streams are cut off" in caplog.text
    heard(teller.tell(Story()), b"once\n")
