"""Outbound HTTP against real servers on loopback: what is repeated, what is bounded, what never leaks."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from subscriber.errors import PlatformUnavailable
from subscriber.transport import MAX_ANSWER_BYTES, Transport, retry_after

NOW = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)
Script = Callable[[socket.socket, bytes], None]


class Server:
    """Answers each connection by the next script; the last one stays. Keeps the heads it has read."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.heads: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        head = b""
        while b"\r\n\r\n" not in head:
            part = connection.recv(65536)
            if not part:
                return
            head += part
        self.heads.append(head)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        try:
            script(connection, head)
        except OSError:
            pass  # the client hung up, as some tests want it to

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)


@contextmanager
def serving(*scripts: Script) -> Iterator[Server]:
    server = Server(*scripts)
    try:
        yield server
    finally:
        server.close()


def reply(status: int, body: bytes = b"", *, headers: str = "") -> Script:
    def script(connection: socket.socket, head: bytes) -> None:
        start = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
        connection.sendall(start.encode() + body)

    return script


def hang_up(connection: socket.socket, head: bytes) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def drip(first: bytes) -> Script:
    """Sends a start, then one byte at a time, for as long as somebody listens."""

    def script(connection: socket.socket, head: bytes) -> None:
        connection.sendall(first)
        connection.settimeout(0.05)
        while True:
            connection.sendall(b"x")
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                continue

    return script


class Pauses:
    """Remembers the waits it was asked for, and does not wait."""

    def __init__(self, *, stop_after: int = 99) -> None:
        self.seconds: list[float] = []
        self.stop_after = stop_after

    def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return len(self.seconds) >= self.stop_after


@contextmanager
def transport_to(server: Server, pauses: Pauses, *, answer_seconds: float = 5) -> Iterator[Transport]:
    transport = Transport(
        server.url, answer_seconds=answer_seconds, pause=pauses, jitter=lambda: 0.5, now=lambda: NOW
    )
    try:
        yield transport
    finally:
        transport.close()


def send(server: Server, pauses: Pauses | None = None, *, answer_seconds: float = 5) -> object:
    with transport_to(server, pauses or Pauses(), answer_seconds=answer_seconds) as transport:
        return transport.send("GET", "/thing?secret=1", {"Authorization": "Bearer abc"})


def test_an_answer_carries_status_lower_case_headers_and_body() -> None:
    with serving(reply(404, b"no", headers="X-Trace: 7\r\n")) as server:
        with transport_to(server, Pauses()) as transport:
            answer = transport.send("PUT", "/thing", {"Content-Type": "application/json"}, b"{}")
    assert (answer.status, answer.headers["x-trace"], answer.body) == (404, "7", b"no")
    assert server.heads[0].startswith(b"PUT /thing HTTP/1.1")


def test_an_answers_repr_shows_neither_headers_nor_body() -> None:
    with serving(reply(200, b"token-abc", headers="X-Key: k\r\n")) as server:
        assert repr(send(server)) == "Answer(status=200)"


@pytest.mark.parametrize("first", [reply(500), reply(503), reply(429), hang_up], ids=["500", "503", "429", "cut"])
def test_what_may_be_better_next_time_is_sent_again(first: Script) -> None:
    pauses = Pauses()
    with serving(first, reply(200, b"ok")) as server:
        send(server, pauses)
    assert len(server.heads) == 2
    assert pauses.seconds == [0.25]


@pytest.mark.parametrize("status", [200, 201, 204, 302, 400, 401, 403, 404, 405])
def test_an_answer_that_would_stay_the_same_is_not_asked_for_again(status: int) -> None:
    with serving(reply(status)) as server:
        send(server)
    assert len(server.heads) == 1


def test_after_three_attempts_with_growing_pauses_the_platform_is_unavailable() -> None:
    pauses = Pauses()
    with serving(reply(503)) as server, pytest.raises(PlatformUnavailable) as caught:
        send(server, pauses)
    assert len(server.heads) == 3
    assert pauses.seconds == [0.25, 0.5]
    assert caught.value.reason == "platform_failed"
    assert "secret" not in str(caught.value)


def test_a_short_retry_after_is_waited_for() -> None:
    pauses = Pauses()
    with serving(reply(429, headers="Retry-After: 3\r\n"), reply(200)) as server:
        send(server, pauses)
    assert pauses.seconds == [3]


def test_a_long_retry_after_is_handed_to_the_caller() -> None:
    pauses = Pauses()
    with serving(reply(429, headers="Retry-After: 600\r\n")) as server, pytest.raises(PlatformUnavailable) as caught:
        send(server, pauses)
    assert (caught.value.reason, caught.value.retry_after_seconds) == ("throttled", 600)
    assert (len(server.heads), pauses.seconds) == (1, [])


def test_a_stop_ends_the_waiting() -> None:
    with serving(reply(503)) as server, pytest.raises(PlatformUnavailable):
        send(server, Pauses(stop_after=1))
    assert len(server.heads) == 1


