"""Answers that begin early, on the wire."""

from __future__ import annotations

import socket

from tests.emulator.conftest import World
from tests.emulator.cumulocity.realtime.client import Device
from tests.emulator.cumulocity.running import Tenant
from tests.emulator.running import DEADLINE_S, wait_for


def raw(device: Device, version: str, body: str) -> socket.socket:
    """A request as seed 003 prints it, on a connection of its own; HTTP/1.0 needs no host."""
    host, port = device.tenant.emulator.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=DEADLINE_S)
    head = f"POST {device.path} HTTP/{version}\r\n" + ("Host: x\r\n" if version == "1.1" else "")
    head += f"Authorization: {device.basic}\r\nX-Id: {device.x_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body.encode())
    return connection


def until_closed(connection: socket.socket) -> tuple[str, str]:
    """Head and body of what came until the platform closed the connection."""
    text = b""
    while piece := connection.recv(65536):
        text += piece
    connection.close()
    head, _, body = text.decode().partition("\r\n\r\n")
    return head, body


def held(world: World, device: Device, version: str) -> socket.socket:
    connection = raw(device, version, f"83,{device.client_id}")
    wait_for(lambda: device.session()["held"])
    world.advance(1300)
    return connection


def test_http_1_0_gets_spaces_and_rows_without_chunks(world: World, device: Device, tenant: Tenant) -> None:
    device.begin("/alarms/*")
    connection = held(world, device, "1.0")
    made = tenant.alarm(tenant.devices[0])
    head, body = until_closed(connection)
    assert head.startswith("HTTP/1.0 200") and "chunked" not in head.lower()
    assert body == f"  100,CREATE,{made['id']},warm"


def test_http_1_1_gets_chunks_once_a_space_was_sent(world: World, device: Device, tenant: Tenant) -> None:
    device.begin("/alarms/*")
    connection = held(world, device, "1.1")
    made = tenant.alarm(tenant.devices[0])
    text = b""
    while not text.endswith(b"0\r\n\r\n"):
        text += connection.recv(65536)
    connection.close()
    head, _, body = text.decode().partition("\r\n\r\n")
    assert "transfer-encoding: chunked" in head.lower()
    pieces = body.split("\r\n")
    assert "".join(pieces[1::2]) == f"  100,CREATE,{made['id']},warm"


def test_an_answer_that_comes_at_once_has_a_length(device: Device) -> None:
    device.client_id = device.ask("80")
    poll = device.connect()
    poll.rows()
    assert poll.response is not None and poll.response.getheader("Content-Length") == str(len(poll.text))


def test_http_1_0_is_answered_from_handshake_to_disconnect(device: Device) -> None:
    head, device.client_id = until_closed(raw(device, "1.0", "80"))
    assert head.startswith("HTTP/1.0 200")
    for row in ("81,{},/mychannel", "82,{},/mychannel", "84,{}"):
        assert until_closed(raw(device, "1.0", row.format(device.client_id)))[1] == ""


def test_what_a_client_that_went_was_to_get_waits_for_the_next_connect(
    world: World, device: Device, tenant: Tenant
) -> None:
    device.begin("/alarms/*")
    connection = raw(device, "1.1", f"83,{device.client_id}")
    wait_for(lambda: device.session()["held"])
    connection.close()
    # the platform learns of it when it writes; that the connection is closed reaches it in its own time
    wait_for(lambda: world.emulator.control("/health"))
    made = tenant.alarm(tenant.devices[0])
    wait_for(lambda: not device.session()["held"])
    assert device.session()["waiting"] == 1
    assert device.connect().rows() == [["100", "CREATE", made["id"], "warm"]]
