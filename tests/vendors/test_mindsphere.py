"""The emulator before a witness: a MindSphere client that someone else wrote.

``@mindconnect/mindconnect-nodejs`` asks for its tokens, checks their signatures against our key servers and calls the
Message Broker, all with its own code.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from tests.emulator.running import Emulator, Receiver, receiver, running_emulator
from tests.vendors.mindconnect import FOLDER, PASSKEY, Client, CommandLine, basic, complaint, refusal, refused
from tests.vendors.node import Driver, install

HOST, CUSTOMERS = "acmeop", ("custaa", "custbb")
ASSET = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"
EVENTS = "mdsp.core.eventmanagement.v1.pubsub.eventnotification"
POSTBOX = "mdsp.core.am.v1.postbox.asset.deleted"
USER_TENANTS = "/api/technicaltokenmanager/v3/userTenants"


@dataclass
class World:
    """The emulated platform, the application behind its gateway, and the process the vendor's library runs in."""

    emulator: Emulator
    app: Receiver
    driver: Driver

    def credentials(self, tenant: str = HOST, **changes: str) -> dict[str, str]:
        """What the library wants to know, to act in ``tenant``."""
        found = self.emulator.credentials()
        return {
            "gateway": found["gateway"],
            "basicAuth": basic(found["client_id"], found["client_secret"]),
            "tenant": found["host_tenant"],
            "usertenant": tenant,
            "appName": found["app"],
            "appVersion": found["version"],
            **changes,
        }

    def client(self, tenant: str = HOST, **changes: str) -> Client:
        return Client(self.driver, self.credentials(tenant, **changes))

    def service_user(self) -> Client:
        """With the tenant's classic credentials, which are no application's."""
        found = self.emulator.control(f"/service-credentials?tenant={HOST}")
        key = basic(found["client_id"], found["client_secret"])
        return Client(self.driver, {"gateway": self.credentials()["gateway"], "basicAuth": key, "tenant": HOST})

    def uri(self, endpoint: str = "notifications") -> str:
        return f"{self.credentials()['gateway']}/api/alarmapi-{HOST}/v1/{endpoint}"

    def turn(self, **knobs: object) -> None:
        self.emulator.control("/knobs", {f"EMU_{name.upper()}": value for name, value in knobs.items()})

    def mint(self, **members: object) -> str:
        token: str = self.emulator.control("/tokens", members)["access_token"]
        return token

    def rotate(self) -> str:
        """The id of the new signing key."""
        signing: str = self.emulator.control("/rotate-keys", {"zone": "core"})["signing"]["core"]
        return signing

    def check(self, token: str) -> str:
        """The token, if the client's own check lets it pass."""
        passed: str = self.driver("check", self.credentials(), token)
        return passed

    def subscriptions(self) -> set[tuple[str, str, str]]:
        """(tenant, topic, uri) of all there are."""
        items = self.emulator.control("/subscriptions")["items"]
        return {(item["tenant"], item["topic"], item["uri"]) for item in items}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    install(FOLDER)
    home = tmp_path_factory.mktemp("home")
    with (
        receiver() as app,
        running_emulator("--app", app.url) as emulator,
        Driver(FOLDER / "client.mjs", home) as driver,
    ):
        yield World(emulator, app, driver)


@pytest.fixture
def world(shared: World) -> World:
    """Each test starts from the seed world; only the signing keys may be others."""
    shared.emulator.control("/reset", {})
    shared.app.forget()
    return shared


