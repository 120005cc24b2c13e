"""What platforms and operators ask the service about itself: health, readiness, metrics.

`/health` speaks for this process and its disk alone and never touches the network: a platform restarts what is
unhealthy, and a restart cures no network. `/ready` may ask more. Contract: section HTTP.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import orjson
from flask import Blueprint, Response, request

from subscriber.errors import InvalidToken, SubscriberError, Unavailable
from subscriber.metrics import CONTENT_TYPE, Metrics, may_read
from subscriber.store import Store

# Anybody may ask, as often as they like: the store is asked at most once in this time per process.
REMEMBER_SECONDS = 1.0

GREEN, YELLOW, RED = "green", "yellow", "red"  # the platform's words, best first


class Check(NamedTuple):
    """Something that can be wrong. ``probe`` returns, or raises one of our errors whose text is fit for strangers."""

    name: str
    probe: Callable[[], None]
    local: bool = True  # needs no network: counts for health, not only for readiness
    grade: str = RED  # what health is when it fails


class NotReady(Unavailable):
    """A check failed; its name and reason are in the text."""

    reason = "not_ready"


class Diagnosis:
    """Runs checks and remembers the result for a moment, one caller at a time; the others get what is remembered."""

    def __init__(self, checks: Sequence[Check], clock: Callable[[], float] = time.monotonic) -> None:
        self._checks = checks
        self._clock = clock
        self._turn = threading.Lock()
        self._asked_at = float("-inf")
        self._failed: list[tuple[Check, str]] = []

    def failed(self) -> list[tuple[Check, str]]:
        """The checks that fail now, with their reasons."""
        if self._asked_at + REMEMBER_SECONDS <= self._clock() and self._turn.acquire(blocking=False):
            try:
                self._failed = [(check, reason) for check in self._checks if (reason := _failure(check))]
                self._asked_at = self._clock()
            finally:
                self._turn.release()
        return self._failed


def _failure(check: Check) -> str:
    """Why a check fails, empty if it does not."""
    try:
        check.probe()
    except SubscriberError as error:
        return error.reason
    return ""


def blueprint(store: Store, metrics: Metrics, metrics_token: str, more_checks: Sequence[Check] = ()) -> Blueprint:
    """`/health`, `/ready` and `/metrics`."""
    ops = Blueprint("ops", __name__)
    checks = [Check("store", store.inbox.probe), *more_checks]
    here = Diagnosis([check for check in checks if check.local])
    everywhere = Diagnosis([check for check in checks if check.grade == RED])  # a warning turns no delivery away
    metrics.watch("oldest_pending_seconds", "how long the oldest due notification waits", lambda: _waiting(store))

    def health() -> Response:
        grades = [GREEN, *(check.grade for check, _ in here.failed())]
        worst = max(grades, key=(GREEN, YELLOW, RED).index)
        return _json({"healthStatus": worst, "time": datetime.now(UTC).isoformat(timespec="milliseconds")})

    def ready() -> Response:
        failed = everywhere.failed()
        if failed:
            raise NotReady(", ".join(f"{check.name}: {reason}" for check, reason in failed))
        return _json({"ready": True})

    def show_metrics() -> Response:
        if not may_read(metrics_token, request.headers.get("Authorization")):
            raise InvalidToken("the metrics token is missing or wrong", reason="metrics_token")
        return Response(metrics.render(), content_type=CONTENT_TYPE)

    ops.add_url_rule("/health", "health", health, strict_slashes=False)
    ops.add_url_rule("/ready", "ready", ready)
    ops.add_url_rule("/metrics", "metrics", show_metrics)
    return ops


def _waiting(store: Store) -> float:
    """Seconds that the oldest due notification has been waiting for; 0 if none is."""
    oldest = store.reports.oldest_pending()
    return 0.0 if oldest is None else max(0.0, (datetime.now(UTC) - oldest).total_seconds())


def _json(document: dict[str, object]) -> Response:
    return Response(orjson.dumps(document), content_type="application/json")
