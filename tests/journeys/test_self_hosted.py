"""A self-hosted application: own certificate, health address, direct URL behind the platform's gateway."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import urlopen

import pytest

from emulator.processes import wait_until
from tests.journeys.rehearsal import EVENTS, FULL, TENANTS, Rehearsal, free_port, python

pytestmark = pytest.mark.journey

COUNT = 200 if FULL else 10  # messages a tenant and topic
SOON = ("EMU_RETRY_BASE_S=0.2", "EMU_RETRY_MAX_S=1")
FULL_VERSION = "{gateway}/api/{app}-{host}/{version}/{endpoint}"


def uris(world: Rehearsal) -> set[str]:
    """Where the broker delivers to, below the gateway."""
    found = world.control("subscriptions")["items"]
    assert len(found) >= len(TENANTS)
    return {item["uri"].removeprefix(world.environ["MDSP_GATEWAY_URL"]) for item in found}


def test_deliveries_come_through_the_gateway_to_the_direct_url_over_https(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    chain, key = certificate
    nowhere = f"http://127.0.0.1:{free_port()}"
    tls = {"TLS_CERT_FILE": str(chain), "TLS_KEY_FILE": str(key)}
    knobs = (*SOON, f"EMU_APP_CA_FILE={chain}")
    with Rehearsal(tmp_path, scheme="https", knobs=knobs, app=nowhere, **tls) as world:
        world.start()
        with urlopen(f"{world.url}/health/", timeout=5) as answer:
            assert (answer.status, json.load(answer)["healthStatus"]) == (200, "green")

        world.publish_everywhere(COUNT, duplicate=0.2)
        wait_until("attempts", lambda: world.control("ledger")["attempts"] > 10, 30)
        assert world.control("ledger")["acknowledged"] == 0, "the cockpit knows no direct URL yet"

        world.control("applications", {"direct_url": world.url})
        world.settle()
        books = world.books()
        assert books.even and books.accepted == len(TENANTS) * 4 * COUNT
        assert uris(world) == {"/api/alarmapi-acmeop/v1/notifications/mindsphere"}


@pytest.mark.parametrize(("form", "template"), [("major", ""), ("full", FULL_VERSION)])
def test_a_gateway_that_knows_one_form_of_the_version_is_served(tmp_path: Path, form: str, template: str) -> None:
    knobs = (*SOON, f"EMU_GW_VERSION_FORM={form}")
    with Rehearsal(tmp_path, knobs=knobs, MDSP_URI_TEMPLATE=template) as world:
        world.start()
        for tenant in TENANTS:
            world.publish(tenant, EVENTS, COUNT)
        world.settle()
        assert world.books().even
        version = "v1" if form == "major" else "v1.4.2"
        assert uris(world) == {f"/api/alarmapi-acmeop/{version}/notifications/mindsphere"}


def test_the_wrong_form_is_refused_with_its_cause_and_cured_by_the_template(tmp_path: Path) -> None:
    with Rehearsal(tmp_path, knobs=("EMU_GW_VERSION_FORM=full",)) as world:
        world.start_emulator()
        world.run("migrate")
        refused = python("subscriber", "register", "--apply", "--json", environ=world.environ)
        assert refused.returncode == 1
        assert "is the endpoint a registered one?" in refused.stdout
        world.environ["MDSP_URI_TEMPLATE"] = FULL_VERSION
        world.run("register", "--apply")
        assert uris(world) == {"/api/alarmapi-acmeop/v1.4.2/notifications/mindsphere"}
