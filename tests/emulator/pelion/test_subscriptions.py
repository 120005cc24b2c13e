"""Who observes what: manual subscriptions, rules and their limits."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.journal import Journal
from emulator.pelion.devices import Device, Devices
from emulator.pelion.errors import Refusal
from emulator.pelion.subscriptions import Subscription, Subscriptions, parse_rules, paths
from tests.emulator.pelion.conftest import DEVICE, PATH


@pytest.fixture
def device(journal: Journal) -> Device:
    found = Devices(journal).find(DEVICE)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ({}, [PATH]),
        ({"endpoint-type": "thermo"}, [PATH]),
        ({"endpoint-type": "th*"}, [PATH]),
        ({"endpoint-type": "gate"}, []),
        ({"endpoint-name": DEVICE}, [PATH]),
        ({"endpoint-name": "cellar-*"}, [PATH]),
        ({"endpoint-name": "attic-*"}, []),
        ({"resource-path": ["/3303/*"]}, [PATH]),
        ({"resource-path": ["/3303/0"]}, ["/3303/0"]),
        ({"resource-path": ["/3/0/0"]}, []),
    ],
)
def test_a_rule_picks_observable_resources(device: Device, rule: dict[str, object], found: list[str]) -> None:
    assert paths(rule, device) == found


def test_rules_make_and_end_their_own_subscriptions_only(journal: Journal, device: Device) -> None:
    subscriptions = Subscriptions(journal)
    manual, ruled = Subscription("cellar", DEVICE, "/3303/0"), Subscription("cellar", DEVICE, PATH)
    subscriptions.add(manual, by_rule=False)
    subscriptions.set_rules("cellar", [{}])
    assert subscriptions.apply_rules("cellar", device) == [ruled]
    assert subscriptions.apply_rules("cellar", device) == []
    assert Subscriptions(journal).of("cellar", DEVICE) == [manual, ruled]
    assert list(subscriptions.observing(DEVICE, PATH)) == [manual, ruled]
    subscriptions.set_rules("cellar", [])
    subscriptions.apply_rules("cellar", device)
    assert subscriptions.of("cellar", DEVICE) == [manual]
    subscriptions.end_manual(DEVICE)
    assert Subscriptions(journal).of("cellar", DEVICE) == []


def test_a_manual_subscription_stays_manual(journal: Journal) -> None:
    subscriptions, wanted = Subscriptions(journal), Subscription("cellar", DEVICE, PATH)
    assert subscriptions.add(wanted, by_rule=True) and not subscriptions.add(wanted, by_rule=False)
    assert not subscriptions.add(wanted, by_rule=True)
    subscriptions.end_manual(DEVICE)
    assert subscriptions.of("cellar", DEVICE) == []


@pytest.mark.parametrize(
    "rules",
    [
        {},
        [1],
        [{"endpoint-name": 7}],
        [{"endpoint-name": "x" * 65}],
        [{"endpoint-type": "x" * 65}],
        [{"resource-path": []}],
        [{"resource-path": ["x" * 129]}],
        [{}] * 1025,
        [{"resource-path": [f"/{number}"]} for number in range(257)],
    ],
)
def test_rules_have_limits(rules: Any) -> None:
    with pytest.raises(Refusal) as caught:
        parse_rules(rules)
    assert caught.value.status == 400


def test_rules_at_the_limits_are_taken() -> None:
    rules: list[object] = [
        {"resource-path": [f"/{number % 256}"], "endpoint-name": "x" * 64} for number in range(1024)
    ]
    assert len(parse_rules(rules)) == 1024
