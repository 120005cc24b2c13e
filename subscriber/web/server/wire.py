"""One connection: its state, and gunicorn's HTTP/1.1 parser fitted to it.

Follows gunicorn 27.0.1 (``http.message``, ``http.body``, ``http.unreader``), the pinned version;
``tests/web/server`` notices if a later one behaves otherwise. What bytes mean is for ``plain`` or the parser to say.
"""

from __future__ import annotations

import io
import select
import socket
import ssl
import time
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple
from wsgiref.types import WSGIEnvironment

from gunicorn import util
from gunicorn.http import body, errors, message, parser, unreader

from subscriber.errors import Overloaded, UnreadableRequest
from subscriber.web.answers import Answer
from subscriber.web.deferral import Deferral
from subscriber.web.server.framing import Arrival
from subscriber.web.server.limits import InFlight, Slots
from subscriber.web.server.plain import Plain, PlainReader
from subscriber.web.server.response import Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Errors and hanging up are always told; that the other side has said its last word is told on Linux only.
GONE = getattr(select, "POLLRDHUP", 0)


Address = tuple[str, int]


class Phase(Enum):
    """What a connection waits for. BUSY ones belong to a thread, all others to the poller."""

    HANDSHAKE = "handshake"  # TLS
    IDLE = "idle"  # the next request on a kept connection
    HEAD = "head"  # the rest of a header block; a new connection's first request
    BODY = "body"  # the rest of a short body
    BUSY = "busy"  # our answer
    CLOSING = "closing"  # the other side's end, so that our last answer is not cut off (RFC 9112, section 9.6)


