"""Requests that two readers may understand differently, byte by byte (RFC 9112, sections 2 to 7 and 11).

In each, one reading finds a second request inside the body of the first. Refused: one error and the connection's end.
Taken: read as the standard says, and by no other reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from proof.front import PATH

HIDDEN = "smuggled"  # the asset that no reading may admit
CHUNKED = "Transfer-Encoding: chunked"
END = b"0\r\n\r\n"
LONG = 10**30
LIMIT = 10_485_760  # MAX_BODY_BYTES as it is shipped


class Case(NamedTuple):
    """``taken``: the standard lets it through; a stricter server may refuse it all the same."""

    name: str
    sent: bytes
    taken: bool = False


# Contradicting or odd framing: fields of a request whose body is END and the hidden request.
FRAMINGS = (
    ("length and chunks", ("Content-Length: {all}", CHUNKED)),
    ("chunks and length", (CHUNKED, "Content-Length: {all}")),
    ("a short length and chunks", ("Content-Length: 5", CHUNKED)),
    ("an unknown coding before chunks", ("Transfer-Encoding: xchunked",)),
    ("chunks that are not last", ("Transfer-Encoding: chunked, identity",)),
    ("identity, then chunks", ("Content-Length: 5", "Transfer-Encoding: identity, chunked")),
    ("two codings", (CHUNKED, "Transfer-Encoding: identity")),
    ("chunks twice", (CHUNKED, CHUNKED, "Content-Length: 5")),
    ("a blank before the colon", ("Content-Length: {all}", "Transfer-Encoding : chunked")),
    ("a vertical tab before chunks", ("Content-Length: {all}", "Transfer-Encoding: \x0bchunked")),
    ("a coding in quotes", ("Content-Length: {all}", 'Transfer-Encoding: "chunked"')),
    ("a folded coding", ("Content-Length: {all}", "Transfer-Encoding:\r\n chunked")),
    ("a fold before the coding", ("Content-Length: {all}", "X-A: b\r\n Transfer-Encoding: chunked")),
    ("a bare CR before the coding", ("Content-Length: {all}", "X-A: b\rTransfer-Encoding: chunked")),
    ("a bare LF before the coding", ("Content-Length: {all}", "X-A: b\nTransfer-Encoding: chunked")),
    ("NUL in a field", ("Content-Length: {all}", "X-A: b\0c")),
    ("an unknown transfer", ("Transfer-Encoding: rot13, chunked",)),
    ("two lengths", ("Content-Length: 5", "Content-Length: {all}")),
    ("two equal lengths", ("Content-Length: 5", "Content-Length: 5")),
    ("a list of lengths", ("Content-Length: 5, {all}",)),
    ("a list of equal lengths", ("Content-Length: 5, 5",)),
    ("a signed length", ("Content-Length: +5",)),
    ("a negative length", ("Content-Length: -5",)),
    ("a length with a blank", ("Content-Length: 5 5",)),
    ("a length with an underscore", ("Content-Length: 1_0",)),
    ("a length in hex", ("Content-Length: 0x5",)),
    ("a length in other digits", ("Content-Length: \u0665",)),
    ("an empty length", ("Content-Length:",)),
    ("a length beyond all limits", (f"Content-Length: {LONG}",)),
    ("a folded length", ("Content-Length:\r\n 5",)),
    ("a field without a name", (": x", "Content-Length: 5")),
    ("a field without a colon", ("nonsense", "Content-Length: 5")),
    ("a blank in a field's name", ("Content Length: 5",)),
    ("a fold at the start", (" X-A: b", "Content-Length: 5")),
)
# What a chunked body may look like: its bytes, and whether the standard allows them.
CHUNKS = (
    ("an extension", b"5;a=b\r\n{all}\r\n0\r\n\r\n", True),
    ("an extension in quotes", b'5;a="b;c"\r\n{all}\r\n0\r\n\r\n', True),
    ("leading zeros", b"0005\r\n{all}\r\n0\r\n\r\n", True),
    ("a bare LF behind a size", b"5\n{all}\r\n0\r\n\r\n", False),
    ("a bare LF in an extension", b"5;a\nb\r\n{all}\r\n0\r\n\r\n", False),
    ("a bare CR in an extension", b"5;a\rb\r\n{all}\r\n0\r\n\r\n", False),
    ("a size in hex notation", b"0x5\r\n{all}\r\n0\r\n\r\n", False),
    ("a signed size", b"+5\r\n{all}\r\n0\r\n\r\n", False),
    ("a negative size", b"-5\r\n{all}\r\n0\r\n\r\n", False),
    ("an underscore in a size", b"0_5\r\n{all}\r\n0\r\n\r\n", False),
    ("a blank before a size", b" 5\r\n{all}\r\n0\r\n\r\n", False),
    ("no size", b"\r\n{all}\r\n0\r\n\r\n", False),
    ("a size beyond all limits", b"ffffffffffffffffffff\r\n" + b" " * (LIMIT + 4096) + b"{all}\r\n0\r\n\r\n", False),
    ("a chunk longer than it says", b"5\r\n{all}more\r\n0\r\n\r\n", False),
    ("a chunk without its end", b"5\r\n{all}0\r\n\r\n", False),
    ("a bare LF behind a chunk", b"5\r\n{all}\n0\r\n\r\n", False),
    ("a long extension", b"5;" + b"a" * 100_000 + b"\r\n{all}\r\n0\r\n\r\n", True),
    ("an endless extension", b"5;" + b"a" * 4 * LIMIT, False),
)
LINES = (
    ("no version", "POST {path}"),
    ("a version nobody speaks", "POST {path} HTTP/9.9"),
    ("a version of three parts", "POST {path} HTTP/1.1.1"),
    ("a tab between", "POST\t{path}\tHTTP/1.1"),
    ("a blank at the end", "POST {path} HTTP/1.1 "),
    ("a blank in the path", "POST {path} x HTTP/1.1"),
    ("a method in lower case", "post {path} HTTP/1.1"),
    ("a method with a colon", "PO:ST {path} HTTP/1.1"),
    ("NUL in the path", "POST {path}\0 HTTP/1.1"),
    ("an address that is none", "POST http://[ HTTP/1.1"),
    ("line ends in the path", "POST {path}%0d%0aX: y HTTP/1.1"),
    ("the older version with chunks", "POST {path} HTTP/1.0"),
    ("a tunnel", "CONNECT {path} HTTP/1.1"),
    ("an upgrade", "PRI * HTTP/2.0"),
)


def cases(authorization: str, hidden: bytes) -> Iterator[Case]:
    """``hidden``: a whole request that would be accepted if it were found."""
    line = f"POST {PATH} HTTP/1.1"
    for name, fields in FRAMINGS:
        content = END + hidden
        yield Case(
            name, _request(line, authorization, *(f.replace("{all}", str(len(content))) for f in fields)) + content
        )
    for name, chunks, taken in CHUNKS:
        yield Case(
            f"chunks: {name}", _request(line, authorization, CHUNKED) + chunks.replace(b"{all}", b"[1,2]"), taken
        )
    for name, wanted in LINES:
        yield Case(f"first line: {name}", _request(wanted.format(path=PATH), authorization, CHUNKED) + END + hidden)
    address = f"POST http://elsewhere.example{PATH} HTTP/1.1"
    yield Case("first line: another host's address", _request(address, authorization, CHUNKED) + END, taken=True)
    # The coding is not undone: what came is kept as it is, as a dead letter, and nothing is read behind it.
    compressed = _request(line, authorization, "Transfer-Encoding: gzip, chunked")
    yield Case("a compressed transfer", compressed + END + hidden, taken=True)


def _request(line: str, *fields: str) -> bytes:
    return "\r\n".join([line, "Host: here", *fields]).encode() + b"\r\n\r\n"
