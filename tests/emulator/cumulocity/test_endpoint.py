"""The consumer's WebSocket: who gets in, what comes out, what acknowledges."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import requests
import websocket

from tests.emulator.conftest import World
from tests.emulator.cumulocity.running import Tenant
from tests.emulator.running import running_emulator, wait_for


def refused(connect: Callable[[], object]) -> int:
    """The status an upgrade is refused with."""
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        connect()
    return int(caught.value.status_code)


def test_a_frame_is_ack_id_description_action_and_a_body_on_one_line(tenant: Tenant) -> None:
    """N2-5.1, N2-5.3, N2-5.5: the last part of the description is the device, not the alarm."""
    tenant.rule("A", "alarms")
    reader = tenant.reader("A")
    alarm = tenant.alarm(tenant.devices[0], text="two\nlines and \u2028")
    (frame,) = reader.frames(1)
    assert frame.about == (f"/t123/alarms/{tenant.devices[0]}", "CREATE")
    assert frame.body["id"] == alarm["id"] and frame.body["text"] == "two\nlines and \u2028"
    assert "\n" not in frame.text and "\u2028" in frame.text and not frame.extra


def test_an_unknown_header_line_may_come(world: World, tenant: Tenant) -> None:
    """N2-5.3"""
    tenant.rule("A", "alarms")
    reader = tenant.reader("A")
    world.turn(n2_extra_header="x-future: 1")
    tenant.alarm(tenant.devices[0])
    assert reader.frames(1)[0].extra == ("x-future: 1",)


def test_the_address_has_a_slash_at_its_end_or_not(world: World, tenant: Tenant) -> None:
    """N2-5.1: and it answers at the root too, since some clients cut paths off base addresses."""
    for number, path in enumerate(("/c8y/notification2/consumer", "/notification2/consumer/")):
        url = world.emulator.url.replace("http", "ws") + f"{path}?token={tenant.token('A', f'reader{number}')}"
        socket = websocket.create_connection(url, http_no_proxy=["*"])
        assert socket.connected
        socket.close()


@pytest.mark.parametrize("token", ["", "made.up.token", "eyJhbGciOiJub25lIn0.e30."])
def test_a_bad_token_is_refused_with_401(tenant: Tenant, token: str) -> None:
    """N2-5.2"""
    assert refused(lambda: tenant.socket(token)) == 401


def test_a_token_of_a_tenant_that_is_no_more_is_refused_with_401(world: World, user: Callable[..., Tenant]) -> None:
    """N2-5.2"""
    world.emulator.control("/provision", {"tenants": ["cumulocity/t125"]})
    gone = user("t125")
    token = gone.token("A")
    world.emulator.control("/reset", {})
    assert refused(lambda: gone.socket(token)) == 401


def test_a_second_client_of_an_exclusive_consumer_is_refused_with_409_until_the_first_leaves(tenant: Tenant) -> None:
    """N2-5.2, N2-5.13"""
    token = tenant.token("A")
    first = tenant.socket(token)
    assert refused(lambda: tenant.socket(token)) == 409
    assert refused(lambda: tenant.socket(tenant.token("A", shared=True))) == 409  # of the other kind, too (assumed)
    first.close()
    tenant.wait_for_clients("A", 0)
    tenant.socket(token)


def test_a_client_name_is_not_blank_and_not_used_twice(tenant: Tenant) -> None:
    """N2-5.2"""
    token = tenant.token("A", shared=True)
    assert refused(lambda: tenant.socket(token, " ")) == 400
    tenant.socket(token, "one")
    assert refused(lambda: tenant.socket(token, "one")) == 409


def test_the_messaging_service_may_be_off_or_down(world: World, tenant: Tenant) -> None:
    """N2-2, N2-5.2"""
    token = tenant.token("A")
    world.turn(n2_enabled=False)
    assert refused(lambda: tenant.socket(token)) == 404
    assert tenant.ask("GET", "/notification2/subscriptions").status_code == 404
    world.turn(n2_enabled=True)
    world.fault("n2-down")
    assert refused(lambda: tenant.socket(token)) == 503
    assert tenant.ask("GET", "/notification2/subscriptions").status_code == 503
    world.emulator.control("/fault", {"name": "none"})
    for name, status in (("n2-401", 401), ("n2-409", 409)):
        world.fault(name)
        assert refused(lambda: tenant.socket(token)) == status
        world.emulator.control("/fault", {"name": "none"})


def test_without_an_upgrade_it_is_a_bad_request(tenant: Tenant) -> None:
    answer = requests.get(f"{tenant.base}/notification2/consumer/?token={tenant.token('A')}", timeout=5)
    assert answer.status_code == 400


def test_an_open_socket_survives_the_end_of_its_token(world: World, tenant: Tenant) -> None:
    """N2-4.4: and what it reads is still acknowledged."""
    tenant.rule("A", "measurements")
    token = tenant.token("A", expiresInMinutes=1)
    reader = tenant.socket(token)
    reader_is_alive = tenant.measurement(tenant.devices[0])
    assert reader.frames(1)[0].body["id"] == reader_is_alive["id"]
    tenant.wait_for_backlog("A", 0)


def test_only_the_exact_id_on_the_same_socket_acknowledges(tenant: Tenant) -> None:
    """N2-5.7: quotes and line ends make it another text."""
    tenant.rule("A", "measurements")
    reader = tenant.reader("A")
    tenant.measurement(tenant.devices[0])
    (frame,) = reader.frames(1, ack=False)
    for wrong in (f'"{frame.ack}"', frame.ack + "\n", "nonsense"):
        reader.send(wrong)
    tenant.measurement(tenant.devices[0])
    reader.frames(1)
    tenant.wait_for_backlog("A", 1)
    reader.send(frame.ack)
    tenant.wait_for_backlog("A", 0)


def test_what_is_not_acknowledged_comes_again_after_a_reconnect_in_order_and_only_that(tenant: Tenant) -> None:
    """N2-5.8: holes included; on one unbroken socket nothing comes again."""
    tenant.rule("A", "measurements")
    reader = tenant.reader("A")
    made = [tenant.measurement(tenant.devices[0], value)["id"] for value in range(4)]
    frames = reader.frames(4, ack=False)
    reader.send(frames[1].ack)
    tenant.wait_for_backlog("A", 3)
    assert reader.silent()
    reader.cut()
    tenant.wait_for_clients("A", 0)
    made.append(tenant.measurement(tenant.devices[0], 5)["id"])
    again = tenant.reader("A")
    assert [frame.body["id"] for frame in again.frames(4)] == [made[0], made[2], made[3], made[4]]


def test_a_frame_may_be_sent_again_on_the_same_socket_if_a_knob_says_so(world: World, tenant: Tenant) -> None:
    """N2-5.8: no such timer is documented."""
    tenant.rule("A", "measurements")
    reader = tenant.reader("A")
    world.turn(n2_ack_timeout_s=30)
    for value in range(2):
        tenant.measurement(tenant.devices[0], value)
    first = reader.frames(2, ack=False)
    world.advance(31)
    assert reader.frames(2) == first


def test_a_full_window_stops_the_stream_until_something_is_acknowledged(world: World, tenant: Tenant) -> None:
    """N2-5.10"""
    tenant.rule("A", "measurements")
    world.turn(n2_window=2)
    reader = tenant.reader("A")
    for value in range(4):
        tenant.measurement(tenant.devices[0], value)
    first, _ = reader.frames(2, ack=False)
    assert reader.silent()
    reader.send(first.ack)
    assert reader.frame().body["c8y_T"]["T"]["value"] == 2


def test_an_idle_socket_is_closed_and_a_ping_counts(world: World, tenant: Tenant) -> None:
    """N2-5.11, N2-5.12"""
    world.turn(n2_idle_s=0.4)
    lazy, busy = tenant.reader("A", "lazy"), tenant.reader("A", "busy")
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        busy.ping()
        assert busy.silent()  # its pong is no frame
    assert lazy.close_code() == 1001
    wait_for(lambda: tenant.clients("A") == 1)


def test_close_codes_are_knobs(world: World, tenant: Tenant) -> None:
    """N2-5.12"""
    world.turn(n2_close_unsubscribed=4001)
    token = tenant.token("A")
    reader = tenant.socket(token)
    tenant.post(f"/notification2/unsubscribe?token={token}", {}, 200)
    assert reader.close_code() == 4001
    world.turn(n2_close_unsubscribed=0)
    other = tenant.socket(token)
    tenant.post(f"/notification2/unsubscribe?token={token}", {}, 200)
    with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionError)):
        other.close_code()


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_consumer_can_be_unsubscribed_over_its_socket(tenant: Tenant, end: str) -> None:
    """N2-4.5: the connection is closed, its backlog is gone."""
    tenant.rule("A", "measurements")
    reader = tenant.reader("A")
    tenant.measurement(tenant.devices[0])
    reader.send(f"unsubscribe_subscriber{end}")
    assert reader.close_code() == 1000
    assert tenant.emulator.ledger()["dropped"] == 1
    assert tenant.reader("A").silent()


def test_without_persistence_nothing_waits_and_nothing_comes_twice(tenant: Tenant) -> None:
    """N2-5.15: and a persistent twin of the name sees none of it."""
    tenant.rule("A", "measurements", nonPersistent=True)
    twin = tenant.reader("A", "twin")
    first = tenant.reader("A", nonPersistent=True)
    tenant.measurement(tenant.devices[0], 1)
    first.frames(1, ack=False)
    first.close()
    tenant.wait_for_clients("A", 1)
    tenant.measurement(tenant.devices[0], 2)
    second = tenant.reader("A", nonPersistent=True)
    tenant.measurement(tenant.devices[0], 3)
    assert [frame.body["c8y_T"]["T"]["value"] for frame in second.frames(1)] == [3]
    assert twin.silent()


@pytest.mark.parametrize("fault", ["n2-duplicate", "n2-lost-ack", "n2-cut", "n2-slow"])
def test_faults_repeat_frames_and_lose_none(world: World, tenant: Tenant, fault: str) -> None:
    """N2-9"""
    tenant.rule("A", "measurements")
    reader = tenant.reader("A")
    world.turn(slow_s=0.05)
    world.fault(fault, probability=0.5)
    made = [tenant.measurement(tenant.devices[0], value)["id"] for value in range(12)]
    seen: list[str] = []

    def read() -> bool:
        nonlocal reader
        try:
            frame = reader.frame()
            reader.send(frame.ack)
            seen.append(frame.body["id"])
        except (AssertionError, OSError, websocket.WebSocketException):
            tenant.wait_for_clients("A", 0)
            reader = tenant.reader("A")
        if fault == "n2-lost-ack" and len(set(seen)) == len(made):
            reader.cut()  # the acknowledgements that were lost: only a new connection brings these again
            world.emulator.control("/fault", {"name": "none"})
        return set(seen) == set(made)

    wait_for(read)
    if fault == "n2-lost-ack":
        tenant.wait_for_clients("A", 0)
        again = tenant.reader("A")
        again.frames(tenant.backlog("A"))
    if fault == "n2-duplicate":
        assert len(seen) > len(made)
    tenant.wait_for_backlog("A", 0)
    assert world.emulator.ledger()["acknowledged"] == len(made)


def test_a_delay_holds_a_message_and_all_behind_it(world: World, tenant: Tenant) -> None:
    """N2-9"""
    tenant.rule("A", "measurements")
    reader = tenant.reader("A")
    world.fault("n2-delay")
    first = tenant.measurement(tenant.devices[0], 1)
    world.emulator.control("/fault", {"name": "none"})
    second = tenant.measurement(tenant.devices[0], 2)
    assert reader.silent()
    world.advance(60)
    assert [frame.body["id"] for frame in reader.frames(2)] == [first["id"], second["id"]]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_rules_consumers_and_backlog_survive_the_end_of_the_emulator(end: str) -> None:
    """N2-9: frames may come twice, none is lost; an orderly stop says so on the socket."""
    with running_emulator() as emulator:
        tenant = Tenant(emulator)
        tenant.rule("A", "measurements")
        token = tenant.token("A")
        reader = tenant.socket(token)
        made = [tenant.measurement(tenant.devices[0], value)["id"] for value in range(5)]
        reader.send(reader.frame().ack)
        tenant.wait_for_backlog("A", 4)
        assert getattr(emulator, end)() == (0 if end == "stop" else -9)
        if end == "stop":
            assert reader.close_code() == 1012
        emulator.again()
        again = tenant.socket(token)
        ids = [frame.body["id"] for frame in again.frames(tenant.backlog("A"))]
        assert ids == made[5 - len(ids) :] and len(ids) >= 4
        assert tenant.rule("B", "measurements")["id"] == "2"
        tenant.end()
