"""Plain requests: what is one, and that it means what gunicorn's parser says it means."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from hypothesis import given
from hypothesis import strategies as st

from subscriber.web.server.plain import Plain, PlainReader
from tests.web.serving import get, head, post

CLIENT, SERVER = ("192.0.2.7", 40123), ("127.0.0.1", 8080)
# What our configuration has no use for, and what is an object of its own in each request.
OTHERWISE = {
    "gunicorn.socket",
    "wsgi.early_hints",
    "wsgi.errors",
    "wsgi.file_wrapper",
    "wsgi.multithread",
    "wsgi.input",
}


def configuration() -> Config:
    """As ``gunicorn.conf.py`` has it."""
    cfg = Config()
    cfg.set("limit_request_field_size", 16 * 1024)
    cfg.set("forwarded_allow_ips", "")
    cfg.set("secure_scheme_headers", {})
    cfg.set("forwarder_headers", "")
    return cfg


CFG = configuration()
READER = PlainReader(CFG)


def plain(data: bytes) -> Plain | None:
    return READER.read(data, READER.of_connection(CLIENT, SERVER))


def as_gunicorn_reads_it(data: bytes) -> dict[str, Any] | None:
    """The environment of the first request, its body beside it; None if it is refused."""
    try:
        request = next(RequestParser(CFG, iter([data]), CLIENT))
        ours, theirs = socket.socketpair()
        with ours, theirs:
            _, environ = wsgi.create(request, ours, CLIENT, SERVER, CFG)
        assert not request.should_close()
        return {**environ, "body": request.body.read(), "headers": request.headers}
    except (ParseException, StopIteration):
        return None


def same(data: bytes) -> bool:
    """Is it plain? Then gunicorn reads the same, and no request that it refuses is."""
    found = plain(data)
    if found is None:
        return False
    theirs = as_gunicorn_reads_it(data)
    assert theirs is not None, data
    body = found.environ["wsgi.input"].read()
    ours = {name: value for name, value in found.environ.items() if name not in OTHERWISE}
    assert ours | {"body": body, "headers": found.headers} == {
        name: value for name, value in theirs.items() if name not in OTHERWISE
    }
    assert found.environ["wsgi.multithread"] is True
    return True


@pytest.mark.parametrize(
    "data",
    [
        get("/"),
        get("/health?verbose=%20yes&x=[1]"),
        get("/path;v=1/a:b/@~!$&'()*+,=._-"),
        post(
            "/notifications/mindsphere", b'{"a": 1}', "Authorization: Bearer a.b.c", "Content-Type: application/json"
        ),
        post("/", b"", "X-Empty:", "X-Blank: \t ", "x-lower:no blank", "X-Latin: \u00e4"),
        get("/", "Connection: Keep-Alive"),
        head("DELETE", "/x"),
        head("PUT", "/x", "Content-Length: 007") + b"1234567",
        b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n",
    ],
)
def test_a_plain_request_means_what_gunicorn_says(data: bytes) -> None:
    assert same(data)


@pytest.mark.parametrize(
    "data",
    [
        head("POST", "/", "Content-Length: 5") + b"four",
        head("POST", "/", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head("POST", "/", "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head("POST", "/", "Content-Length: 4", "Content-Length: 4") + b"body",
        head("POST", "/", "Content-Length: 4", "content-length: 5") + b"body",
        head("POST", "/", "Content-Length: +4") + b"body",
        head("POST", "/", "Content-Length: \u00b2") + b"body",
        head("POST", "/", "Content-Length: 4, 4") + b"body",
        head("POST", "/", "Content-Length: " + "9" * 5000) + b"body",
        head("POST", "/", "Content-Length: 4", "Expect: 100-continue") + b"body",
        get("/", "Connection: close"),
        get("/", "Connection: Upgrade", "Upgrade: h2c"),
        get("/", "Host: there"),
        get("/", "X-Forwarded-For: a", "X-Forwarded-For: b"),
        get("/", "X_Forwarded_For: a"),
        get("/", "Na me: x"),
        get("/", "Name : x"),
        get("/", ": x"),
        get("/", "no colon"),
        get("/", "X: 1", " folded"),
        get("/", "X: a\x00b"),
        get("/", "X: a\nY: b"),
        get("/", "X: a\rY: b"),
        get("/%2e%2e/"),
        get("//there/path"),
        get("/a#b"),
        get("/a?b#c"),
        get("/\u00e4"),
        get("*"),
        get("http://there/path"),
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.10\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"get / HTTP/1.1\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: here\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\n",
        b"\r\n\r\n",
        b"",
        head("HEAD", "/"),
        head("OPTIONS", "/"),
        get("/" + "x" * 4090),
        get("/", *[f"X-{number}: x" for number in range(100)]),
        get("/", "X-Long: " + "x" * 17_000),
    ],
)
def test_everything_else_is_gunicorn_s_to_read_and_to_refuse(data: bytes) -> None:
    assert plain(data) is None


def test_what_follows_a_plain_request_is_left_over() -> None:
    found = plain(post("/", b"body") + get("/next"))
    assert found and found.surplus == get("/next") and found.environ["wsgi.input"].read() == b"body"


def test_a_plain_request_leaves_its_connection_open() -> None:
    found = plain(get("/"))
    assert found and not found.should_close() and found.version == (1, 1)


PIECES = st.sampled_from(
    [
        *[
            "GET",
            "POST",
            " ",
            "/",
            "//",
            "/a",
            "?",
            "#",
            "%41",
            "HTTP/1.1",
            "\r\n",
            "\r\n\r\n",
            "\n",
            "\r",
            ":",
            ": ",
            "\t",
            ",",
        ],
        *[
            "Host",
            "Content-Length",
            "Content-Type",
            "Transfer-Encoding",
            "Connection",
            "Expect",
            "chunked",
            "close",
            "_",
            "-",
        ],
        *[
            "4",
            "04",
            "body",
            "keep-alive",
            "GET / HTTP/1.1\r\n",
            "POST /x?y HTTP/1.1\r\n",
            "Content-Length: 4\r\n",
            "X: y\r\n",
        ],
        *["\u00e4", "\x00", "\x7f", "\u00a0", "\u0085"],
    ]
)


@given(st.lists(PIECES, max_size=14))
def test_whatever_is_plain_gunicorn_reads_alike(pieces: list[str]) -> None:
    same("".join(pieces).encode("latin-1") + b"\r\n\r\nbody")


@given(
    st.sampled_from(["GET", "POST", "PUT"]),
    st.text("/a;:@?=&%.[]~", max_size=12),
    st.lists(
        st.tuples(st.text("AbX-_'!", min_size=1, max_size=6), st.text(' \tab:,"\u00ff', max_size=6)), max_size=4
    ),
)
def test_well_formed_requests_are_read_alike(method: str, path: str, fields: list[tuple[str, str]]) -> None:
    lines = [f"{method} /{path} HTTP/1.1", "Content-Length: 4", *[f"{name}:{value}" for name, value in fields]]
    same("\r\n".join(lines).encode("latin-1") + b"\r\n\r\nbody")
