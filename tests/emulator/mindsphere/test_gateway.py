"""The gateway: nothing reaches an application but through it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.emulator.conftest import World
from tests.emulator.running import Client, receiver, running_emulator

EVERYTHING = {"tenant": "custaa", "scopes": ["alarmapi.read"]}


def bearer(world: World, **members: Any) -> dict[str, str]:
    token = world.emulator.control("/tokens", {**EVERYTHING, **members})["access_token"]
    return {"Authorization": f"Bearer {token}"}


def call(world: World, path: str, method: str = "GET", **request: Any) -> Any:
    request.setdefault("headers", bearer(world))
    address = f"{world.emulator.url}{path}"
    return world.client.session.request(method, address, allow_redirects=False, **request)


@pytest.mark.parametrize("base", ["/api", "/gateway/api"])
@pytest.mark.parametrize("version", ["v1", "v1.4.2"])
def test_the_application_sees_what_follows_the_version(world: World, base: str, version: str) -> None:
    answer = call(world, f"{base}/alarmapi-acmeop/{version}/api/notifications?limit=5&q=a%20b")
    assert (answer.status_code, world.app.got[0].path) == (204, "/api/notifications?limit=5&q=a%20b")


def test_the_prefix_may_stay(world: World) -> None:
    world.turn(gw_strip_prefix=False)
    call(world, "/gateway/api/alarmapi-acmeop/v1/api/notifications")
    assert world.app.got[0].path == "/api/alarmapi-acmeop/v1/api/notifications"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_method_body_and_answer_pass_through(world: World, method: str) -> None:
    world.app.respond = lambda request: (418, {"X-Answer": "yes"})
    answer = call(world, "/api/alarmapi-acmeop/v1/x", method, data=b"\x00\xffbody")
    assert (world.app.got[0].method, world.app.got[0].body) == (method, b"\x00\xffbody")
    assert (answer.status_code, answer.headers["X-Answer"], answer.json()) == (418, "yes", {"seen": True})


def test_the_token_passes_unchanged_and_the_callers_side_is_told(world: World) -> None:
    headers = bearer(world)
    call(world, "/api/alarmapi-acmeop/v1/x", headers={**headers, "X-Own": "1", "Connection": "X-Own"})
    seen = world.app.got[0].headers
    assert seen["authorization"] == headers["Authorization"] and seen["x-own"] == "1"
    assert seen["x-forwarded-for"] == "127.0.0.1" and seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == world.emulator.url.removeprefix("http://")


def test_without_a_genuine_token_nothing_passes(world: World) -> None:
    for headers in ({}, {"Authorization": "Bearer a.b.c"}):
        assert call(world, "/api/alarmapi-acmeop/v1/x", headers=headers).status_code == 401
    assert world.app.got == []


def test_a_token_without_a_scope_of_the_application_does_not_pass(world: World) -> None:
    """C12: what happens to a broker without a scope mapping."""
    for scopes in ([], ["other.read"], ["alarmapi"], ["alarmapi.readmore"]):
        answer = call(world, "/api/alarmapi-acmeop/v1/x", headers=bearer(world, scopes=scopes))
        assert answer.status_code == 403
    assert world.app.got == []


@pytest.mark.parametrize(
    "path", ["/api/alarmapi-acmeop/v2/x", "/api/alarmapi-custaa/v1/x", "/api/x", "/api/alarmapi/v1/x"]
)
def test_what_is_not_registered_is_not_found(world: World, path: str) -> None:
    assert call(world, path).status_code == 404


def test_only_registered_endpoints_are_open(world: World) -> None:
    world.emulator.control("/applications", {"endpoints": ["/notifications/*"]})
    assert call(world, "/api/alarmapi-acmeop/v1/notifications/mindsphere").status_code == 204
    assert call(world, "/api/alarmapi-acmeop/v1/console").status_code == 404


def test_an_application_may_live_elsewhere(world: World) -> None:
    """A tunnel's or any other direct address goes into the route, never into a subscription."""
    with receiver() as other:
        world.emulator.control("/applications", {"direct_url": other.url + "/base/"})
        call(world, "/api/alarmapi-acmeop/v1/x")
        assert [request.path for request in other.got] == ["/base/x"] and world.app.got == []


def test_an_unreachable_application_is_a_bad_gateway(world: World) -> None:
    with receiver() as gone:
        world.emulator.control("/applications", {"direct_url": gone.url})
    assert call(world, "/api/alarmapi-acmeop/v1/x").status_code == 502


def test_a_silent_application_is_a_gateway_timeout(world: World) -> None:
    world.turn(gw_timeout_s=0.1)
    answered = Event()
    world.app.respond = lambda request: (204 if answered.wait(5) else 500, {})
    assert call(world, "/api/alarmapi-acmeop/v1/x").status_code == 504
    answered.set()


def test_limits_of_the_newer_gateway_can_be_played(world: World) -> None:
    world.turn(gw_max_body_bytes=1000, gw_max_header_bytes=4000)
    assert call(world, "/api/alarmapi-acmeop/v1/x", "POST", data=b"x" * 1001).status_code == 413
    big = {**bearer(world), "X-Big": "x" * 4000}
    assert call(world, "/api/alarmapi-acmeop/v1/x", headers=big).status_code == 431


@pytest.mark.parametrize(("fault", "seen"), [("gateway-502", 0), ("cut", 0)])
def test_declared_faults_of_the_way_in(world: World, fault: str, seen: int) -> None:
    world.fault(fault)
    assert call(world, "/api/alarmapi-acmeop/v1/x", "POST", data=b"x" * 1000).status_code == 502
    assert len(world.app.got) == seen


def test_redirects_are_handed_on_not_followed(world: World) -> None:
    """C10"""
    world.app.respond = lambda request: (302, {"Location": "/elsewhere"})
    assert call(world, "/api/alarmapi-acmeop/v1/x").status_code == 302
    assert len(world.app.got) == 1


def test_an_https_application_must_show_a_certificate_we_trust(world: World, tmp_path: Any) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with receiver(tls=context) as app:
        for knobs, status in (((), 502), (("--knob", f"EMU_APP_CA_FILE={certificate}"), 204)):
            with running_emulator("--app", app.url, *knobs) as emulator:
                client = Client(emulator.credentials())
                own = World(emulator, app, client)
                assert call(own, "/api/alarmapi-acmeop/v1/x", headers=client.bearer()).status_code == status
                client.close()


def self_signed(folder: Any) -> tuple[str, str]:
    """Certificate and key files for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return str(folder / "cert.pem"), str(folder / "key.pem")
