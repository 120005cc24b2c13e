"""Alarms, events, measurements and operations over HTTP."""

from __future__ import annotations

import pytest

from tests.emulator.cumulocity.running import Tenant


def test_each_kind_is_made_read_and_listed(tenant: Tenant) -> None:
    device = tenant.devices[0]
    for made, path, several in (
        (tenant.alarm(device), "/alarm/alarms", "alarms"),
        (tenant.event(device), "/event/events", "events"),
        (tenant.measurement(device), "/measurement/measurements", "measurements"),
        (tenant.operation(device), "/devicecontrol/operations", "operations"),
    ):
        assert tenant.get(f"{path}/{made['id']}") == made
        assert tenant.get(path)[several] == [made] and made["self"] == f"{tenant.base}{path}/{made['id']}"
        assert tenant.ask("GET", f"{path}/1").status_code == 404


def test_lists_are_filtered_and_newest_first(tenant: Tenant) -> None:
    one, other = tenant.devices[:2]
    first = tenant.alarm(one, "A", time="2026-01-01T00:00:00.000Z")
    second = tenant.alarm(one, "B", severity="MINOR", acme_X={})
    tenant.alarm(other, "A")
    ids = [entry["id"] for entry in tenant.get("/alarm/alarms", source=one)["alarms"]]
    assert ids == [second["id"], first["id"]]
    for query in ({"type": "B"}, {"severity": "MINOR,WARNING"}, {"fragmentType": "acme_X"}):
        assert [entry["id"] for entry in tenant.get("/alarm/alarms", **query)["alarms"]] == [second["id"]]
    before = tenant.get("/alarm/alarms", dateTo="2026-01-01T00:01:00.000Z")["alarms"]
    assert [entry["id"] for entry in before] == [first["id"]]


def test_measurements_come_in_batches_too(tenant: Tenant) -> None:
    body = {"source": {"id": tenant.devices[0]}, "type": "T", "time": "2026-01-01T00:00:00.000Z"}
    made = tenant.post("/measurement/measurements", {"measurements": [body, body]})["measurements"]
    assert len({entry["id"] for entry in made}) == 2
    assert tenant.ask("POST", "/measurement/measurements", {"measurements": [1]}).status_code == 422


@pytest.mark.parametrize("mode", ["QUIESCENT", "CEP"])
def test_a_processing_mode_keeps_measurements_and_events_quiet(tenant: Tenant, mode: str) -> None:
    """N2-5.16: that Notification 2.0 obeys is assumed."""
    tenant.rule("A", "events", "alarms")
    reader = tenant.reader("A")
    tenant.session.headers["X-Cumulocity-Processing-Mode"] = mode
    tenant.event(tenant.devices[0])
    tenant.alarm(tenant.devices[0])
    assert [frame.about[0].split("/")[2] for frame in reader.frames(1)] == ["alarms"]
    assert reader.silent()


def test_alarms_and_operations_are_not_deleted_one_by_one(tenant: Tenant) -> None:
    """N2-5.6"""
    assert tenant.ask("DELETE", f"/alarm/alarms/{tenant.alarm(tenant.devices[0])['id']}").status_code == 405
    operation = tenant.operation(tenant.devices[0])["id"]
    assert tenant.ask("DELETE", f"/devicecontrol/operations/{operation}").status_code == 405
