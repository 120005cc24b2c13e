"""The steps of the article on Notification 2.0 (seed 000), made by the product's own commands, by nobody's hand.

Its scripts' side, with the vendors' own clients, is in tests/vendors/test_cumulocity.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.processes import wait_until
from tests.journeys.rehearsal import START_SECONDS
from tests.journeys.site import Site
from tests.servers.postgres import shared

pytestmark = pytest.mark.journey

TENANT_WIDE = {
    "name": "SubscriptionA",
    "subscriber": "Subscriber1",
    "context": "tenant",
    "apis": ["alarms", "events", "inventory"],
    "typeFilter": "'c8y_BootEvent' or 'c8y_UnavailabilityAlarm'",
}
DEVICES = {
    "name": "SubscriptionB",
    "subscriber": "Subscriber1",
    "context": "mo",
    "apis": ["measurements"],
    "typeFilter": "c8y_Measurement",
}
TIME = "2026-01-01T00:04:00.000Z"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, [TENANT_WIDE], C8Y_MICROSERVICE_ISOLATION="PER_TENANT") as site:
        site.open()
        yield site


def measure(site: Site, device: str, value: float) -> None:
    fragment = {"c8y_T": {"T": {"value": value, "unit": "C"}}}
    about = {"type": "c8y_Measurement", "time": TIME, "source": {"id": device}}
    site.ask("POST", "/measurement/measurements", {**about, **fragment})


def happen(site: Site, device: str, type: str, api: str = "alarm/alarms") -> None:
    """An alarm or an event; only the words of the first are more."""
    about = {"type": type, "time": TIME, "source": {"id": device}, "text": f"{type} at {device}"}
    site.ask("POST", f"/{api}", {**about, "severity": "MAJOR"})


def rules(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.ask("GET", "/notification2/subscriptions?pageSize=2000")["subscriptions"]
    return found


def test_an_exclusive_consumer_of_a_tenant_and_of_a_device(site: Site) -> None:
    device, other = site.devices()[:2]
    site.subscribe([TENANT_WIDE, {**DEVICES, "sources": [device]}])
    site.run("register", "--apply")
    made = {rule["subscription"]: rule for rule in rules(site)}
    assert made["SubscriptionA"]["context"] == "tenant" and made["SubscriptionB"]["source"]["id"] == device
    worker = site.start_worker()
    site.connected(2)

    happen(site, device, "c8y_UnavailabilityAlarm")
    happen(site, device, "another")
    happen(site, other, "c8y_BootEvent", "event/events")
    measure(site, device, 1)
    measure(site, other, 2)
    site.done(3)
    found = {(row["channel"], row["topic"], row["source"], row["action"]) for row in site.rows()}
    assert found == {
        ("SubscriptionA", "alarms", device, "CREATE"),
        ("SubscriptionA", "events", other, "CREATE"),
        ("SubscriptionB", "measurements", device, "CREATE"),
    }

    assert worker.stop() == 0  # closing keeps subscription and consumer: the platform keeps what comes
    for value in range(20):
        measure(site, device, value)
    assert site.consumers("SubscriptionB")["Subscriber1"]["backlog"] == 20
    site.start_worker()
    site.done(23)
    assert len(site.rows()) == 23

    assert site.workers[-1].stop() == 0
    site.run("unregister", "--apply")
    assert rules(site) == [] and site.consumers("SubscriptionA") == site.consumers("SubscriptionB") == {}
    assert site.report("measurements", 5) == 0  # nobody is kept anything for


def test_two_clients_of_a_shared_token_divide_the_devices_and_one_alone_gets_all(tmp_path: Path) -> None:
    database = shared().fresh()
    knobs = ("EMU_C8Y_DEVICES=40", "EMU_N2_SHARED_ONLY_MO=1")
    settings = {"DATABASE_URL": database, "C8Y_MICROSERVICE_ISOLATION": "PER_TENANT"}
    with Site(tmp_path, [], knobs=knobs, **settings) as site:
        site.open()
        devices = site.devices()
        assert len(devices) == 40
        site.subscribe([{**DEVICES, "typeFilter": "c8y_Temperature", "sources": devices, "shared": True}])
        site.run("register", "--apply")
        assert len(rules(site)) == 40 and len({rule["subscription"] for rule in rules(site)}) == 1
        for instance in "01":
            site.start_worker(instance)
        site.connected(2)
        site.report("measurements", 80)
        site.done(80)
        first = shares(site)
        assert set(first) == {"notificationhub0", "notificationhub1"} and all(first.values())
        assert sorted(first["notificationhub0"] + first["notificationhub1"]) == sorted(devices)

        assert site.workers[0].stop() == 0  # it leaves, and ends nothing for the other
        site.connected(1)
        site.report("measurements", 80)
        site.done(160)
        assert sorted(shares(site)["notificationhub1"]) == sorted(devices)

        site.start_worker("0")
        site.connected(2)
        site.report("measurements", 80)
        site.done(240)
        wait_until("the same division", lambda: shares(site) == first, START_SECONDS)
        assert len(site.rows()) == 240


def shares(site: Site) -> dict[str, list[str]]:
    """Which client was given which devices."""
    found: dict[str, list[str]] = site.consumers("SubscriptionB")["Subscriber1"]["shares"]
    return found