def test_a_redirect_is_not_followed() -> None:
    with serving(reply(200)) as elsewhere, serving(reply(302, headers=f"Location: {elsewhere.url}/\r\n")) as server:
        send(server)
    assert elsewhere.heads == []


def test_an_answer_larger_than_the_limit_is_refused_and_not_asked_for_again() -> None:
    with serving(reply(200, b"x" * (MAX_ANSWER_BYTES + 1))) as server, pytest.raises(PlatformUnavailable) as caught:
        send(server)
    assert caught.value.reason == "answer_too_large"
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    "first",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Slow: "],
    ids=["body", "head"],
)
def test_an_answer_that_drips_ends_at_the_total_time(first: bytes) -> None:
    with serving(drip(first)) as server, pytest.raises(PlatformUnavailable) as caught:
        send(server, Pauses(stop_after=1), answer_seconds=0.3)
    assert caught.value.reason == "timeout"


@pytest.mark.parametrize(
    "garbage",
    [b"what?\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
    ids=["no http", "bad chunk"],
)
def test_garbage_is_an_unavailable_platform(garbage: bytes) -> None:
    def script(connection: socket.socket, head: bytes) -> None:
        connection.sendall(garbage)

    with serving(script) as server, pytest.raises(PlatformUnavailable):
        send(server)


def test_a_connection_that_is_refused_is_an_unreachable_platform() -> None:
    with serving(reply(200)) as server:
        pass
    with pytest.raises(PlatformUnavailable) as caught:
        send(server)
    assert caught.value.reason == "unreachable"


def test_a_netrc_entry_does_not_replace_our_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(reply(200)) as server:
        send(server)
    assert b"Authorization: Bearer abc\r\n" in server.heads[0]


def test_a_cookie_is_not_sent_back() -> None:
    with serving(reply(200, headers="Set-Cookie: a=b\r\n")) as server, transport_to(server, Pauses()) as transport:
        transport.send("GET", "/", {})
        transport.send("GET", "/", {})
    assert b"Cookie:" not in server.heads[1]


def test_loopback_is_reached_without_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(reply(200)) as proxy, serving(reply(200)) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        send(server)
    assert (len(proxy.heads), len(server.heads)) == (0, 1)


def test_other_hosts_are_reached_through_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(reply(200, b"by proxy")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        transport = Transport("http://platform.invalid", pause=Pauses())
        assert transport.send("GET", "/thing", {}).body == b"by proxy"
        transport.close()
    assert proxy.heads[0].startswith(b"GET http://platform.invalid/thing ")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("999999999999", 86_400),
        ("Mon, 05 Jan 2026 12:00:30 GMT", 30),
        ("Mon, 05 Jan 2026 11:00:00 GMT", 0),
        ("Mon, 05 Jan 2026 12:00:30 -0000", 30),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_a_day(text: str, seconds: int | None) -> None:
    assert retry_after({"retry-after": text}, NOW) == seconds


def test_no_header_asks_for_nothing() -> None:
    assert retry_after({}, NOW) is None


class Authority(NamedTuple):
    """A certificate for 127.0.0.1, and the same as the only one a client may trust."""

    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    made = Authority(folder / "certificate.pem", folder / "key.pem")
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


class TlsServer(Server):
    """The same behind TLS. A client that hangs up during the handshake is none of its business."""

    def __init__(self, authority: Authority, *scripts: Script) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(authority.certificate, authority.key)
        super().__init__(*scripts)
        self.url = self.url.replace("http://", "https://")

    def _answer(self, connection: socket.socket) -> None:
        try:
            with self.context.wrap_socket(connection, server_side=True) as wrapped:
                super()._answer(wrapped)
        except OSError:
            pass


@contextmanager
def serving_tls(authority: Authority, *scripts: Script) -> Iterator[Server]:
    server = TlsServer(authority, *scripts)
    try:
        yield server
    finally:
        server.close()


def test_a_certificate_nobody_vouches_for_is_refused_at_once(authority: Authority) -> None:
    pauses = Pauses()
    with serving_tls(authority, reply(200)) as server, pytest.raises(PlatformUnavailable) as caught:
        send(server, pauses)
    assert (caught.value.reason, server.heads, pauses.seconds) == ("tls", [], [])


def test_a_private_authority_is_trusted_by_its_bundle(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.certificate))
    with serving_tls(authority, reply(200, b"safe")) as server, transport_to(server, Pauses()) as transport:
        assert transport.send("GET", "/", {}).body == b"safe"


def test_the_total_time_holds_behind_tls_too(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.certificate))
    start = drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
    with serving_tls(authority, start) as server, pytest.raises(PlatformUnavailable) as caught:
        send(server, Pauses(stop_after=1), answer_seconds=0.5)
    assert caught.value.reason == "timeout"


def test_a_caller_with_a_patience_of_its_own_is_told_at_once_and_the_log_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pauses = Pauses()
    with serving(reply(503)) as server, closing(Transport(server.url, attempts=1, pause=pauses)) as transport:
        with pytest.raises(PlatformUnavailable):
            transport.send("GET", "/", {})
    assert (len(server.heads), pauses.seconds, caplog.records) == (1, [], [])
