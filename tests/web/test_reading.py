"""Reading a body whole or not at all. Over the real server: test_server.py."""

from __future__ import annotations

from io import BytesIO

import pytest
from flask import Request

from subscriber.errors import RefusedDelivery, UnreadableRequest
from subscriber.web.reading import HeaderFields, read_body


def request(body: bytes, *, declared: int | None = None, **headers: str) -> Request:
    """A request as the server hands it on; ``declared`` None: chunked."""
    environ: dict[str, object] = {
        "REQUEST_METHOD": "POST",
        "wsgi.input": BytesIO(body),
        "wsgi.input_terminated": True,
    }
    if declared is None:
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    else:
        environ["CONTENT_LENGTH"] = str(declared)
    return Request(environ | {f"HTTP_{name.upper()}": value for name, value in headers.items()})


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"x" * 100])
def test_a_body_up_to_the_limit_is_returned_byte_for_byte(body: bytes) -> None:
    assert read_body(request(body, declared=len(body)), 100) == body
    assert read_body(request(body), 100) == body


def test_a_body_declared_too_large_is_refused_unread() -> None:
    refused = request(b"x" * 101, declared=101)
    with pytest.raises(RefusedDelivery) as refusal:
        read_body(refused, 100)
    assert (refusal.value.status, refusal.value.reason) == (413, "too_large")
    assert refused.environ["wsgi.input"].tell() == 0


def test_a_chunked_body_that_turns_out_too_large_is_refused_and_not_cut() -> None:
    refused = request(b"x" * 100_000)
    with pytest.raises(RefusedDelivery) as refusal:
        read_body(refused, 100)
    assert (refusal.value.status, refusal.value.reason) == (413, "too_large")
    assert refused.environ["wsgi.input"].tell() == 101  # and no more was read than needed to know


def test_a_body_shorter_than_declared_is_no_delivery() -> None:
    with pytest.raises(UnreadableRequest) as refusal:
        read_body(request(b"half", declared=8), 100)
    assert (refusal.value.status, refusal.value.reason) == (400, "broken_body")


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, identity", "x"])
def test_an_encoded_body_is_refused_unread(encoding: str) -> None:
    refused = request(b"body", declared=4, content_encoding=encoding)
    with pytest.raises(RefusedDelivery) as refusal:
        read_body(refused, 100)
    assert (refusal.value.status, refusal.value.reason) == (415, "encoded")
    assert refused.environ["wsgi.input"].tell() == 0


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_a_body_that_is_not_encoded_may_say_so(encoding: str) -> None:
    assert read_body(request(b"body", declared=4, content_encoding=encoding), 100) == b"body"


def test_a_large_and_encoded_body_is_refused_as_encoded() -> None:
    with pytest.raises(RefusedDelivery) as refusal:
        read_body(request(b"", declared=1000, content_encoding="gzip"), 100)
    assert refusal.value.status == 415


def test_header_fields_are_found_by_their_lower_case_names() -> None:
    sent = request(b"body", declared=4, x_mdsp_topic="t").environ | {"CONTENT_TYPE": "text/plain"}
    fields = HeaderFields(sent)
    assert dict(fields) == {"content-length": "4", "content-type": "text/plain", "x-mdsp-topic": "t"}
    assert (len(fields), fields.get("x-mdsp-topic"), fields.get("request-method")) == (3, "t", None)
