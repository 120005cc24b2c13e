"""The Pelion side: channels checked completely, keys shown nowhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from subscriber.errors import SettingsError
from subscriber.platforms.pelion.callback import SECRET_HEADER, callback_secret
from subscriber.platforms.pelion.rules import Presubscription, ResourceSubscription
from subscriber.settings import PelionChannel, PelionSettings, Settings

KEY = "ak_1canary"
DEVICE = "018a3c5e77100000000000010010a1b2"


def pelion(*channels: Any, **environ: str) -> PelionSettings:
    found = Settings.from_environ({"PELION_CHANNELS": json.dumps(channels), **environ}).pelion
    assert found is not None
    return found


def problems(*channels: Any, **environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        pelion(*channels, **environ)
    return caught.value.problems


def one(**members: Any) -> PelionChannel:
    (found,) = pelion(channel(**members)).channels
    return found


def channel(**members: Any) -> dict[str, Any]:
    """A callback channel; None takes a member away."""
    made = {"name": "cellar", "api_key": KEY, "mode": "callback"} | members
    return {name: value for name, value in made.items() if value is not None}


def test_without_channels_pelion_is_off() -> None:
    assert Settings.from_environ({"PELION_CLIENT_CN": "x"}).pelion is None


def test_a_channel_needs_a_name_a_key_and_a_mode() -> None:
    assert one() == PelionChannel(
        name="cellar", api_key=KEY, host="https://api.us-east-1.mbedcloud.com", mode="callback"
    )


def test_a_channel_with_every_member() -> None:
    got = one(
        host="http://127.0.0.1:8090/pelion/",
        headers={"X-Site": "north 7"},
        presubscriptions=[
            {},
            {"endpoint-name": "018a*", "endpoint-type": "thermo", "resource-path": ["/3303/*", "/3/0/0"]},
        ],
        subscriptions=[{"ep": DEVICE, "paths": ["/3303/0/5700", "/3303"]}],
    )
    assert (got.host, got.headers) == ("http://127.0.0.1:8090/pelion", (("X-Site", "north 7"),))
    assert got.presubscriptions == (
        Presubscription(),
        Presubscription(endpoint_name="018a*", endpoint_type="thermo", resource_paths=("/3303/*", "/3/0/0")),
    )
    assert got.subscriptions == (ResourceSubscription(ep=DEVICE, paths=("/3303/0/5700", "/3303")),)
    assert got.callback_headers == {"X-Site": "north 7", SECRET_HEADER: callback_secret("cellar", KEY)}


def test_a_host_may_be_a_name() -> None:
    assert one(host="api.example.com").host == "https://api.example.com"


def test_a_key_may_come_from_a_variable_of_its_own() -> None:
    members = channel(api_key=None, api_key_env="CELLAR_KEY")
    assert pelion(members, CELLAR_KEY=KEY).channels[0].api_key == KEY
    assert "[0].api_key_env names CELLAR_KEY, which is not set" in problems(members)[0]
    (problem,) = problems(members, CELLAR_KEY="two words")
    assert "holds no access key" in problem and "words" not in problem


def test_keys_and_headers_are_shown_nowhere() -> None:
    channels = json.dumps([channel(headers={"Authorization": "Bearer h-canary"})])
    settings = Settings.from_environ({"PELION_CHANNELS": channels})
    shown = repr(settings) + str(settings.table()) + repr(settings.pelion and settings.pelion.channels)
    assert "canary" not in shown and "PELION_CHANNELS" in shown
    assert "canary" not in str(problems({**channel(), "mode": "x"}))


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ({"name": "two words"}, "[0].name must be letters"),
        ({"name": None}, "[0] lacks name"),
        ({"mode": None}, "[0] lacks mode"),
        ({"mode": "longpoll"}, "[0].mode must be callback or websocket"),
        ({"api_key": None}, "[0] needs api_key or api_key_env"),
        ({"api_key_env": "X"}, "[0] needs api_key or api_key_env, one of them"),
        ({"api_key": "two words"}, "[0].api_key must be an access key"),
        ({"host": "ftp://x"}, "[0].host must be"),
        ({"host": "a b"}, "[0].host must be"),
        ({"headers": ["x"]}, "[0].headers must be an object"),
        ({"headers": {"X_Site": "a"}}, "[0].headers has a name that must be a header's name of letters"),
        ({"headers": {"X-Site": "a\r\nY: b"}}, "[0].headers.X-Site must be printable"),
        ({"headers": {"X-Site": ""}}, "[0].headers.X-Site must be printable"),
        ({"headers": {"X-Site": "a", "x-site": "b"}}, "[0].headers names a header twice"),
        ({"headers": {"Host": "a"}}, "[0].headers must not have host"),
        ({"headers": {SECRET_HEADER.upper(): "a"}}, f"[0].headers must not have {SECRET_HEADER.lower()}"),
        ({"headers": {"X-Site": "n" * 400}}, "cellar: its headers alone exceed the 400 characters"),
        ({"mode": "websocket", "headers": {"X-Site": "a"}}, "[0] has headers, which only callback has"),
        ({"presubscriptions": [{"endpoint-type": "a*b"}]}, "[0].presubscriptions[0].endpoint-type must"),
        ({"presubscriptions": [{"endpoint-name": "n" * 65}]}, "[0].presubscriptions[0].endpoint-name must"),
        ({"presubscriptions": [{"resource-path": []}]}, "[0].presubscriptions[0].resource-path must not be empty"),
        ({"presubscriptions": [{"resource-path": ["3303"]}]}, "[0].presubscriptions[0].resource-path[0] must"),
        ({"presubscriptions": [{"resource-path": ["/" + "3" * 128]}]}, "resource-path[0] must be a path"),
        ({"presubscriptions": [{}] * 1025}, "[0].presubscriptions must have at most 1024 rules"),
        (
            {"presubscriptions": [{"resource-path": [f"/{number}"]} for number in range(257)]},
            "[0].presubscriptions must name at most 256 different paths",
        ),
        ({"presubscriptions": [{"paths": []}]}, "[0].presubscriptions[0] has a member 'paths'"),
        ({"subscriptions": [{"ep": DEVICE}]}, "[0].subscriptions[0] lacks paths"),
        ({"subscriptions": [{"ep": "a/b", "paths": ["/1"]}]}, "[0].subscriptions[0].ep must be a device's id"),
        ({"subscriptions": [{"ep": DEVICE, "paths": []}]}, "[0].subscriptions[0].paths must have 1 to"),
        ({"subscriptions": [{"ep": DEVICE, "paths": ["/1", "/1"]}]}, "[0].subscriptions[0].paths must have 1 to"),
        ({"subscriptions": [{"ep": DEVICE, "paths": ["/1/2/3/4"]}]}, "[0].subscriptions[0].paths[0] must be /object"),
        ({"subscriptions": [{"ep": DEVICE, "paths": ["/3303/*"]}]}, "[0].subscriptions[0].paths[0] must be /object"),
        ({"subscriptions": [{"ep": DEVICE, "paths": ["/1"]}] * 2}, f"has device {DEVICE} 2 times"),
        ({"secret": "x"}, "[0] has a member 'secret'"),
    ],
)
def test_what_the_service_would_refuse_is_refused_with_its_place(members: dict[str, Any], wanted: str) -> None:
    (problem,) = problems(channel(**members))
    assert wanted in problem and "canary" not in problem


def test_all_problems_are_named_at_once() -> None:
    (problem,) = problems({"name": "a b", "mode": "x"}, 7, channel(), channel())
    for wanted in ("[0].name", "[0].mode", "[0] needs", "[1] must be an object", "cellar: given 2 times"):
        assert wanted in problem


@pytest.mark.parametrize("channels", [[], "text", [channel(name=f"c{number}") for number in range(101)]])
def test_there_are_1_to_100_channels(channels: object) -> None:
    with pytest.raises(SettingsError, match="must (have 1 to 100|be a list)"):
        Settings.from_environ({"PELION_CHANNELS": json.dumps(channels)})


def test_two_channels_of_one_application_would_take_it_from_each_other() -> None:
    (problem,) = problems(channel(), channel(name="gate"))
    assert "cellar, gate have the same access key" in problem and KEY not in problem
    assert len(pelion(channel(), channel(name="gate", host="other.example")).channels) == 2


def test_who_ends_tls_looks_at_client_certificates() -> None:
    tls = {"TLS_CERT_FILE": "c", "TLS_KEY_FILE": "k", "TLS_CLIENT_CA_FILE": "ca"}
    got = pelion(channel(), PELION_SUBJECT_HEADER="X-Client-Subject", PELION_CLIENT_CN="here")
    assert (got.subject_header, got.client_cn) == ("X-Client-Subject", "here")
    assert pelion(channel(), **tls).client_cn == "notifications.mbedcloud.com"
    assert "exclude each other" in problems(channel(), **tls, PELION_SUBJECT_HEADER="X-Client-Subject")[0]
    assert "TLS_CERT_FILE is not" in problems(channel(), TLS_CLIENT_CA_FILE="ca")[0]


def test_a_callback_may_be_larger_than_other_deliveries() -> None:
    assert pelion(channel()).max_body_bytes == 64 * 1024 * 1024
    assert pelion(channel(), PELION_MAX_BODY_BYTES="1000").max_body_bytes == 1000