@pytest.fixture(scope="module")
def stranger() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def claims(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return decoded


def kid(token: str) -> str:
    found: str = jwt.get_unverified_header(token)["kid"]
    return found


def short_lived(world: World, client: Client) -> str:
    """The client's token, good for two seconds; later ones live long again."""
    world.turn(token_lifetime_s=2)
    time.sleep(1 - time.time() % 1)  # times in tokens are whole seconds: begin one, so that it is two
    token = client.token()
    world.turn(token_lifetime_s=1800)
    return token


def outlive(token: str) -> None:
    """Wait for its real end."""
    while (left := claims(token)["exp"] - time.time()) > 0:
        time.sleep(left)


# tokens


@pytest.mark.parametrize("tenant", [HOST, *CUSTOMERS])
@pytest.mark.parametrize("prefix", ["/gateway", ""])
def test_its_tokens_act_for_the_tenant_and_pass_its_own_check(world: World, prefix: str, tenant: str) -> None:
    """From ``…/gateway`` it derives the host tenant's key server, from the bare address that of ``core``."""
    token = world.client(tenant, gateway=world.emulator.url + prefix).token()
    assert claims(token)["ten"] == tenant
    assert claims(token)["client_id"] == f"{HOST}-alarmapi-v1.4.2"


def test_it_keeps_a_good_token(world: World) -> None:
    client = world.client()
    assert client.token() == client.token()


def test_it_refuses_a_token_whose_signature_does_not_fit(world: World, stranger: RSAPrivateKey) -> None:
    genuine = world.mint(tenant="custaa")
    assert world.check(genuine) == genuine
    header, _, signature = genuine.split(".")
    changed = f"{header}.{world.mint(tenant='custbb').split('.')[1]}.{signature}"
    forged = jwt.encode(claims(genuine), stranger, algorithm="RS256", headers={"kid": kid(genuine)})
    for token in (changed, forged):
        assert complaint(partial(world.check, token)) == "invalid signature"


def test_it_refuses_a_token_whose_key_is_not_the_first_published(world: World, stranger: RSAPrivateKey) -> None:
    world.turn(zone_keys="own")
    unknown = jwt.encode({"ten": HOST}, stranger, algorithm="RS256", headers={"kid": "made-up"})
    for token in (unknown, world.mint(zone="custaa")):
        said = complaint(partial(world.check, token))
        assert said == f"Token validation error, can't find certificate for {kid(token)}"


def test_it_renews_a_token_that_expired(world: World) -> None:
    client = world.client("custaa")
    first = short_lived(world, client)
    assert claims(first)["exp"] - claims(first)["iat"] == 2
    outlive(first)
    assert complaint(lambda: world.check(first)) == "jwt expired"
    second = client.token()
    assert claims(second)["exp"] > claims(first)["exp"] and claims(second)["ten"] == "custaa"
    assert client.token() == second


def test_when_it_renews_it_finds_the_new_signing_key(world: World) -> None:
    client = world.client()
    first = short_lived(world, client)
    fresh = world.rotate()
    outlive(first)
    assert kid(client.token()) == fresh != kid(first)
    assert client.put(ASSET, {"uri": world.uri()}) == {"uri": world.uri()}


def test_during_the_grace_old_and_new_keys_both_serve(world: World) -> None:
    early = world.client()
    before = early.token()
    fresh = world.rotate()
    late = world.client()
    assert kid(late.token()) == fresh
    assert early.put(ASSET, {"uri": world.uri()}) == late.read(ASSET) == {"uri": world.uri()}
    assert early.token() == before


def test_after_the_grace_a_retired_keys_token_is_unauthorized(world: World) -> None:
    client = world.client()
    token = client.token()
    world.turn(key_grace_s=0)
    world.rotate()
    assert client.token() == token  # it keeps its copy of the keys
    assert refused(lambda: client.read(ASSET)) == (401, "unauthorized")


def test_a_wrong_secret_is_unauthorized(world: World) -> None:
    client = world.client(basicAuth=basic(f"{HOST}-alarmapi-v1.4.2", "guessed"))
    assert refused(client.token) == (401, "unauthorized")


@pytest.mark.parametrize("change", [{"usertenant": "custcc"}, {"appVersion": "v9.9.9"}, {"tenant": "acmedv"}])
def test_no_token_for_what_the_credentials_do_not_reach(world: World, change: dict[str, str]) -> None:
    """A tenant without the application, another version, another host."""
    client = Client(world.driver, world.credentials() | change)
    assert refused(client.token) == (403, "forbidden")


def test_service_credentials_are_no_applications(world: World) -> None:
    """It checks their tokens, too, against the first key of the tenant's server, so it needs zones that share."""
    world.turn(zone_keys="shared")
    user = world.service_user()
    assert claims(user.token())["client_id"] == f"{HOST}-service"
    assert refused(lambda: user.read(ASSET)) == (403, "forbidden")


# subscriptions


def test_subscriptions_of_two_tenants_live_apart(world: World) -> None:
    first, second = (world.client(tenant) for tenant in CUSTOMERS)
    one, two = world.uri("one"), world.uri("two")
    assert first.put(ASSET, {"uri": one}) == {"uri": one}
    assert refused(lambda: second.read(ASSET)) == (404, "noMatch")
    assert second.put(ASSET, {"uri": two}) == {"uri": two}
    assert first.read(ASSET) == {"uri": one}
    assert first.put(ASSET, {"uri": two}) == {"uri": two}
    assert world.subscriptions() == {("custaa", ASSET, two), ("custbb", ASSET, two)}
    first.delete(ASSET)
    assert refused(lambda: first.read(ASSET)) == (404, "noMatch")
    assert second.read(ASSET) == {"uri": two}
    assert world.subscriptions() == {("custbb", ASSET, two)}


def test_what_it_subscribed_is_delivered_until_it_deletes(world: World) -> None:
    client = world.client("custaa")
    for topic in (ASSET, EVENTS):
        client.put(topic, {"uri": world.uri()})
    client.delete(EVENTS)
    world.emulator.control("/publish", {"tenants": CUSTOMERS, "topic": [ASSET, EVENTS]})
    assert world.emulator.wait_until_delivered()["published"] == 1
    (delivery,) = world.app.got
    assert delivery.json["header"] == {"topic": ASSET, "tenantContext": ["custaa"]}
    assert world.check(delivery.token) == delivery.token  # the client would trust the broker, too


def test_a_missing_subscription_is_not_found(world: World) -> None:
    client = world.client()
    assert refused(lambda: client.read(ASSET)) == (404, "noMatch")
    assert refused(lambda: client.delete(ASSET)) == (404, "noMatch")


@pytest.mark.parametrize("subscriber", [{"name": "otherapi"}, {"version": "v1.4.3"}, {"version": "1.4.2"}])
def test_a_foreign_subscriber_is_forbidden(world: World, subscriber: dict[str, str]) -> None:
    client = world.client()
    assert refused(lambda: client.put(ASSET, {"uri": world.uri()}, **subscriber)) == (403, "forbidden")
    assert world.subscriptions() == set()


@pytest.mark.parametrize(
    ("topic", "body", "code"),
    [
        ("not-a-topic", {"uri": "https://example.org/"}, "invalidParameter"),
        (ASSET, {"uri": "https://example.org/"}, "invalidRequestBodyProperty"),
        (ASSET, {"url": "https://example.org/"}, "invalidRequestBodyProperty"),
    ],
)
def test_a_wrong_request_is_refused_with_its_code(world: World, topic: str, body: object, code: str) -> None:
    client = world.client()
    assert refused(lambda: client.put(topic, body)) == (400, code)


def test_a_tenant_that_loses_the_application_is_out_of_reach_at_once(world: World) -> None:
    client = world.client("custaa")
    client.put(ASSET, {"uri": world.uri()})
    world.emulator.control("/deprovision", {"tenants": ["custaa"]})
    assert refused(lambda: client.read(ASSET)) == (403, "forbidden")  # its token is still good
    assert refused(world.client("custaa").token) == (403, "forbidden")
    assert world.subscriptions() == set()


@pytest.mark.parametrize(
    ("fault", "answer"), [("api-429", (429, "tooManyRequests")), ("api-5xx", (500, "internalServerError"))]
)
def test_a_failing_platform_is_understood(world: World, fault: str, answer: tuple[int, str]) -> None:
    client = world.client()
    client.token()
    world.emulator.control("/fault", {"name": fault})
    assert refused(lambda: client.read(ASSET)) == answer
    assert refused(world.client().token) == answer


def test_it_cannot_publish_because_it_asks_with_get(world: World) -> None:
    """The client's mistake, pinned so that nobody copies it."""
    client = world.client()
    status, _ = refused(lambda: client.send(POSTBOX, "hello"))
    assert status == 405


# the list of user tenants


def test_the_host_reads_who_its_customers_are(world: World) -> None:
    world.emulator.control("/provision", {"tenants": ["custcc"]})
    host = world.client()
    assert host.get(f"{USER_TENANTS}?page=0&size=2") == {
        "userTenants": [{"id": "custaa"}, {"id": "custbb"}],
        "page": {"size": 2, "totalElements": 3, "totalPages": 2, "number": 0},
    }
    assert host.get(f"{USER_TENANTS}?page=1&size=2")["userTenants"] == [{"id": "custcc"}]
    assert refused(lambda: world.client("custaa").get(USER_TENANTS)) == (403, "forbidden")


# the command line


@pytest.fixture
def mdsp(world: World, tmp_path: Path) -> CommandLine:
    mdsp = CommandLine(tmp_path)
    mdsp.log_in(world.credentials("custaa"))
    return mdsp


def test_mdsp_subscribes_looks_and_deletes(world: World, mdsp: CommandLine) -> None:
    uri = world.uri()
    modified = mdsp.broker("modify", ASSET, "-w", uri)
    assert modified.returncode == 0 and f"configured webhook: {uri}" in modified.stdout
    assert world.subscriptions() == {("custaa", ASSET, uri)}
    shown = mdsp.broker("info", ASSET)
    assert shown.returncode == 0 and f"configured webhook: {uri}" in shown.stdout
    assert mdsp.broker("delete", ASSET).returncode == 0
    assert world.subscriptions() == set()
    missing = mdsp.broker("info", ASSET)
    assert missing.returncode == 1 and refusal(missing.stderr) == (404, "noMatch")


def test_mdsp_shows_its_token(mdsp: CommandLine) -> None:
    shown = mdsp("service-token", "--verbose", MDSP_PASSKEY=PASSKEY)
    assert shown.returncode == 0, shown.stderr
    decoded = json.loads(shown.stdout[shown.stdout.index("{") :])
    assert decoded["header"]["alg"] == "RS256" and decoded["payload"]["ten"] == "custaa"


def test_mdsp_with_a_wrong_passkey_has_no_credentials(mdsp: CommandLine) -> None:
    done = mdsp("service-token", "-k", "another")
    assert done.returncode == 1 and "Wrong Passkey in CLI?" in done.stderr


# the installation


def test_the_lock_file_pins_everything_and_names_no_registry() -> None:
    packages = json.loads((FOLDER / "package-lock.json").read_text())["packages"]
    del packages[""]  # the folder itself
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())
