"""What codecs of platform APIs share: paths that stay where they belong, refusals in one line."""

from __future__ import annotations

import pytest

from subscriber.errors import PlatformUnavailable
from subscriber.model import DETAIL_CHARS
from subscriber.platforms import api


def test_a_read_carries_its_query_and_a_list_repeats_its_name() -> None:
    request = api.read_request("/inventory/managedObjects/7", {"withParents": "true", "select": ["a b", "c"]})
    assert (request.method, request.body) == ("GET", None)
    assert request.path == "/inventory/managedObjects/7?withParents=true&select=a+b&select=c"


@pytest.mark.parametrize(
    "path",
    ["", "/", "inventory", "//evil.example/x", "/a/../b", "/a/%2e%2e/b", "/a?b=c", "/a#b", "/a b", "/a%2fb/.."],
)
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="platform path"):
        api.read_request(path, {})


def test_a_path_stays_below_its_root() -> None:
    assert api.read_request("/api/x", {}, "/api/").path == "/api/x"
    for path in ("/api/", "/x"):
        with pytest.raises(ValueError, match="/api/"):
            api.read_request(path, {}, "/api/")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]"])
def test_half_an_answer_is_worth_asking_again_and_is_never_quoted(body: bytes) -> None:
    with pytest.raises(PlatformUnavailable) as caught:
        api.parsed_object(body, "the list")
    assert caught.value.reason == "unreadable_answer"
    assert caught.value.__cause__ is None and "html" not in caught.value.detail


def test_a_refusal_names_who_said_what_and_the_likely_cause() -> None:
    error = api.refused("the list", 403, "denied", "role_missing", "grant it")
    assert (error.detail, error.reason) == ("the list answered 403 (denied); grant it", "role_missing")
    assert error.upstream_status == 403


def test_a_stranger_s_text_is_one_bounded_printable_line() -> None:
    text = api.one_line("a\x1b[2J\nb" + "c" * 10_000)
    assert text.isprintable() and len(text) <= DETAIL_CHARS
