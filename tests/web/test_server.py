"""The server around the application: slow clients, long bodies, keep-alive, TLS, stopping, starting twice."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from gunicorn.config import Config

from subscriber.web.server import Worker
from subscriber.web.server.limits import InFlight, Slots
from subscriber.web.server.wire import Connection, Parser, Phase, Reader
from tests.web.certificates import replace_pair
from tests.web.serving import (
    Answer,
    Server,
    await_listening,
    chunked,
    free_port,
    get,
    head,
    is_closed,
    launch,
    post,
    receive,
    serving,
)

STALLED_HEAD = b"POST /echo HTTP/1.1\r\nHost: he"
STALLED_BODY = head("POST", "/echo", "Content-Length: 100") + b"not all of it"
HERE = ("127.0.0.1", 0)
LONG = 300_000  # more than the server collects before a thread reads


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One process, four threads, half a second for anything."""
    folder = tmp_path_factory.mktemp("impatient")
    with serving(folder, "-k", "tests.web.tiny.Impatient", "--threads", "4", WEB_CONCURRENCY="1") as running:
        yield running


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One process, four threads: one of them may wait for a long body."""
    with serving(tmp_path_factory.mktemp("patient"), "--threads", "4", WEB_CONCURRENCY="1") as running:
        yield running


def reason(answer: Answer) -> str:
    found: str = json.loads(answer.body)["error"]["reason"]
    return found


def eventually(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        if condition():
            return True
        time.sleep(0.02)
    return False


# Slow clients.


def test_a_thousand_stalled_connections_do_not_delay_others(server: Server) -> None:
    with ExitStack() as stack:
        stalled = [stack.enter_context(server.connect()) for _ in range(1000)]
        for sock, start in zip(stalled, [STALLED_HEAD, STALLED_BODY] * 500, strict=True):
            sock.sendall(start)
        answers = [server.ask(post("/echo", b"hello")) for _ in range(50)]
        assert [answer.body for answer in answers] == [b"hello"] * 50
        with server.connect() as kept:
            for _ in range(50):
                kept.sendall(post("/echo", b"again"))
                assert receive(kept).status == 200
        assert readable(stalled) == []  # still waiting, all of them


def readable(socks: list[socket.socket]) -> list[int]:
    poller = select.poll()
    for sock in socks:
        poller.register(sock, select.POLLIN)
    return [descriptor for descriptor, _ in poller.poll(0)]


@pytest.mark.parametrize("start", [STALLED_HEAD, STALLED_BODY], ids=["header block", "body"])
def test_a_request_that_does_not_arrive_in_time_is_refused(impatient: Server, start: bytes) -> None:
    with impatient.connect() as sock:
        sock.sendall(start)
        answer = receive(sock)
        assert (answer.status, reason(answer), answer.headers["connection"]) == (408, "too_slow", "close")
        assert is_closed(sock)


def test_a_deadline_is_for_the_whole_and_not_for_each_packet(impatient: Server) -> None:
    with impatient.connect() as sock:
        started = time.monotonic()
        for byte in STALLED_HEAD * 100:
            sock.sendall(bytes([byte]))
            if select.select([sock], [], [], 0.05)[0]:
                break
        assert receive(sock).status == 408
        assert time.monotonic() - started < 10


def test_a_connection_that_says_nothing_is_closed_without_a_word(impatient: Server) -> None:
    with impatient.connect() as sock:
        assert is_closed(sock)


def test_a_request_may_arrive_byte_by_byte(server: Server) -> None:
    with server.connect() as sock:
        for byte in post("/echo", b"slowly"):
            sock.sendall(bytes([byte]))
        assert receive(sock).body == b"slowly"


def test_a_header_block_without_end_is_refused(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\n" + b"X-More: of the same\r\n" * 2000)
        answer = receive(sock)
        assert (answer.status, reason(answer)) == (431, "head_too_large")


def test_bytes_in_flight_are_bounded_and_come_back(tmp_path: Path) -> None:
    with serving(tmp_path, "-k", "tests.web.tiny.Narrow", WEB_CONCURRENCY="1") as server:
        half = head("POST", "/echo", "Content-Length: 60000") + b"x" * 50_000
        with server.connect() as first, server.connect() as second:
            first.sendall(half)
            second.sendall(half)
            assert select.select([first, second], [], [], 15)[0]
            refused, accepted = (first, second) if readable([first]) else (second, first)
            answer = receive(refused)
            assert (answer.status, reason(answer), answer.headers["retry-after"]) == (503, "overloaded", "2")
            accepted.sendall(b"x" * 10_000)
            assert len(receive(accepted).body) == 60_000
        for _ in range(5):  # an answer may be read a moment before its request's bytes are let go
            assert eventually(lambda: len(server.ask(post("/echo", b"x" * 60_000)).body) == 60_000)


def test_what_comes_while_a_request_is_answered_waits_for_its_turn(patient: Server) -> None:
    with patient.connect() as first, patient.connect() as gone:
        for sock in (first, gone):
            sock.sendall(get("/slow?seconds=0.5"))
        assert patient.ask(get("/pid")).status == 200  # both are being answered now
        first.sendall(get("/pid")[:10])
        gone.sendall(get("/pid"))
        gone.close()
        assert receive(first).body == b"done"
        first.sendall(get("/pid")[10:])
        assert receive(first).status == 200
    assert patient.ask(get("/pid")).status == 200


# Long bodies.


def test_a_stranger_is_refused_before_a_long_body_is_sent(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(head("POST", "/stranger", "Content-Length: 900000"))
        answer = receive(sock)
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert is_closed(sock)


def test_a_stranger_with_a_short_body_keeps_the_connection(server: Server) -> None:
    with server.connect() as sock:
        for _ in range(2):
            sock.sendall(post("/stranger", b"short"))
            answer = receive(sock)
            assert (answer.status, answer.headers["connection"]) == (401, "keep-alive")


def test_long_bodies_arrive_whole(server: Server) -> None:
    body = os.urandom(LONG)
    with server.connect() as sock:
        for _ in range(2):
            sock.sendall(post("/echo", body))
            assert receive(sock).body == body
            sock.sendall(head("POST", "/echo", "Transfer-Encoding: chunked") + chunked(body, b"tail"))
            assert receive(sock).body == body + b"tail"


def test_few_threads_wait_for_long_bodies_and_the_others_serve(patient: Server) -> None:
    with patient.connect() as first, patient.connect() as second:
        first.sendall(head("POST", "/length", f"Content-Length: {LONG}", "Expect: 100-continue"))
        assert receive(first).status == 100  # now a thread waits for it
        second.sendall(head("POST", "/length", f"Content-Length: {LONG}"))
        answer = receive(second)
        assert (answer.status, reason(answer), answer.headers["retry-after"]) == (503, "overloaded", "2")
        assert patient.ask(post("/echo", b"meanwhile")).body == b"meanwhile"
        first.sendall(b"x" * LONG)
        assert receive(first).body == str(LONG).encode()
    assert patient.ask(post("/length", b"x" * LONG)).status == 200  # its slot is free again


def test_a_long_body_that_does_not_arrive_in_time_is_refused(impatient: Server) -> None:
    for _ in range(3):  # the slot comes back each time
        with impatient.connect() as sock:
            sock.sendall(head("POST", "/length", f"Content-Length: {LONG}") + b"x" * 1000)
            answer = receive(sock)
            assert (answer.status, reason(answer), answer.headers["connection"]) == (408, "too_slow", "close")


def test_a_body_that_breaks_off_is_not_mistaken_for_a_whole_one(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(head("POST", "/length", f"Content-Length: {LONG}") + b"x" * 1000)
        sock.shutdown(socket.SHUT_WR)
        answer = receive(sock)
        assert (answer.status, reason(answer)) == (400, "broken_body")


@pytest.mark.parametrize("size", [5, LONG])
def test_continue_is_said_when_the_body_is_wanted(server: Server, size: int) -> None:
    with server.connect() as sock:
        sock.sendall(head("POST", "/length", f"Content-Length: {size}", "Expect: 100-continue"))
        assert receive(sock).status == 100
        sock.sendall(b"x" * size)
        assert receive(sock).body == str(size).encode()
        sock.sendall(post("/echo", b"next"))
        assert receive(sock).body == b"next"


def test_continue_is_not_said_to_a_stranger(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(head("POST", "/stranger", "Content-Length: 5", "Expect: 100-continue"))
        assert receive(sock).status == 401


@pytest.mark.parametrize("coding", ["declared", "chunked"])
def test_a_body_over_the_limit_is_refused_and_never_truncated(server: Server, coding: str) -> None:
    body = b"x" * 1_000_001
    declared = post("/length", body)
    unknown = head("POST", "/length", "Transfer-Encoding: chunked") + chunked(body)
    with server.connect() as sock:
        sock.sendall(declared if coding == "declared" else unknown)
        answer = receive(sock)
        assert (answer.status, reason(answer)) == (413, "too_large")


# Connections.


def test_connections_are_shared_by_both_processes(server: Server) -> None:
    with ExitStack() as stack:
        kept = [stack.enter_context(server.connect()) for _ in range(32)]
        pids = set()
        for _ in range(3):
            for sock in kept:
                sock.sendall(get("/pid"))
            pids |= {receive(sock).body for sock in kept}
    assert len(pids) == 2


def test_requests_sent_ahead_are_answered_in_order(server: Server) -> None:
    with server.connect() as sock:
        half = post("/echo", b"fourth")
        requests = post("/echo", b"first") + get("/pieces") + head("POST", "/echo", "Transfer-Encoding: chunked")
        sock.sendall(requests + chunked(b"th", b"ird") + half[:20])
        assert [receive(sock).body for _ in range(3)] == [b"first", b"onetwothree", b"third"]
        sock.sendall(half[20:])
        assert receive(sock).body == b"fourth"


def test_a_short_chunked_body_needs_no_slot_of_the_long_ones(patient: Server) -> None:
    with patient.connect() as waiting:
        waiting.sendall(head("POST", "/length", f"Content-Length: {LONG}", "Expect: 100-continue"))
        assert receive(waiting).status == 100
        with patient.connect() as sock:
            for piece in (head("POST", "/echo", "Transfer-Encoding: chunked"), b"5\r\nhel", b"lo\r\n0\r", b"\n\r\n"):
                sock.sendall(piece)
            assert receive(sock).body == b"hello"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (head("POST", "/echo", "Content-Length: 1", "Content-Length: 1") + b"x", 400),
        (head("POST", "/echo", "Content-Length: 1", "Transfer-Encoding: chunked") + b"x", 400),
        (head("POST", "/echo", "Transfer-Encoding: rot13"), 501),
        (head("POST", "/echo", "Expect: a miracle"), 417),
        (head("GET", "/" + "x" * 5000), 414),
        (head("GET", "/pid", "X-Long: " + "x" * 20000), 431),
        (head("POST", "/echo", "Transfer-Encoding: chunked") + b"zz\r\n", 400),
    ],
)
def test_what_is_not_http_is_refused_in_our_shape(server: Server, sent: bytes, status: int) -> None:
    with server.connect() as sock:
        sock.sendall(sent)
        answer = receive(sock)
        assert answer.status == status
        assert set(json.loads(answer.body)["error"]) == {"reason", "detail"}
        assert is_closed(sock)


def test_an_access_log_may_be_kept(tmp_path: Path) -> None:
    options = ("--access-logfile", f"{tmp_path}/access.log", "--access-logformat", "%(r)s %(s)s %({x-own}i)s")
    with serving(tmp_path, *options, WEB_CONCURRENCY="1") as server, server.connect() as sock:
        for _ in range(2):
            sock.sendall(get("/pid?plain", "X-Own: value"))
            assert receive(sock).headers["connection"] == "keep-alive"
        assert eventually(lambda: (tmp_path / "access.log").read_text() == "GET /pid?plain HTTP/1.1 200 value\n" * 2)


class Overheard(Connection):
    """The poller's thread goes on in the very moment that it is given back."""

    __slots__ = ("go_on",)
    go_on: Callable[[], None]

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "phase" and value is Phase.IDLE:
            self.go_on()


