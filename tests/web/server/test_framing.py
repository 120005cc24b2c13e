"""When a request has arrived."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.web.server.framing import COLLECTED_BODY_BYTES, HEAD_BYTES, Arrival, Progress
from tests.web.serving import chunked, get, head, post

CHUNKED = head("POST", "/", "Transfer-Encoding: chunked")
WHOLE = [
    get("/"),
    post("/", b""),
    post("/", b"body"),
    post("/", b"x" * COLLECTED_BODY_BYTES),
    head("POST", "/", "content-LENGTH:4") + b"body",
    CHUNKED + chunked(),
    CHUNKED + chunked(b"one", b"\r\n0\r\n\r\n", b"three"),
    CHUNKED + b"3;name=value\r\none\r\n0\r\nTrailer: here\r\n\r\n",
]
LEFT_TO_THE_THREAD = [
    head("POST", "/", f"Content-Length: {COLLECTED_BODY_BYTES + 1}"),
    head("POST", "/", "Content-Length: 4", "Expect: 100-continue"),
    head("POST", "/", "Content-Length: 4", "Content-Length: 5"),
    head("POST", "/", "Content-Length: 4", "Transfer-Encoding: chunked"),
    head("POST", "/", "Content-Length: -4"),
    head("POST", "/", "Content-Length: " + "9" * 20),
    head("POST", "/", "Transfer-Encoding: gzip, chunked"),
    CHUNKED + b"five\r\n",
    CHUNKED + b"-1\r\n",
]


def arrive(*pieces: bytes) -> tuple[list[Progress], Arrival]:
    arrival = Arrival()
    return [arrival.feed(piece) for piece in pieces], arrival


@pytest.mark.parametrize("request_bytes", WHOLE)
def test_a_whole_request_is_ready_and_not_a_byte_before(request_bytes: bytes) -> None:
    progress, arrival = arrive(request_bytes[:-1], request_bytes[-1:])
    assert progress[0] in (Progress.HEAD, Progress.BODY)
    assert progress[1] is Progress.READY
    assert arrival.whole


@pytest.mark.parametrize("request_bytes", LEFT_TO_THE_THREAD)
def test_what_is_long_or_odd_is_left_to_the_thread_at_once(request_bytes: bytes) -> None:
    progress, arrival = arrive(request_bytes)
    assert progress == [Progress.READY]
    assert not arrival.whole


def test_a_chunked_body_that_grows_long_is_left_to_the_thread() -> None:
    progress, arrival = arrive(CHUNKED, b"ffffff\r\n", b"x" * COLLECTED_BODY_BYTES)
    assert progress == [Progress.BODY, Progress.BODY, Progress.READY]
    assert not arrival.whole


def test_the_start_of_the_next_request_stays_behind_the_first() -> None:
    progress, arrival = arrive(post("/", b"body") + get("/next")[:9])
    assert progress == [Progress.READY]
    assert arrival.whole and arrival.received.endswith(b"GET /next")


@pytest.mark.parametrize("ending", [b"", b"\r\n\r\n"])
def test_a_header_block_has_a_limit(ending: bytes) -> None:
    progress, _ = arrive(b"GET / HTTP/1.1\r\n" + b"x" * HEAD_BYTES + ending)
    assert progress == [Progress.OVERSIZED]


def test_a_field_that_only_looks_like_framing_is_none() -> None:
    progress, arrival = arrive(head("POST", "/", "X-Content-Length: 4", "X: content-length: 5"))
    assert progress == [Progress.READY]
    assert arrival.whole


@given(st.sampled_from([request for request in WHOLE if len(request) < 1000]), st.data())
def test_how_a_request_is_cut_into_packets_does_not_matter(request_bytes: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(request_bytes) - 1), max_size=8)))
    edges = [0, *cuts, len(request_bytes)]
    progress, arrival = arrive(*(request_bytes[start:end] for start, end in zip(edges, edges[1:], strict=False)))
    assert progress[-1] is Progress.READY
    assert all(step in (Progress.HEAD, Progress.BODY) for step in progress[:-1])
    assert arrival.received == request_bytes


@given(st.binary(max_size=300))
def test_no_bytes_are_too_strange(garbage: bytes) -> None:
    for prefix in (b"", CHUNKED):
        progress, _ = arrive(prefix + garbage)
        assert progress[0] in Progress
