"""The emulator before a witness: the vendor's SDK for Python, unmodified.

It registers callbacks, polls, subscribes, sends commands and sorts what comes, all with its own code. It knows no
WebSocket and no ``serialization``, so these are left to the emulator's own tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.running import Emulator, Receiver, receiver, running_emulator, wait_for
from tests.vendors.mbed import Sdk, Thrown

PATH = "/3303/0/5700"


@dataclass
class Witness:
    """The emulated platform, a callback receiver, and the process the SDK runs in: ``caller`` and ``poller``."""

    emulator: Emulator
    app: Receiver
    sdk: Sdk
    device: str

    def caller(self, method: str, *arguments: object) -> Any:
        """The SDK object that has a callback."""
        return self.sdk("connect", "caller", method, *arguments)

    def poller(self, method: str, *arguments: object) -> Any:
        """The SDK object that polls."""
        return self.sdk("connect", "poller", method, *arguments)

    def act(self, *acts: str) -> None:
        for act in acts:
            self.emulator.control("/pelion/devices", {"act": act, "ep": self.device})

    def value(self, value: str) -> None:
        self.emulator.control("/pelion/values", {"ep": self.device, "path": PATH, "value": value})


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Witness]:
    home: Path = tmp_path_factory.mktemp("sdk")
    with receiver() as app, running_emulator() as emulator, Sdk(home) as sdk:
        found = emulator.control("/credentials")["pelion"]
        sdk("open", "caller", found["host"], found["api_keys"][0], False)
        sdk("open", "poller", found["host"], found["api_keys"][1], True)
        yield Witness(emulator, app, sdk, found["devices"][0])


def test_a_callback_is_registered_read_and_deleted(witness: Witness) -> None:
    assert witness.caller("get_webhook") is None
    url, headers = f"{witness.app.url}/hook", {"X-Hook-Secret": "s3cret"}
    witness.caller("update_webhook", url, headers)
    probe = witness.app.got[-1]
    assert (probe.method, probe.path, probe.body, probe.headers["x-hook-secret"]) == ("PUT", "/hook", b"{}", "s3cret")
    assert witness.caller("get_webhook") == {"url": url, "headers": headers}
    with pytest.raises(Thrown, match="status 400"):
        witness.caller("update_webhook", "http://127.0.0.1:9/none")
    assert witness.caller("get_webhook")["url"] == url
    witness.caller("delete_webhook")
    assert witness.caller("get_webhook") is None


def test_a_value_reaches_its_subscriber_through_the_callback(witness: Witness) -> None:
    witness.app.forget()
    witness.caller("update_webhook", f"{witness.app.url}/hook")
    witness.sdk("subscribe", "caller", "values", witness.device, PATH)
    witness.value("22.0")
    wait_for(lambda: any(b'"notifications"' in request.body for request in witness.app.got))
    for request in witness.app.got:
        witness.caller("notify_webhook_received", request.body.decode())
    assert witness.sdk("take", "values", 1) == [[witness.device, PATH, "22.0"]]
    witness.caller("delete_webhook")


def test_the_directory_is_read(witness: Witness) -> None:
    assert witness.device in witness.sdk("connected", "poller")
    assert PATH in witness.sdk("resources", "poller", witness.device)


def test_commands_are_answered_through_the_poll(witness: Witness) -> None:
    witness.poller("set_resource_value", witness.device, PATH, "30.5")
    assert witness.poller("get_resource_value", witness.device, PATH) == "30.5"
    witness.poller("execute_resource", witness.device, PATH)
    with pytest.raises(Thrown, match="404"):
        witness.poller("get_resource_value", witness.device, "/9/9/9")


def test_a_devices_life_is_sorted_into_its_kinds(witness: Witness) -> None:
    """One by one: a batch holds an array for each kind, so it tells no order between kinds."""
    witness.sdk("observe", "poller", "life", "DeviceStateChanges", {})
    kinds = []
    for act in ("register", "update", "deregister", "register", "expire", "register"):
        witness.act(act)
        kinds += [event["channel"] for event in witness.sdk("take", "life", 1)]
    kept, gone = "registrations", ["reg_updates", "de_registrations", "registrations_expired"]
    assert kinds == [kept, gone[0], gone[1], kept, gone[2], kept]


def test_values_are_observed_and_subscriptions_listed(witness: Witness) -> None:
    observed = {"device_id": witness.device, "resource_path": PATH}
    witness.sdk("observe", "poller", "observed", "ResourceValues", observed)
    witness.value("23.0")
    [event] = witness.sdk("take", "observed", 1)
    assert (event["device_id"], event["resource_path"], event["payload"]) == (witness.device, PATH, "23.0")
    assert witness.poller("get_resource_subscription", witness.device, PATH) is True
    assert witness.poller("get_resource_subscription", witness.device, "/9/9/9") is False
    assert witness.poller("list_device_subscriptions", witness.device) == [PATH]
    witness.poller("delete_device_subscriptions", witness.device)
    assert witness.poller("list_device_subscriptions", witness.device) is None


def test_presubscriptions_are_put_read_and_deleted(witness: Witness) -> None:
    rules = [{"device_id": witness.device, "resource_paths": ["/3303/*"]}, {"device_type": "thermo"}]
    witness.poller("update_presubscriptions", rules)
    found = witness.sdk("presubscriptions", "poller")
    assert [(rule["device_id"], rule["device_type"]) for rule in found] == [(witness.device, None), (None, "thermo")]
    witness.poller("delete_presubscriptions")
    assert witness.sdk("presubscriptions", "poller") == []


def test_a_wrong_key_is_refused(witness: Witness) -> None:
    host = witness.emulator.control("/credentials")["pelion"]["host"]
    witness.sdk("open", "stranger", host, "ak_1wrong", False)
    with pytest.raises(Thrown, match="status 401"):
        witness.sdk("connect", "stranger", "get_webhook")


def test_polling_ends_when_told(witness: Witness) -> None:
    assert witness.poller("stop_notifications") is True