def test_a_request_that_begins_while_its_connection_is_given_back_has_its_own_deadline() -> None:
    ours, theirs = socket.socketpair()
    worker = Worker.__new__(Worker)
    worker.handover, worker.in_flight = threading.Lock(), InFlight(1000)
    reader = Reader(ours, worker.in_flight, Slots(1), patience=5)
    with ours, theirs:
        connection = Overheard(ours, HERE, HERE, reader, Parser(Config(), reader, HERE))
        connection.phase = Phase.BUSY
        connection.go_on = lambda: worker.on_readable(connection, ours)
        theirs.sendall(STALLED_HEAD)
        worker.give_back(connection, Phase.IDLE, 95)
        assert connection.phase is Phase.HEAD
        assert connection.deadline <= time.monotonic() + worker.head_seconds


def test_an_answer_does_not_say_who_serves(server: Server) -> None:
    assert "server" not in server.ask(get("/pid")).headers


def test_a_client_that_keeps_the_connection_open_after_our_last_answer_is_let_go(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(get("/pid", "Connection: close"))
        assert receive(sock).headers["connection"] == "close"
        assert is_closed(sock)
        assert server.ask(get("/pid")).status == 200


def test_connections_lost_by_a_bug_are_forgotten(tmp_path: Path) -> None:
    options = ("-k", "tests.web.tiny.Clumsy", "--worker-connections", "5", "--threads", "2")
    with serving(tmp_path, *options, WEB_CONCURRENCY="1") as server:
        for _ in range(15):
            with server.connect() as sock:
                sock.sendall(get("/pid"))
                assert receive(sock).status == 200
                assert is_closed(sock)


# TLS.


@pytest.fixture
def https(tmp_path: Path) -> Iterator[Server]:
    cert, key = replace_pair(tmp_path, "first.example")
    with serving(tmp_path, WEB_CONCURRENCY="1", TLS_CERT_FILE=str(cert), TLS_KEY_FILE=str(key)) as running:
        yield running


def wrapped(server: Server) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(server.connect())


def test_https_serves_short_and_long_requests(https: Server) -> None:
    body = os.urandom(LONG)
    with wrapped(https) as sock:
        for sent in (b"short", body, b"short again"):
            sock.sendall(post("/echo", sent))
            assert receive(sock).body == sent
        sock.sendall(post("/echo", b"ahead") * 5)
        assert [receive(sock).body for _ in range(5)] == [b"ahead"] * 5


def test_stalled_handshakes_do_not_delay_others(https: Server) -> None:
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(https.connect()).sendall(b"\x16\x03\x01")
        with wrapped(https) as sock:
            sock.sendall(post("/echo", b"hello"))
            assert receive(sock).body == b"hello"


def test_a_renewed_certificate_is_picked_up_and_a_broken_one_is_not(https: Server, tmp_path: Path) -> None:
    def served() -> bytes | None:
        with wrapped(https) as sock:
            return sock.getpeercert(binary_form=True)

    first = served()
    (tmp_path / "tls.crt").write_text("half a file")
    time.sleep(1.5)  # more than a sweep: the server has seen it
    assert served() == first
    replace_pair(tmp_path, "second.example")
    assert eventually(lambda: served() != first)


# Stopping.


def test_an_orderly_stop_finishes_what_is_in_flight_and_lets_idle_connections_go(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        with server.connect() as busy, server.connect() as idle:
            idle.sendall(get("/pid"))
            assert receive(idle).headers["connection"] == "keep-alive"
            busy.sendall(get("/slow?seconds=1.5"))
            time.sleep(0.3)  # so that it is being answered; a request on its way would be answered too
            started = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - started < 8
            answer = receive(busy)
            assert (answer.body, answer.headers["connection"]) == (b"done", "close")
            assert is_closed(idle)


def test_a_request_that_does_not_end_cannot_hold_up_a_stop(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.connect() as busy:
        busy.sendall(get("/slow?seconds=60"))
        time.sleep(0.3)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 8.5


EARLY = """
import os, signal
exec(compile(open("gunicorn.conf.py").read(), "gunicorn.conf.py", "exec"))
forked = post_fork

def post_fork(server, worker):
    forked(server, worker)
    with open(os.environ["STARTED"], "a+") as started:
        print(worker.pid, file=started, flush=True)
        started.seek(0)
        if len(started.readlines()) == 1:
            os.kill(worker.pid, signal.SIGTERM)
"""


def test_a_stop_that_comes_while_a_process_is_still_starting_is_heard(tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text(EARLY)
    started = tmp_path / "started"
    started.touch()
    with serving(tmp_path, "-c", f"{tmp_path}/early.py", WEB_CONCURRENCY="1", STARTED=str(started)) as server:
        assert eventually(lambda: len(started.read_text().split()) == 2), "the first process goes on"
        first, second = map(int, started.read_text().split())
        assert eventually(lambda: not is_running(first))
        assert eventually(lambda: server.ask(get("/pid")).body == b"%d" % second)


# Starting twice. The locks themselves: tests/test_exclusive.py.


def test_a_second_server_on_the_same_port_is_refused(server: Server, tmp_path: Path) -> None:
    second = launch(tmp_path, server.port)
    assert second.process.wait(20) == 2
    assert f"listens on 127.0.0.1:{server.port}" in second.output.read_text()
    assert server.ask(get("/pid")).status == 200


def test_a_second_server_on_the_same_database_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path):
        second = launch(tmp_path, free_port())
        assert second.process.wait(20) == 2
        assert "the database" in second.output.read_text()


def test_after_a_kill_the_workers_end_and_the_next_server_starts(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        pids = {int(server.ask(get("/pid")).body) for _ in range(20)}
        server.process.kill()
        server.process.wait()
        again = launch(tmp_path, server.port)  # at once, as a supervisor would
        try:
            assert eventually(lambda: not any(is_running(pid) for pid in pids))
            await_listening(again)
            assert again.ask(get("/pid")).status == 200
        finally:
            assert again.stop() == 0


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] if os.path.isdir("/proc") else "R"
    return state != "Z"  # ended, and nobody has asked how


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, WEB_CONCURRENCY="1") as server:
        pid = int(server.ask(get("/pid")).body)
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: serves_as_another(server, pid))


def serves_as_another(server: Server, pid: int) -> bool:
    try:
        return int(server.ask(get("/pid")).body) != pid
    except (ConnectionError, EOFError):
        return False


def test_wrong_settings_are_told_all_at_once(tmp_path: Path) -> None:
    refused = launch(tmp_path, free_port(), MAX_BODY_BYTES="none", WORKER_THREADS="0")
    assert refused.process.wait(20) == 2
    output = refused.output.read_text()
    assert "MAX_BODY_BYTES" in output and "WORKER_THREADS" in output and "Traceback" not in output


def test_a_database_without_its_schema_is_told_before_anything_listens(tmp_path: Path) -> None:
    refused = launch(tmp_path, free_port(), DATABASE_URL=f"sqlite:///{tmp_path}/other.db")
    assert refused.process.wait(20) == 2
    output = refused.output.read_text()
    assert "migrate" in output and "Traceback" not in output


def test_a_certificate_that_cannot_be_used_is_told_before_anything_listens(tmp_path: Path) -> None:
    cert, key = replace_pair(tmp_path, "first.example")
    key.write_text("nonsense")
    refused = launch(tmp_path, free_port(), TLS_CERT_FILE=str(cert), TLS_KEY_FILE=str(key))
    assert refused.process.wait(20) == 2
    assert "Traceback" not in refused.output.read_text()