class Reader(unreader.SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """Where the parser reads: from what the poller collected, and beyond it, for long bodies, from the socket.

    Only the latter waits for the sender: in one of few slots, ``patience`` seconds in all, and within the bytes that
    the process may hold. Raises ``Overloaded`` or ``UnreadableRequest``; neither is ever a short read.
    """

    def __init__(self, sock: socket.socket, in_flight: InFlight, slots: Slots, patience: float) -> None:
        super().__init__(sock)
        self._patience = patience
        self._in_flight = in_flight
        self._slots = slots
        self._deadline = 0.0  # of the body, once a slot is held
        self._held = 0
        self.whole = False  # the request was complete before the parser saw it
        self.continue_due = False  # the sender waits for 100 Continue before it sends the body

    def begin(self, arrival: Arrival) -> None:
        """Start a request with what has been collected of it."""
        self.buf = io.BytesIO(arrival.received)
        self.whole = arrival.whole
        self._held = len(arrival.received)
        self.continue_due = False

    def begin_read(self, size: int, surplus: bytes) -> None:
        """Start a request that has been read already, out of ``size`` collected bytes; the last are its surplus."""
        self.buf = io.BytesIO(surplus)
        self._held = size

    def end(self) -> bytes:
        """Let go of slot and bytes; what was received beyond the request comes back."""
        self.let_go()
        return self._surplus()

    def let_go(self) -> None:
        """Of slot and bytes."""
        self.stop_waiting()
        self._in_flight.give(self._held)
        self._held = 0

    def stop_waiting(self) -> None:
        """The body is read, or given up: somebody else may wait."""
        if self._deadline:
            self._deadline = 0.0
            self._slots.give()

    def _surplus(self) -> bytes:
        rest: bytes = self.take_buffered()
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():  # decrypted already: a poller cannot see it
            rest += self.sock.recv(self.sock.pending())
        return rest

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Wait for more of the body."""
        if not self._deadline:
            self._start_waiting()
        self.sock.settimeout(max(self._deadline - time.monotonic(), 0.001))  # 0 would mean: do not wait
        try:
            data: bytes = super().chunk(size_hint)
        except TimeoutError:
            raise UnreadableRequest("the body did not arrive in time", reason="too_slow", status=408) from None
        if not self._in_flight.take(len(data)):
            raise Overloaded("too many bytes in flight")
        self._held += len(data)
        return data

    def _start_waiting(self) -> None:
        if not self._slots.take():
            raise Overloaded("too many long bodies at a time")
        self._deadline = time.monotonic() + self._patience
        if self.continue_due:
            self.sock.sendall(CONTINUE)


class Body(body.Body):  # type: ignore[misc]
    """A request's body; what goes wrong with it has one name."""

    def __init__(self, framed: body.LengthReader | body.ChunkedReader, source: Reader) -> None:
        super().__init__(framed)
        self._source = source

    def read(self, size: int | None = None) -> bytes:
        try:
            data: bytes = super().read(size)
        except (OSError, errors.ParseException) as error:
            detail = f"the body broke off or is framed badly ({type(error).__name__})"
            raise UnreadableRequest(detail, reason="broken_body", status=400) from error
        finally:
            if self.ended or self.failed:
                self._source.stop_waiting()
        return data

    @property
    def ended(self) -> bool:
        """Was the body read from the connection to its last byte?"""
        if isinstance(self.reader, body.ChunkedReader):
            return self.reader.parser is None
        return bool(self.reader.length == 0)


class Request(message.Request):  # type: ignore[misc]
    """A parsed header block and its body. 100 Continue is sent when the body is first asked for, not before: a
    sender who will be refused is not invited to send."""

    body: Body
    _expected_100_continue: bool

    def set_body_reader(self) -> None:
        super().set_body_reader()
        self.body = Body(self.body.reader, self.unreader)
        self.unreader.continue_due = self._expected_100_continue
        self._expected_100_continue = False

    def should_close(self) -> bool:
        """An answer given before a long body was read is the last one: nobody waits for the rest of it."""
        return super().should_close() or not (self.unreader.whole or self.body.ended)


class Parser(parser.RequestParser):  # type: ignore[misc]
    """Takes requests off one connection."""

    mesg_class = Request

    def __init__(self, cfg: object, reader: Reader, client: Address) -> None:
        super().__init__(cfg, reader.sock, client)
        self.unreader = reader


class Promise(NamedTuple):
    """An answer to come, and what it will be sent with."""

    deferral: Deferral
    response: Response
    start_response: Callable[..., object]

    def make(self) -> Answer:
        assert self.deferral.make is not None  # the server is only told when it is there
        return self.deferral.make()


class Connection:
    """A client's connection. ``deadline`` is monotonic and says when its phase has taken too long."""

    __slots__ = (
        "sock",
        "client",
        "server",
        "reader",
        "parser",
        "arrival",
        "phase",
        "deadline",
        "discarded",
        "muted",
        "promise",
        "_common",
        "_is_plain",
    )

    def __init__(self, sock: socket.socket, client: Address, server: Address, reader: Reader, parser: Parser) -> None:
        self.sock = sock
        self.client = client
        self.server = server
        self.reader = reader
        self.parser = parser
        self.arrival = Arrival()
        self.phase = Phase.HEAD
        self.deadline = 0.0
        self.discarded = 0  # bytes thrown away while closing
        self.muted = False  # BUSY, and the poller does not hear it
        self.promise: Promise | None = None  # while BUSY with an answer to come
        self._common: WSGIEnvironment | None = None  # of the environments of its plain requests
        self._is_plain = False  # the request that is answered

    def begin_plain(self, reader: PlainReader) -> Plain | None:
        """Take a plain request off what has arrived. None if it is not plain: then nothing has happened."""
        if not self.arrival.whole:
            return None
        if self._common is None:
            self._common = reader.of_connection(self.client, self.server)
        plain = reader.read(self.arrival.received, self._common)
        if plain is not None:
            self._is_plain = True
            self.reader.begin_read(len(self.arrival.received), plain.surplus)
            self.arrival = Arrival()
        return plain

    def begin_request(self) -> None:
        """Give the parser what has arrived; from here on the connection may wait for its peer, but not for long."""
        self._is_plain = False
        self.reader.begin(self.arrival)
        self.arrival = Arrival()

    def finish_request(self) -> bool:
        """Pass over what nobody has read of the request. True if the next one's start is known."""
        return self._is_plain or bool(self.parser.finish_body())

    def stop_waiting(self) -> None:
        """Nobody waits for the peer from now on, the poller does."""
        if self.sock.gettimeout():
            self.sock.settimeout(0)

    def forget(self) -> int:
        """Throw away what has arrived and not been given to the parser; returns how many bytes."""
        size = len(self.arrival.received)
        self.arrival = Arrival()
        return size

    def abandon(self) -> None:
        """Give up on it because of a bug of ours: it ends now. The poller closes it, which may still hear it."""
        self.reader.let_go()
        self.phase = Phase.CLOSING
        self.deadline = 0.0
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was quicker

    def say_last(self, answer: bytes) -> None:
        """Send an answer without waiting, then say that nothing follows."""
        try:
            self.sock.settimeout(0)
            self.sock.send(answer)
        except OSError:
            pass  # it is gone, or does not read: either way there is nothing more to tell
        self.end_output()

    def left(self) -> bool:
        """Has the other side ended the connection? False where that cannot be seen."""
        poller = select.poll()
        poller.register(self.sock, GONE)
        return bool(poller.poll(0))

    def end_output(self) -> None:
        """Close our direction. The other side is still read, or the kernel would cut off what we said."""
        try:
            self.sock.settimeout(0)
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock.unwrap()
        except OSError:
            pass  # our closing alert is out, theirs is not in yet
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # already closed by the other side

    def close(self) -> None:
        util.close(self.sock)
