"""Health, readiness, metrics."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

import migrations
from subscriber.errors import StoreUnavailable
from subscriber.metrics import Metrics
from subscriber.store import Store, open_store
from subscriber.web import answer_alike, ops
from subscriber.web.ops import REMEMBER_SECONDS, YELLOW, Check, Diagnosis
from tests.signing import SetClock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path}/inbox.db"
    migrations.apply(url)
    opened = open_store(url)
    yield opened
    opened.close()


def client(store: Store, *checks: Check, metrics_token: str = "") -> FlaskClient:
    app = Flask("ops")
    answer_alike(app)
    app.register_blueprint(ops.blueprint(store, Metrics(), metrics_token, checks))
    return app.test_client()


def failing(name: str, *, local: bool = True, grade: str = ops.RED) -> Check:
    def probe() -> None:
        raise StoreUnavailable("/secret/path is full")

    return Check(name, probe, local=local, grade=grade)


@pytest.mark.parametrize("path", ["/health", "/health/"])
def test_a_sound_service_is_green(store: Store, path: str) -> None:
    answer = client(store).get(path)
    assert answer.status_code == 200
    assert answer.json and answer.json["healthStatus"] == "green"
    assert abs((datetime.fromisoformat(answer.json["time"]) - datetime.now(UTC)).total_seconds()) < 60


def test_health_is_as_bad_as_its_worst_check_and_still_answers_200(store: Store) -> None:
    degraded = client(store, failing("disk", grade=YELLOW)).get("/health")
    broken = client(store, failing("disk", grade=YELLOW), failing("more")).get("/health")
    assert degraded.json and broken.json
    assert [degraded.json["healthStatus"], broken.json["healthStatus"]] == ["yellow", "red"]
    assert broken.status_code == 200


def test_what_needs_the_network_is_asked_for_readiness_and_never_for_health(store: Store) -> None:
    asked: list[str] = []
    web = client(store, Check("keys", lambda: asked.append("keys"), local=False))
    web.get("/health")
    assert asked == []
    web.get("/ready")
    assert asked == ["keys"]


def test_a_warning_turns_no_delivery_away(store: Store) -> None:
    assert client(store, failing("credentials", grade=YELLOW)).get("/ready").status_code == 200


def test_a_sound_service_is_ready(store: Store) -> None:
    assert client(store).get("/ready").status_code == 200


def test_a_service_that_is_not_ready_names_the_check_and_nothing_more(store: Store) -> None:
    answer = client(store, failing("keys", local=False)).get("/ready")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json == {"error": {"reason": "not_ready", "detail": "keys: store_unavailable"}}


def test_a_store_that_cannot_keep_anything_makes_it_red_and_not_ready(store: Store, tmp_path: Path) -> None:
    for file in tmp_path.glob("inbox.db*"):
        file.unlink()
    web = client(store)
    assert web.get("/health").json["healthStatus"] == "red"  # type: ignore[index]
    assert web.get("/ready").status_code == 503


def test_checks_are_remembered_for_a_moment() -> None:
    asked: list[int] = []
    clock = SetClock(100.0)
    diagnosis = Diagnosis([Check("counted", lambda: asked.append(1))], clock)
    for _ in range(3):
        diagnosis.failed()
    assert len(asked) == 1
    clock.advance(REMEMBER_SECONDS)
    diagnosis.failed()
    assert len(asked) == 2


def test_while_one_caller_checks_the_others_get_what_is_remembered() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def probe() -> None:
        inside.set()
        assert go_on.wait(10)

    diagnosis = Diagnosis([Check("slow", probe)])
    checking = threading.Thread(target=diagnosis.failed)
    checking.start()
    assert inside.wait(10)
    assert diagnosis.failed() == []
    go_on.set()
    checking.join(10)


def test_metrics_are_shown_as_text(store: Store) -> None:
    answer = client(store).get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    assert "subscriber_oldest_pending_seconds 0.0" in answer.text


@pytest.mark.parametrize(("header", "status"), [("Bearer secret", 200), ("Bearer wrong", 401), (None, 401)])
def test_metrics_demand_their_token(store: Store, header: str | None, status: int) -> None:
    headers = {"Authorization": header} if header else {}
    answer = client(store, metrics_token="secret").get("/metrics", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.json and answer.json["error"]["reason"] == "metrics_token"
        assert answer.headers["WWW-Authenticate"] == "Bearer"
