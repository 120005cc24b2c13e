"""The Message Broker's API as a subscriber meets it."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from emulator.mindsphere.topics import TOPICS
from tests.emulator.conftest import World
from tests.emulator.mindsphere.test_piam import service_token
from tests.emulator.running import Client

ASSET, EVENTS = TOPICS["asset"], TOPICS["eventnotification"]
POSTBOX = "mdsp.core.am.v1.postbox.asset.deleted"


def code(answer: Any) -> tuple[int, str]:
    found: str = answer.json()["errors"][0]["code"]
    return answer.status_code, found.removeprefix("mdsp.core.generic.")


@pytest.mark.parametrize("base", ["/api/messagebroker/v4", "/api/messagebroker/v5"])
@pytest.mark.parametrize("verb", ["PUT", "POST"])
def test_a_subscription_lives(world: World, base: str, verb: str) -> None:
    """C5: created, changed, read, deleted, gone; PUT and POST mean the same."""
    client = world.client
    assert client.subscription("GET", ASSET, base=base).status_code == 404
    created = client.subscription(verb, ASSET, base=base)
    assert (created.status_code, created.json()) == (201, {"uri": client.uri})
    other = client.uri + "/other"
    changed = client.subscription(verb, ASSET, base=base, uri=other)
    assert (changed.status_code, changed.json()) == (200, {"uri": other})
    read = client.subscription("GET", ASSET, base=base)
    assert (read.status_code, read.json()) == (200, {"uri": other})
    deleted = client.subscription("DELETE", ASSET, base=base)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert code(client.subscription("DELETE", ASSET, base=base)) == (404, "noMatch")


def test_both_versions_of_the_api_share_one_store(world: World) -> None:
    """C5"""
    world.client.subscription("PUT", ASSET, base="/api/messagebroker/v4")
    assert world.client.subscription("GET", ASSET, base="/api/messagebroker/v5").status_code == 200


@pytest.mark.parametrize(("verb", "knob"), [("PUT", "mb_accept_put"), ("POST", "mb_accept_post")])
def test_either_verb_can_be_refused(world: World, verb: str, knob: str) -> None:
    """C5: the documents disagree, so each can be the only one."""
    world.turn(**{knob: False})
    assert code(world.client.subscription(verb, ASSET)) == (405, "methodNotAllowed")
    other = "POST" if verb == "PUT" else "PUT"
    assert world.client.subscription(other, ASSET).status_code == 201


def test_the_context_comes_from_the_token(world: World) -> None:
    """C6: the same address under two tenants is two subscriptions."""
    assert world.client.subscription("PUT", ASSET, "custaa").status_code == 201
    assert world.client.subscription("PUT", ASSET, "custbb").status_code == 201
    world.client.subscription("DELETE", ASSET, "custaa")
    assert world.client.subscription("GET", ASSET, "custbb").status_code == 200
    (left,) = world.emulator.control("/subscriptions")["items"]
    assert (left["tenant"], left["topic"], left["subscriber"]) == ("custbb", ASSET, "alarmapi")


def test_another_version_is_another_subscription(world: World) -> None:
    """C7"""
    newer = world.emulator.control("/applications", {"version": "v1.5.0"})
    credentials = world.client.credentials | {"version": "v1.5.0", "client_id": newer["client_id"]}
    client = Client(credentials | {"client_secret": newer["client_secret"]})
    world.client.subscribe(ASSET)
    assert client.subscription("PUT", ASSET).status_code == 201
    assert client.subscription("DELETE", ASSET).status_code == 204
    assert world.client.subscription("GET", ASSET).status_code == 200
    client.close()


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.com/hook",
        "http://127.0.0.1:8080/notifications",
        "{gateway}/api/strange-acmeop/v1/n",
        "{gateway}/api/alarmapi-custaa/v1/n",
        "{gateway}/api/alarmapi-acmeop/v2/n",
        "{gateway}/api/messagebroker/v4/n",
        "{gateway}/elsewhere",
        "ngrok",
        "{gateway}/api/alarmapi-acmeop/v1/n with space",
        7,
        None,
        ["x"],
    ],
)
def test_only_endpoints_of_registered_applications_are_taken(world: World, uri: Any) -> None:
    """C8"""
    uri = uri.format(gateway=world.client.gateway) if isinstance(uri, str) else uri
    answer = world.client.session.put(world.client.address(ASSET), json={"uri": uri}, headers=world.client.bearer())
    assert code(answer) == (400, "invalidRequestBodyProperty")


def test_the_developers_registration_is_one_too(world: World) -> None:
    """C8: the hosting tenant is part of the address, and changes at handover."""
    uri = f"{world.client.gateway}/api/alarmapi-acmedv/v1/notifications"
    assert world.client.subscription("PUT", ASSET, uri=uri).status_code == 201


@pytest.mark.parametrize(("form", "good", "bad"), [("major", "v1", "v1.4.2"), ("full", "v1.4.2", "v1")])
def test_the_address_may_need_one_form_of_the_version(world: World, form: str, good: str, bad: str) -> None:
    """C8: major or full version, whichever the gateway knows."""
    world.turn(gw_version_form=form)
    address = f"{world.client.gateway}/api/alarmapi-acmeop/{{}}/notifications"
    assert world.client.subscription("PUT", ASSET, uri=address.format(bad)).status_code == 400
    assert world.client.subscription("PUT", ASSET, uri=address.format(good)).status_code == 201


def test_http_addresses_can_be_refused_even_on_loopback(world: World) -> None:
    """C8"""
    world.turn(uri_allow_http_loopback=False)
    assert code(world.client.subscription("PUT", ASSET)) == (400, "invalidRequestBodyProperty")


@pytest.mark.parametrize("body", ["", "[]", "{", '{"url":"x"}', '"uri"'])
def test_a_body_that_is_no_subscription_is_refused(world: World, body: str) -> None:
    """C16"""
    answer = world.client.session.put(world.client.address(ASSET), data=body, headers=world.client.bearer())
    assert code(answer) == (400, "invalidRequestBodyProperty")


def test_a_body_without_end_is_refused(world: World) -> None:
    """C16"""
    answer = world.client.session.put(
        world.client.address(ASSET), data=b"x" * 1_100_000, headers=world.client.bearer()
    )
    assert code(answer) == (413, "payloadTooLarge")


@pytest.mark.parametrize("topic", ["asset", "mdsp.core.x.v1.queue.y", "mdsp.core.x.v1.pubsub." + "y" * 250])
def test_a_topic_against_the_convention_is_refused(world: World, topic: str) -> None:
    assert code(world.client.subscription("PUT", topic)) == (400, "invalidParameter")


def test_an_unknown_topic_is_taken_unless_told_otherwise(world: World) -> None:
    unknown = "mdsp.core.weather.v1.pubsub.rain"
    assert world.client.subscription("PUT", unknown).status_code == 201
    world.turn(mb_unknown_topic="404")
    assert code(world.client.subscription("PUT", unknown)) == (404, "noMatch")
    assert world.client.subscription("PUT", ASSET).status_code == 201


def token(world: World, **members: Any) -> dict[str, str]:
    minted = world.emulator.control("/tokens", {"tenant": "acmeop", **members})
    return {"Authorization": f"bearer {minted['access_token']}"}  # any case of the scheme will do


def test_every_call_needs_a_genuine_token(world: World) -> None:
    for headers in ({}, {"Authorization": "Bearer x.y.z"}, {"Authorization": world.client.basic}):
        for verb in ("PUT", "GET", "DELETE"):
            assert code(world.client.subscription(verb, ASSET, headers=headers)) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("verb", "scopes", "status"),
    [
        ("PUT", ["mb.s.w"], 201),
        ("PUT", ["mb.s.r"], 403),
        ("PUT", ["mb.s.w.more", "mb.s"], 403),
        ("GET", ["mb.s.r"], 404),
        ("GET", ["mb.s.w"], 403),
        ("DELETE", ["mb.s.w"], 404),
        ("DELETE", [], 403),
    ],
)
def test_each_operation_asks_for_its_scope(world: World, verb: str, scopes: list[str], status: int) -> None:
    headers = token(world, client_id="acmeop-alarmapi-v1.4.2", scopes=scopes)
    assert world.client.subscription(verb, ASSET, headers=headers).status_code == status


def test_other_kinds_of_credentials_are_refused(world: World) -> None:
    """C5: genuine tokens with every scope, but of a service account, of a person, of a Custom credential."""
    service = {"Authorization": f"Bearer {service_token(world).json()['access_token']}"}
    person = token(world, client_id="portal", user_name="ann@example.com", scopes=["mb.s.w"])
    for headers in (service, person):
        assert code(world.client.subscription("PUT", ASSET, headers=headers)) == (403, "forbidden")
    world.emulator.control("/applications", {"credential_kind": "CUSTOM"})
    assert code(world.client.subscription("PUT", ASSET)) == (403, "forbidden")


def test_a_foreign_subscriber_is_refused(world: World) -> None:
    """C5: name and version are the caller's own, unless the knob says otherwise."""
    world.emulator.control("/applications", {"version": "v1.5.0"})
    assert code(world.client.subscription("PUT", ASSET, version="v1.5.0")) == (403, "forbidden")
    world.turn(mb_bind_client=False)
    assert world.client.subscription("PUT", ASSET, version="v1.5.0").status_code == 201


