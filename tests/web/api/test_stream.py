"""Notifications as they arrive: under the product's own server, and word by word."""

from __future__ import annotations

import itertools
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from subscriber.model import Tenant
from subscriber.store import RowFilter
from subscriber.web.api import stream
from subscriber.web.api.places import Order, Seal
from subscriber.web.api.stream import event
from subscriber.web.live import MAX_STREAMS_OF_ONE
from tests.signing import bearer
from tests.store.making import TOPIC
from tests.web.api.world import ACME, ALIAS, OTHER, World, environment
from tests.web.api.world import world as made
from tests.web.certificates import replace_pair
from tests.web.serving import ANSWER_SECONDS, Server, get, serving


class Event(NamedTuple):
    kind: str
    id: str
    item: Any


class Listening:
    """A client of one stream: gunicorn's chunks taken apart, comments skipped."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(ANSWER_SECONDS)
        self._file = sock.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = dict(self._header_lines())
        self._text = b""

    def _header_lines(self) -> Iterator[tuple[str, str]]:
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(":")
            yield name.lower(), value.strip()

    def _block(self) -> bytes | None:
        """Everything to the next empty line; None at the end of the answer."""
        while b"\n\n" not in self._text:
            size = int(self._file.readline() or b"0", 16)
            if not size:
                return None
            self._text += self._file.read(size)
            self._file.readline()
        block, _, self._text = self._text.partition(b"\n\n")
        return block

    def close(self) -> None:
        """The file holds the socket open."""
        self._file.close()

    def next(self) -> Event | None:
        """The next event; None when the stream has ended."""
        while (block := self._block()) is not None:
            fields = [line.partition(b": ")[::2] for line in block.split(b"\n")]
            named = {name: value.decode() for name, value in fields if name in (b"event", b"id")}
            if b"event" in named:
                data = b"\n".join(value for name, value in fields if name == b"data")
                return Event(named[b"event"], named[b"id"], json.loads(data))
        return None


@contextmanager
def served(world: World, folder: Path, **variables: str) -> Iterator[Server]:
    settings = environment(world.keys, world.services.settings.database_url) | variables
    del settings["DATABASE_URL"]  # its place in the folder is the server's default
    with serving(folder, app="app:app", WEB_CONCURRENCY="1", **settings) as server:
        yield server


@contextmanager
def listening(server: Server, token: str, path: str = "/api/stream", **headers: str) -> Iterator[Listening]:
    fields = [f"Authorization: {bearer(token)}", *(f"{name}: {value}" for name, value in headers.items())]
    with server.connect() as sock:
        sock.sendall(get(path, *fields))
        client = Listening(sock)
        yield client
        client.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Server]]:
    """One server for all tests that leave it running: streams begin now, so older notifications do not matter."""
    folder = tmp_path_factory.mktemp("stream")
    with made(folder) as world, served(world, folder) as server:
        yield world, server


@pytest.fixture
def world(shared: tuple[World, Server]) -> World:
    return shared[0]


@pytest.fixture
def server(shared: tuple[World, Server]) -> Server:
    return shared[1]


NUMBERS = itertools.count()


def arrive(world: World, source: str, tenant: Tenant = ACME, **parts: Any) -> None:
    """A new fact each time."""
    world.arrive(f"fact-{next(NUMBERS)}", tenant, source=source, **parts)


def sources(client: Listening, count: int) -> list[str]:
    return [found.item["source"] for _ in range(count) if (found := client.next())]


def test_notifications_are_told_as_they_arrive_and_each_carries_its_place(world: World, server: Server) -> None:
    arrive(world, "before")
    with listening(server, world.token()) as client:
        assert client.status == 200 and client.headers["content-type"].startswith("text/event-stream")
        for name in ("a", "b", "c"):
            arrive(world, name, body=b'{"x":\r\n"1"}')
        found = [client.next() for _ in range(3)]
    assert [(one.kind, one.item["source"], one.item["payload"]) for one in found if one] == [
        ("notification", "a", {"x": "1"}),
        ("notification", "b", {"x": "1"}),
        ("notification", "c", {"x": "1"}),
    ]
    assert len({one.id for one in found if one}) == 3
    arrive(world, "d")
    with listening(server, world.token(), **{"Last-Event-ID": found[0].id if found[0] else ""}) as client:
        assert sources(client, 3) == ["b", "c", "d"]


def test_a_stream_goes_on_where_a_list_has_ended(world: World, server: Server) -> None:
    arrive(world, "one")
    resume = world.listed()["resume"]
    for number in range(25):
        arrive(world, f"s{number}")
    with listening(server, world.token(), f"/api/stream?cursor={resume}") as client:
        assert sources(client, 25) == [f"s{number}" for number in range(25)]


def test_nobody_hears_of_another_tenant_and_filters_hold(world: World, server: Server) -> None:
    with (
        listening(server, world.token()) as acme,
        listening(server, world.token(OTHER.name)) as other,
        listening(server, world.token(), f"/api/stream?topic={TOPIC}&source=wanted") as picky,
        listening(server, world.token(), "/api/stream?platform=cumulocity") as elsewhere,
    ):
        assert {one.status for one in (acme, other, picky, elsewhere)} == {200}
        arrive(world, "a", ACME)
        arrive(world, "b", OTHER)
        arrive(world, "c", ALIAS)
        arrive(world, "wanted", ACME)
        arrive(world, "e", OTHER)
        assert sources(acme, 3) == ["a", "c", "wanted"]
        assert sources(other, 2) == ["b", "e"]
        assert sources(picky, 1) == ["wanted"]
        assert sources(elsewhere, 1) == ["c"]


def test_many_streams_hold_no_thread(world: World, server: Server) -> None:
    """More streams than the server has threads, and it still answers."""
    token = world.token()
    with ExitStack() as stack:
        clients = [stack.enter_context(listening(server, token)) for _ in range(20)]
        assert server.ask(get("/health")).status == 200
        arrive(world, "one")
        assert [sources(client, 1) for client in clients] == [["one"]] * 20


def test_one_tenant_cannot_take_all_streams(world: World, server: Server) -> None:
    token = world.token("crowd")
    with ExitStack() as stack:
        clients = [stack.enter_context(listening(server, token)) for _ in range(MAX_STREAMS_OF_ONE + 1)]
        assert [client.status for client in clients] == [200] * MAX_STREAMS_OF_ONE + [503]
        assert "retry-after" in clients[-1].headers
        with listening(server, world.token(OTHER.name)) as other:
            assert other.status == 200
    deadline = time.monotonic() + ANSWER_SECONDS
    while server_status(server, token) != 200:  # their seats are free once the server has seen them leave
        assert time.monotonic() < deadline


def server_status(server: Server, token: str) -> int:
    with listening(server, token) as client:
        return client.status


def test_a_stream_ends_with_its_token(world: World, server: Server) -> None:
    with listening(server, world.token(exp=int(time.time()) + 3)) as client:
        assert client.status == 200
        assert client.next() is None
    with listening(server, world.token(exp=int(time.time()) - 5)) as client:  # within the clocks' leeway
        assert client.next() is None


def test_a_stopping_server_ends_its_streams_in_order(tmp_path: Path) -> None:
    with (
        made(tmp_path) as world,
        served(world, tmp_path) as server,
        listening(server, world.token()) as client,
    ):
        arrive(world, "one")
        assert sources(client, 1) == ["one"]
        assert server.stop() == 0
        assert client.next() is None


def test_over_tls_it_is_the_same(tmp_path: Path) -> None:
    cert, key = replace_pair(tmp_path, "here")
    with (
        made(tmp_path) as world,
        served(world, tmp_path, TLS_CERT_FILE=str(cert), TLS_KEY_FILE=str(key)) as server,
        server.connect() as plain,
        ssl.create_default_context(cafile=str(cert)).wrap_socket(plain, server_hostname="here") as sock,
    ):
        sock.sendall(get("/api/stream", f"Authorization: {bearer(world.token())}"))
        client = Listening(sock)
        large = "x" * 3_000_000  # more than the network takes at once
        arrive(world, "large", body=f'"{large}"'.encode())
        arrive(world, "small")
        found = [client.next(), client.next()]
        client.close()
    assert [(one.item["source"], len(one.item["payload"])) for one in found if one] == [
        ("large", len(large)),
        ("small", 1),
    ]


def test_a_place_of_another_database_is_refused_before_anything_is_said(world: World, server: Server) -> None:
    seal = Seal(world.services.settings.shared_secret)
    beyond = seal.sealed(str(2**62), Order.ARRIVAL, ACME.name)
    with listening(server, world.token(), **{"Last-Event-ID": beyond}) as client:
        assert client.status == 400


@pytest.mark.parametrize("place", ["0", "A" * 75, "a b"])
def test_a_place_that_was_not_given_is_refused(world: World, place: str) -> None:
    answer = world.get("/api/stream", Last_Event_ID=place)
    assert (answer.status_code, answer.json["error"]["reason"]) == (400, "cursor")


def test_a_foreign_place_is_refused(world: World) -> None:
    foreign = world.listed("", world.token(OTHER.name))["resume"]
    assert world.get(f"/api/stream?cursor={foreign}").status_code == 400


def test_a_server_that_cannot_hand_over_connections_tells_what_there_is_and_ends(tmp_path: Path) -> None:
    with made(tmp_path) as world:
        resume = world.listed()["resume"]
        arrive(world, "one")
        answer = world.get(f"/api/stream?cursor={resume}")
    assert answer.status_code == 200 and b'"source":"one"' in answer.data
    assert answer.headers["Cache-Control"] == "no-store"


def test_line_ends_between_a_payload_s_values_become_lines_of_data() -> None:
    told = event("place", b'{"a":\r\n1,\r"b":\n"c\\n"}')
    assert told == b'event: notification\nid: place\ndata: {"a":\ndata: 1,\ndata: "b":\ndata: "c\\n"}\n\n'


def test_in_silence_a_sign_of_life_carries_the_place_reached(tmp_path: Path) -> None:
    with made(tmp_path) as world:
        arrive(world, "theirs", OTHER)
        reports = world.services.store.reports.within([ACME])
        told = stream.Stream(reports, RowFilter(), "", Seal("s"), "custaa", 0.0, 100.0)
        assert told.ends_at == stream.STREAM_SECONDS
        begin = told.sign_of_life()
        assert told.news() == (b"", False)
        assert not told.silent(stream.SILENCE_SECONDS - 1, b"")
        assert told.silent(stream.SILENCE_SECONDS, b"") and not told.silent(stream.SILENCE_SECONDS + 1, b"")
        life = told.sign_of_life()
        assert life.startswith(b": ") and b"\nid: " in life and b"data" not in life and life != begin
