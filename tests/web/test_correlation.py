"""Log lines tell which request they belong to."""

from __future__ import annotations

import logging
from wsgiref.types import WSGIEnvironment

import pytest

from subscriber.logs import Line
from subscriber.web.correlation import Answering, OfRequest, correlation_id


def environ(headers: dict[str, str]) -> WSGIEnvironment:
    return {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}


def written(caplog: pytest.LogCaptureFixture, headers: dict[str, str]) -> str:
    """The line that a request with these headers leads to."""
    caplog.handler.addFilter(OfRequest())
    with Answering(environ(headers)):
        logging.getLogger("subscriber.web").warning("refused", extra={"action": "refuse"})
    return Line().format(caplog.records[-1])


@pytest.mark.parametrize("name", ["X-Correlation-ID", "X-Request-ID", "X-Vcap-Request-Id"])
def test_a_line_names_the_request_by_the_id_that_came_with_it(name: str, caplog: pytest.LogCaptureFixture) -> None:
    line = written(caplog, {name: "5f0c2d4e-6a8b-4c1d-9e7f-0a1b2c3d4e5f"})
    assert line.endswith("refused action=refuse request=5f0c2d4e-6a8b-4c1d-9e7f-0a1b2c3d4e5f")


@pytest.mark.parametrize("given", ["", "a b", "a=b", "x" * 65, "<script>", "\u00e4"])
def test_what_is_no_id_is_left_out(given: str, caplog: pytest.LogCaptureFixture) -> None:
    assert written(caplog, {"X-Correlation-ID": given}).endswith("refused action=refuse")


def test_the_platform_s_own_id_comes_first() -> None:
    with Answering(environ({"X-Vcap-Request-Id": "routers", "X-Correlation-ID": "gateways"})):
        assert correlation_id() == "gateways"


def test_a_request_is_over_when_it_is_answered() -> None:
    with Answering(environ({"X-Request-ID": "outer"})), Answering(environ({"X-Request-ID": "inner"})):
        assert correlation_id() == "inner"
    assert correlation_id() == ""


def test_lines_without_a_request_stay_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(OfRequest())
    logging.getLogger("subscriber.web").warning("serving", extra={"action": "serve"})
    assert Line().format(caplog.records[-1]).endswith("serving action=serve")
