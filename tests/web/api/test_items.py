"""An item and its schema say the same; payloads keep their bytes."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone

import jsonschema
import orjson
import pytest

from subscriber.model import State
from subscriber.store import Row
from subscriber.web.api.items import DETAILED, NOTIFICATION, detailed, item, moment, size
from tests.store.making import START, notification


def row(body: bytes | None = b'{"a": 1.50}', settled_at: datetime | None = None) -> Row:
    return Row(
        seq=7,
        notification=notification(body=body),
        state=State.DONE if settled_at else State.PENDING,
        attempts=1,
        not_before=START,
        settled_at=settled_at,
        reason="",
        detail="only operators see this",
        sinks_done=frozenset({"secret-sink"}),
    )


@pytest.mark.parametrize("found", [row(), row(None), row(settled_at=START)])
def test_items_are_as_their_schema_says(found: Row) -> None:
    jsonschema.validate(orjson.loads(orjson.dumps(item(found))), NOTIFICATION)
    jsonschema.validate(orjson.loads(orjson.dumps(detailed(found))), DETAILED)


def test_a_payload_is_handed_on_as_it_was_written() -> None:
    assert b'"payload":{"a": 1.50}' in orjson.dumps(item(row()))
    assert base64.b64decode(detailed(row())["body"]) == b'{"a": 1.50}'


def test_what_was_pruned_is_null() -> None:
    assert item(row(None))["payload"] is detailed(row(None))["body"] is None
    assert (size(row(None)), size(row(b"{}"))) == (0, 2)


def test_what_only_operators_may_know_is_not_told() -> None:
    told = orjson.dumps(detailed(row()))
    assert b"only operators" not in told and b"secret-sink" not in told and b"seq" not in told


def test_times_are_utc_with_milliseconds() -> None:
    east = timezone(timedelta(hours=2))
    assert moment(datetime(2026, 1, 1, 2, 0, 0, 1999, tzinfo=east)) == "2026-01-01T00:00:00.001Z"
    assert moment(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000Z"
