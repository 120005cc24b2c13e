"""What the service counts, and who may see it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from subscriber.errors import StoreUnavailable
from subscriber.metrics import MAX_CHILDREN, Metrics, may_read, serve_metrics

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def values(text: bytes) -> Values:
    """(name, labels) → value of every sample."""
    families = text_string_to_metric_families(text.decode())
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for one in families for each in one.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return values(metrics.render())[name, tuple(sorted(labels.items()))]


def test_deliveries_are_counted_by_platform_and_outcome() -> None:
    metrics = Metrics()
    metrics.delivered("mindsphere", "accepted", 0.004)
    metrics.delivered("mindsphere", "accepted", 0.004)
    metrics.delivered("mindsphere", "duplicate", 0.004)
    assert value(metrics, "subscriber_deliveries_total", platform="mindsphere", outcome="accepted") == 2
    assert value(metrics, "subscriber_deliveries_total", platform="mindsphere", outcome="duplicate") == 1
    assert value(metrics, "subscriber_accept_seconds_count") == 3
    assert value(metrics, "subscriber_accept_seconds_bucket", le="0.005") == 3


def test_refusals_are_counted_by_reason() -> None:
    metrics = Metrics()
    metrics.refused("mindsphere", "token")
    assert value(metrics, "subscriber_refused_total", platform="mindsphere", reason="token") == 1


def test_attempts_and_key_fetches_are_counted() -> None:
    metrics = Metrics()
    metrics.on_settled("mindsphere", "done")
    metrics.keys_fetched("failed")
    assert value(metrics, "subscriber_handled_total", platform="mindsphere", outcome="done") == 1
    assert value(metrics, "subscriber_key_fetches_total", outcome="failed") == 1


def test_frames_and_losses_of_channels_are_counted() -> None:
    metrics = Metrics()
    metrics.channel_frames("cumulocity", "new", 250)
    metrics.channel_frames("cumulocity", "new", 3)
    metrics.channel_lost("cumulocity", "broken")
    assert value(metrics, "subscriber_channel_frames_total", platform="cumulocity", outcome="new") == 253
    assert value(metrics, "subscriber_channel_losses_total", platform="cumulocity", reason="broken") == 1


def test_channels_are_shown_by_state_where_they_run_and_only_there() -> None:
    metrics = Metrics()
    assert b"subscriber_channels{" not in metrics.render()
    metrics.watch_channels(lambda: {("cumulocity", "connected"): 1000, ("cumulocity", "waiting"): 2})
    assert value(metrics, "subscriber_channels", platform="cumulocity", state="connected") == 1000
    assert value(metrics, "subscriber_channels", platform="cumulocity", state="waiting") == 2


def test_labels_cannot_grow_without_bound() -> None:
    metrics = Metrics()
    for number in range(MAX_CHILDREN + 10):
        metrics.refused("mindsphere", f"reason-{number}")
    reasons = {labels for name, labels in values(metrics.render()) if name == "subscriber_refused_total"}
    assert len(reasons) == MAX_CHILDREN + 1
    assert value(metrics, "subscriber_refused_total", platform="other", reason="other") == 10


def test_no_label_names_a_tenant() -> None:
    metrics = Metrics()
    metrics.delivered("mindsphere", "accepted", 0.1)
    metrics.refused("mindsphere", "token")
    names = {name for _, labels in values(metrics.render()) for name, _ in labels}
    assert names <= {"platform", "outcome", "reason", "sink", "le"}


def test_a_watched_value_is_read_when_asked_for() -> None:
    metrics = Metrics()
    found = [1.0]
    metrics.watch("oldest_pending_seconds", "waiting", lambda: found[0])
    assert value(metrics, "subscriber_oldest_pending_seconds") == 1
    found[0] = 2.5
    assert value(metrics, "subscriber_oldest_pending_seconds") == 2.5


def test_a_watched_value_that_cannot_be_read_is_absent_and_the_rest_is_there() -> None:
    def away() -> float:
        raise StoreUnavailable("disk full")

    metrics = Metrics()
    metrics.watch("oldest_pending_seconds", "waiting", away)
    metrics.keys_fetched("ok")
    found = values(metrics.render())
    assert ("subscriber_oldest_pending_seconds", ()) not in found
    assert found["subscriber_key_fetches_total", (("outcome", "ok"),)] == 1


def test_processes_that_share_a_folder_add_up(tmp_path: Path) -> None:
    count = "from subscriber.metrics import Metrics; m = Metrics(); m.delivered('mindsphere', 'accepted', 0.1);"
    output = b""
    for _ in range(2):
        output = subprocess.run(
            [sys.executable, "-c", count + "print(m.render().decode())"],
            env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
            cwd=Path(__file__).parent.parent,
            check=True,
            capture_output=True,
            timeout=60,
        ).stdout
    found = values(output)
    labels = (("outcome", "accepted"), ("platform", "mindsphere"))
    assert found["subscriber_deliveries_total", labels] == 2
    assert found["subscriber_accept_seconds_count", ()] == 2


@pytest.mark.parametrize(
    ("token", "header", "allowed"),
    [
        ("", None, True),
        ("", "Bearer anything", True),
        ("secret", "Bearer secret", True),
        ("secret", None, False),
        ("secret", "Bearer secre", False),
        ("secret", "secret", False),
        ("secret", "Bearer s\xe9cret", False),
        ("s\xe9cret", "Bearer s\xe9cret", True),
    ],
)
def test_a_token_is_demanded_where_one_is_set(token: str, header: str | None, allowed: bool) -> None:
    assert may_read(token, header) is allowed


@pytest.fixture
def address() -> Iterator[str]:
    metrics = Metrics()
    metrics.add_process_facts()
    server = serve_metrics(metrics, "127.0.0.1", 0, "secret")
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_worker_shows_its_metrics_to_who_holds_the_token(address: str) -> None:
    with urlopen(Request(address + "/metrics", headers={"Authorization": "Bearer secret"}), timeout=10) as answer:
        assert ("process_resident_memory_bytes", ()) in values(answer.read())


@pytest.mark.parametrize(("path", "status"), [("/metrics", 401), ("/", 404)])
def test_a_worker_shows_nothing_else_to_nobody_else(address: str, path: str, status: int) -> None:
    with pytest.raises(HTTPError) as refusal:
        urlopen(address + path, timeout=10)
    assert refusal.value.code == status
    refusal.value.close()


def test_a_watched_value_may_be_one_for_each_platform() -> None:
    metrics, away = Metrics(), [False]

    def read() -> dict[str, float]:
        if away[0]:
            raise StoreUnavailable("disk full")
        return {"mindsphere": 3, "cumulocity": 1000}

    metrics.watch_platforms("tenants_active", "tenants that are active", read)
    assert value(metrics, "subscriber_tenants_active", platform="cumulocity") == 1000
    away[0] = True
    assert b"tenants_active" not in metrics.render()


def test_possible_gaps_of_channels_are_counted() -> None:
    metrics = Metrics()
    metrics.channel_gap("smartrest", "session_lost")
    assert value(metrics, "subscriber_channel_gaps_total", platform="smartrest", reason="session_lost") == 1


def test_refused_deliveries_are_taken_once_for_the_store() -> None:
    metrics = Metrics()
    metrics.refused("mindsphere", "expired")
    metrics.refused("pelion", "token")
    assert [metrics.take_refused(), metrics.take_refused()] == [2, 0]