def test_a_tenant_without_the_application_takes_no_subscription(world: World) -> None:
    held = world.client.bearer("custaa")
    world.emulator.control("/deprovision", {"tenants": ["custaa"]})
    assert code(world.client.subscription("PUT", ASSET, headers=held)) == (403, "forbidden")


def test_a_limit_on_subscriptions_can_be_played(world: World) -> None:
    world.turn(max_subscriptions=1)
    world.client.subscribe(ASSET)
    assert world.client.subscription("PUT", ASSET).status_code == 200
    assert code(world.client.subscription("PUT", EVENTS)) == (403, "forbidden")


@pytest.mark.parametrize(("fault", "status"), [("api-5xx", 500), ("api-429", 429)])
def test_the_broker_fails_as_declared(world: World, fault: str, status: int) -> None:
    headers = world.client.bearer()
    world.fault(fault)
    assert world.client.subscription("PUT", ASSET, headers=headers).status_code == status


def send(world: World, topic: str, body: Any, tenant: str = "acmeop") -> Any:
    address = f"{world.client.gateway}/api/messagebroker/v4/topics/{topic}/sendmessage"
    return world.client.session.post(address, json=body, headers=world.client.bearer(tenant))


def test_an_application_publishes_to_postbox_topics(world: World) -> None:
    """C9: and only its own context hears it."""
    world.client.subscribe(POSTBOX, "custaa", "custbb")
    answer = send(world, POSTBOX, {"content": {"x": [1]}}, "custaa")
    assert (answer.status_code, answer.content) == (201, b"")
    world.delivered()
    (got,) = world.app.got
    assert got.json == {"header": {"topic": POSTBOX, "tenantContext": ["custaa"]}, "content": {"x": [1]}}


@pytest.mark.parametrize(
    ("topic", "body", "wrong"),
    [
        (ASSET, {"content": 1}, "invalidParameter"),
        ("nonsense", {"content": 1}, "invalidParameter"),
        (POSTBOX, {"contents": 1}, "invalidRequestBodyProperty"),
    ],
)
def test_what_cannot_be_published_is_refused(world: World, topic: str, body: Any, wrong: str) -> None:
    assert code(send(world, topic, body)) == (400, wrong)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/gateway/api/messagebroker/v4/subscribers/a/versions/v1/topics/mdsp.core.a.v1.pubsub.b"),
        ("GET", "/gateway/api/messagebroker/v4/topics/mdsp.core.a.v1.postbox.b/sendmessage"),
        ("GET", "/gateway/api/technicaltokenmanager/v3/oauth/token"),
        ("POST", "/api/technicaltokenmanager/v3/userTenants"),
    ],
)
def test_a_known_address_refuses_another_verb(world: World, method: str, path: str) -> None:
    """2.5: 405."""
    answer = requests.request(method, world.emulator.url + path, timeout=10)
    assert code(answer) == (405, "methodNotAllowed")
