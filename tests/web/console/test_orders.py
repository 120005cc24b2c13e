"""Whose forms are taken, and how fields are read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Request
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from subscriber.errors import Forbidden, RefusedDelivery
from subscriber.model import Tenant
from subscriber.web.console.orders import FORM_BYTES, BadForm, Form, read_form, refuse_cross_site

HOST = "ops.example"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://another.example"},  # a gateway in between renamed us
        {"Origin": f"https://{HOST}"},
    ],
)
def test_a_form_of_our_own_page_is_taken(headers: dict[str, str]) -> None:
    refuse_cross_site(Headers(headers), HOST)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": f"https://{HOST}"},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": f"https://{HOST}.evil.example"},
        {"Origin": f"https://{HOST}:8443"},
    ],
)
def test_any_other_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Forbidden) as refused:
        refuse_cross_site(Headers(headers), HOST)
    assert refused.value.reason == "cross_site"


def request(body: bytes, content_type: str = "application/x-www-form-urlencoded") -> Request:
    return Request(EnvironBuilder(method="POST", data=body, content_type=content_type).get_environ())


def test_a_form_is_read_field_by_field() -> None:
    form = read_form(request(b"tenant=mindsphere%2Fcustaa&reason=&since=2026-03-01T12:00&n=7"))
    assert (form.tenant(), form.text("reason"), form.number("n")) == (Tenant("mindsphere", "custaa"), None, 7)
    assert form.moment("since") == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert form.moment("until") is None


@pytest.mark.parametrize("text", ["2026-03-01T12:00:00Z", "2026-03-01T13:00:00+01:00", "2026-03-01 12:00"])
def test_times_are_utc_unless_they_say_otherwise(text: str) -> None:
    assert Form({"at": text}).moment("at") == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value"),
    [("tenant", "/x"), ("tenant", "pelion/"), ("moment", "yesterday"), ("moment", "9999-12-31T23:59-23:00")]
    + [("number", value) for value in ("-1", "1.5", "x", "9" * 19, "²")],
)
def test_what_cannot_be_read_names_its_field(name: str, value: str) -> None:
    form = Form({name: value})
    read = {"tenant": form.tenant, "moment": lambda: form.moment(name), "number": lambda: form.number(name)}[name]
    with pytest.raises(BadForm, match=name):
        read()


def test_a_missing_field_is_named() -> None:
    with pytest.raises(BadForm, match="kind is missing"):
        Form({"kind": ""}).required("kind")


@pytest.mark.parametrize("body", [b"a=%ff", "a=ä".encode(), b"&".join(b"a%d=1" % n for n in range(40))])
def test_a_body_that_is_no_plain_form_is_refused(body: bytes) -> None:
    with pytest.raises(BadForm):
        read_form(request(body))


def test_only_forms_are_read_and_only_short_ones() -> None:
    with pytest.raises(BadForm, match="send it as"):
        read_form(request(b"{}", "application/json"))
    with pytest.raises(RefusedDelivery):
        read_form(request(b"a=" + b"x" * FORM_BYTES))
