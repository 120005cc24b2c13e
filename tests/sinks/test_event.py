"""The envelope of all sinks."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from subscriber.model import Tenant
from subscriber.sinks.event import cloud_event
from tests.sinks.samples import BARE, NOTIFICATION


def test_a_notification_becomes_a_cloud_event_of_the_contracts_shape() -> None:
    assert orjson.loads(cloud_event(NOTIFICATION, b'{"a": 1}')) == {
        "specversion": "1.0",
        "id": "01ff",
        "source": "/mindsphere/custaa",
        "type": "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification",
        "subject": "a1b2",
        "time": "2026-03-02T10:28:59.750000Z",
        "datacontenttype": "application/json",
        "tenant": "custaa",
        "platform": "mindsphere",
        "channel": "ch",
        "action": "CREATE",
        "repeat": 2,
        "data": {"a": 1},
    }


def test_what_a_notification_does_not_have_is_left_out_and_time_falls_back_to_its_reception() -> None:
    event = orjson.loads(cloud_event(BARE, b"[]"))
    assert not event.keys() & {"subject", "channel", "action"}
    assert event["time"] == "2026-03-02T10:30:00Z"
    assert (event["repeat"], event["data"]) == (0, [])


@pytest.mark.parametrize("data", [b"null", b'"text"', b"[1, 2]", b"12345678901234567890123", b'{"a": 1.10}'])
def test_data_is_the_payload_byte_by_byte(data: bytes) -> None:
    assert cloud_event(BARE, data).endswith(b'"data": ' + data + b"}")


def test_tenants_of_any_name_make_a_valid_source() -> None:
    named = replace(BARE, tenant=Tenant("pelion", "a/b c?"))
    assert orjson.loads(cloud_event(named, b"1"))["source"] == "/pelion/a%2Fb%20c%3F"
