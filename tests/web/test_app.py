"""The application as a whole: routes, one error shape, strict headers; and the entry point under its real server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import BadRequest

import migrations
from subscriber.errors import Forbidden, InvalidToken, Overloaded, SubscriberError
from subscriber.services import build
from subscriber.settings import Settings
from subscriber.store import open_store
from subscriber.web import answer_alike, create_app
from subscriber.web.answers import STRICT_HEADERS
from tests.web.serving import Server, get, post, serving

MINDSPHERE = {
    "MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-v1.4.2",
    "MDSP_KEY_STORE_CLIENT_SECRET": "secret",
    "MDSP_OS_VM_APP_NAME": "alarmapi",
    "MDSP_OS_VM_APP_VERSION": "v1.4.2",
}


@pytest.fixture
def web(tmp_path: Path) -> Iterator[FlaskClient]:
    settings = Settings.from_environ({"DATABASE_URL": f"sqlite:///{tmp_path}/inbox.db"})
    migrations.apply(settings.database_url)
    services = build(settings)
    yield create_app(services).test_client()
    services.store.close()


def raising(error: Exception) -> FlaskClient:
    app = Flask("raising")
    answer_alike(app)

    @app.get("/")
    def fail() -> str:
        raise error

    return app.test_client()


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_the_service_answers_for_itself(web: FlaskClient, path: str) -> None:
    assert web.get(path).status_code == 200


def test_credentials_that_end_soon_make_it_yellow_while_it_goes_on(tmp_path: Path) -> None:
    settings = Settings.from_environ({"DATABASE_URL": f"sqlite:///{tmp_path}/inbox.db", **MINDSPHERE})
    migrations.apply(settings.database_url)
    last_year = open_store(settings.database_url, clock=lambda: datetime.now(UTC) - timedelta(days=336))
    last_year.registry.see_credentials("acmeop-alarmapi-v1.4.2")
    last_year.close()
    services = build(settings)
    web = create_app(services).test_client()
    health = web.get("/health")
    assert health.json and (health.status_code, health.json["healthStatus"]) == (200, "yellow")
    assert web.get("/ready").status_code == 200
    assert "subscriber_credentials_age_days 336.0" in web.get("/metrics").text
    services.store.close()


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [("GET", "/nowhere", 404, "not_found"), ("DELETE", "/health", 405, "method_not_allowed")],
)
def test_what_does_not_exist_is_refused_in_the_one_shape(
    web: FlaskClient, method: str, path: str, status: int, reason: str
) -> None:
    answer = web.open(path, method=method)
    assert answer.status_code == status
    assert answer.json == {"error": {"reason": reason, "detail": ""}}


def test_a_refused_method_is_told_the_right_ones(web: FlaskClient) -> None:
    assert "GET" in web.delete("/health").headers["Allow"]


@pytest.mark.parametrize("path", ["/health", "/nowhere"])
def test_every_answer_carries_the_strict_headers(web: FlaskClient, path: str) -> None:
    headers = web.get(path).headers
    assert {name: headers[name] for name in STRICT_HEADERS} == STRICT_HEADERS


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (InvalidToken("expired", reason="expired"), 401, None),
        (Forbidden("not yours"), 403, None),
        (Overloaded("too much"), 503, "2"),
    ],
)
def test_our_errors_become_their_status(error: SubscriberError, status: int, retry_after: str | None) -> None:
    answer = raising(error).get("/")
    assert answer.status_code == status
    assert answer.json == {"error": {"reason": error.reason, "detail": error.detail}}
    assert answer.headers.get("Retry-After") == retry_after
    assert answer.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)


def test_a_bug_is_logged_and_shown_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = raising(RuntimeError("the secret is 42")).get("/")
    assert (answer.status_code, answer.json) == (500, {"error": {"reason": "internal", "detail": ""}})
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_what_the_framework_says_about_a_request_is_not_passed_on() -> None:
    answer = raising(BadRequest("<script>")).get("/")
    assert (answer.status_code, answer.json) == (400, {"error": {"reason": "bad_request", "detail": ""}})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The product as it is deployed."""
    folder = tmp_path_factory.mktemp("app")
    with serving(folder, app="app:app", METRICS_TOKEN="secret", **MINDSPHERE) as running:
        yield running


def test_the_deployed_service_is_healthy_and_ready(server: Server) -> None:
    assert b'"green"' in server.ask(get("/health")).body
    assert server.ask(get("/ready")).status == 200


def test_the_deployed_service_shows_metrics_of_all_its_processes_to_who_may_see_them(server: Server) -> None:
    assert server.ask(get("/metrics")).status == 401
    answer = server.ask(get("/metrics", "Authorization: Bearer secret"))
    assert answer.status == 200
    assert b"subscriber_accept_seconds_count" in answer.body


def test_a_stranger_delivers_nothing(server: Server) -> None:
    assert server.ask(post("/notifications/mindsphere", b"{}")).status == 401


@pytest.mark.parametrize("path", ["/api/notifications", "/api/stream", "/api/openapi.json", "/api/asyncapi.json"])
def test_where_nobody_s_tokens_are_known_there_is_no_api(web: FlaskClient, path: str) -> None:
    assert web.get(path).status_code == 404


@pytest.mark.parametrize("prefix", ["", "/api/alarmapi-acmeop/v1"])
@pytest.mark.parametrize("path", ["notifications", "notifications/a/b/00", "stream", "openapi.json", "asyncapi.json"])
def test_the_api_wants_a_token_for_everything_also_below_the_gateway_s_prefix(
    tmp_path: Path, prefix: str, path: str
) -> None:
    settings = Settings.from_environ({"DATABASE_URL": f"sqlite:///{tmp_path}/inbox.db", **MINDSPHERE})
    migrations.apply(settings.database_url)
    services = build(settings)
    answer = create_app(services).test_client().get(f"{prefix}/api/{path}")
    services.store.close()
    assert answer.json and (answer.status_code, answer.json["error"]["reason"]) == (401, "missing")
