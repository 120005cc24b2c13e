"""The conversation that the seed world offers."""

from __future__ import annotations

from hashlib import sha256
from random import Random

from emulator.cumulocity.composer import composed
from emulator.cumulocity.realtime.rehearsal import ALARM, TEMPERATURE, X_ID, as_stored, conversation
from emulator.cumulocity.realtime.templates import collection
from tests.emulator.conftest import World


def rows() -> list[list[str]]:
    return [
        ["11", str(one["id"]), "", str(one["condition"]), *one["values"].values()] for one in (ALARM, TEMPERATURE)
    ]


def test_its_templates_make_one_row_of_what_devices_report() -> None:
    templates = collection("1", "x", rows())
    for api, id in (("alarms", "500"), ("measurements", "501")):
        document = {"realtimeAction": "CREATE", "data": {"id": "9", **composed(api, "5001", 1, "now", Random(1))}}
        ((found, action, object_id, device, *_),) = templates.rows(document)
        assert (found, action, object_id, device) == (id, "CREATE", "9", "5001")


def test_the_credentials_offer_it(world: World) -> None:
    told = world.emulator.control("/credentials?tenant=cumulocity/t124")["cumulocity"]
    assert told["realtime"] == [conversation("t124")]


def test_a_row_of_the_ledger_is_compared_as_it_is_stored() -> None:
    row = ["501", "CREATE", "9", "5001", "2026-01-01T00:00:00.000Z", "-18.5"]
    values = '"action":"CREATE","id":"9","device":"5001","time":"2026-01-01T00:00:00.000Z","value":"-18.5"'
    body = '{"xId":"com.acme.freezer-v1","row":["501","CREATE","9","5001","2026-01-01T00:00:00.000Z","-18.5"],'
    body += f'"values":{{{values}}}}}'
    found = as_stored({"x_id": X_ID, "content": row, "body_sha256": ""})
    assert found["body_sha256"] == sha256(body.encode()).hexdigest()
    assert as_stored({"body_sha256": "a"}) == {"body_sha256": "a"}
