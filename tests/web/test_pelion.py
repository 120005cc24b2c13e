"""What Pelion is answered."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

import migrations
from subscriber import services
from subscriber.model import Tenant
from subscriber.platforms.pelion.resends import ANSWERED, STORED, Last, number_from
from subscriber.settings import PelionSettings, Settings
from subscriber.store import Store, open_store
from subscriber.web import create_app
from tests.platforms.pelion.samples import message, value
from tests.web.certificates import Issued, issue, replace_pair
from tests.web.serving import ANSWER_SECONDS, Answer, Server, chunked, head, receive, serving

PATH = "/notifications/pelion/cellar"
LIMIT = 2000
CN = "notify.example"
CHANNEL = {"name": "cellar", "api_key": "ak_1", "mode": "callback", "headers": {"X-Site": "north"}}
SOCKET = {"name": "gate", "api_key": "ak_2", "mode": "websocket"}
VALUE = message(notifications=[value()])


def pelion_environ(**more: str) -> dict[str, str]:
    return {"PELION_CHANNELS": json.dumps([CHANNEL, SOCKET]), "PELION_MAX_BODY_BYTES": str(LIMIT), **more}


def pelion_settings(environ: dict[str, str]) -> PelionSettings:
    found = Settings.from_environ(environ).pelion
    assert found is not None
    return found


HEADERS = pelion_settings(pelion_environ()).channels[0].callback_headers


class Front:
    """The application, and requests to it."""

    def __init__(self, folder: Path, **more: str) -> None:
        environ = pelion_environ(DATABASE_URL=f"sqlite:///{folder}/inbox.db", **more)
        migrations.apply(environ["DATABASE_URL"])
        self.services = services.build(Settings.from_environ(environ))
        self.client: FlaskClient = create_app(self.services).test_client()

    def put(self, body: bytes, path: str = PATH, headers: dict[str, str] = HEADERS, **more: str) -> Any:
        sent = headers | {name.replace("_", "-"): text for name, text in more.items()}
        return self.client.put(path, data=body, headers=sent, buffered=True)

    def pending(self) -> int:
        return self.services.store.reports.counts().pending

    def letters(self) -> list[Any]:
        return self.services.store.reports.dead_letters(None, 10)


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    made = Front(tmp_path)
    yield made
    made.services.store.close()


@pytest.mark.parametrize("body", [b"{}", b""])
def test_the_probe_of_an_address_is_answered_200_and_leaves_nothing(front: Front, body: bytes) -> None:
    answer = front.put(body)
    assert (answer.status_code, answer.data) == (200, b"")
    assert front.pending() == 0 and front.letters() == []


def test_a_callback_and_its_duplicate_are_answered_200_without_a_body(front: Front) -> None:
    body = message(notifications=[value(uid="u-1")])
    first, again = front.put(body), front.put(body)
    assert (first.status_code, first.data, again.status_code) == (200, b"", 200)
    counts = front.services.store.reports.counts()
    assert (counts.pending, counts.duplicates) == (1, 1)


def test_what_cannot_be_read_is_kept_and_answered_200(front: Front) -> None:
    assert front.put(b"not json").status_code == 200
    (letter,) = front.letters()
    assert letter.letter.body == b"not json"


def test_the_content_type_does_not_matter(front: Front) -> None:
    assert front.put(VALUE, Content_Type="text/plain; charset=latin-1").status_code == 200
    assert front.pending() == 1


@pytest.mark.parametrize(
    ("path", "headers", "reason"),
    [
        (PATH, {}, "callback_secret"),
        (PATH, {name: text + "x" for name, text in HEADERS.items()}, "callback_secret"),
        (PATH, HEADERS | {"X-Site": "south"}, "callback_headers"),
        ("/notifications/pelion/nobody", HEADERS, "callback_secret"),
    ],
)
def test_a_stranger_is_answered_401_and_nothing_is_kept(
    front: Front, path: str, headers: dict[str, str], reason: str
) -> None:
    for body in (VALUE, b"not json", b"x" * (LIMIT + 1), b"{}"):
        answer = front.put(body, path, headers)
        assert (answer.status_code, answer.json["error"]["reason"]) == (401, reason)
    assert front.pending() == 0 and front.letters() == []


def test_names_of_headers_may_be_written_in_any_case(front: Front) -> None:
    assert front.put(b"{}", headers={name.upper(): text for name, text in HEADERS.items()}).status_code == 200


def test_a_channel_that_has_become_a_websocket_still_takes_what_its_callback_brings(front: Front) -> None:
    pelion = front.services.settings.pelion
    assert pelion is not None
    headers = pelion.channels[1].callback_headers
    assert front.put(VALUE, "/notifications/pelion/gate", headers).status_code == 200
    assert front.pending() == 1


def test_too_much_is_answered_413_and_leaves_a_letter_without_a_body(front: Front) -> None:
    answer = front.put(b"x" * (LIMIT + 1))
    assert (answer.status_code, answer.json["error"]["reason"]) == (413, "too_large")
    (letter,) = front.letters()
    assert (letter.letter.reason, letter.letter.body) == ("too_large", None)


def test_a_store_that_is_away_is_answered_503_with_a_time_to_come_again(front: Front) -> None:
    front.services.store.close()
    answer = front.put(VALUE)
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_other_methods_are_refused(front: Front, method: str) -> None:
    assert front.client.open(PATH, method=method, headers=HEADERS).status_code == 405


def test_without_channels_there_is_no_such_address(tmp_path: Path) -> None:
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path}/inbox.db"}
    migrations.apply(environ["DATABASE_URL"])
    built = services.build(Settings.from_environ(environ))
    assert create_app(built).test_client().put(PATH, data=b"{}", headers=HEADERS).status_code == 404
    built.store.close()


def test_outcomes_are_counted(front: Front) -> None:
    front.put(b"{}")
    front.put(VALUE)
    front.put(VALUE, headers={})
    text = front.services.metrics.render().decode()
    assert 'subscriber_deliveries_total{outcome="probe",platform="pelion"} 1.0' in text
    assert 'subscriber_deliveries_total{outcome="accepted",platform="pelion"} 1.0' in text
    assert 'subscriber_refused_total{platform="pelion",reason="callback_secret"} 1.0' in text


# Behind a proxy that ends TLS.


def test_the_proxy_s_word_is_demanded_where_it_is_configured(tmp_path: Path) -> None:
    front = Front(tmp_path, PELION_SUBJECT_HEADER="X-Client-Subject", PELION_CLIENT_CN=CN)
    for subject in ("", "CN=other.example", f"CN={CN},CN=other.example", f"O=CN\\={CN}"):
        answer = front.put(VALUE, X_Client_Subject=subject)
        assert (answer.status_code, answer.json["error"]["reason"]) == (401, "client_certificate")
    assert front.put(VALUE, X_Client_Subject=f"CN={CN},O=Somebody,C=GB").status_code == 200
    assert front.put(VALUE, headers={}, X_Client_Subject=f"CN={CN}").status_code == 401
    front.services.store.close()


# Through the product's own server.


def put(body: bytes, path: str = PATH, headers: dict[str, str] = HEADERS) -> bytes:
    fields = [f"{name}: {text}" for name, text in headers.items()]
    return head("PUT", path, f"Content-Length: {len(body)}", *fields) + body


@contextmanager
def stored(folder: Path) -> Iterator[Store]:
    """The server's store, from outside."""
    store = open_store(f"sqlite:///{folder}/inbox.db")
    yield store
    store.close()


def counted(folder: Path) -> tuple[int, int]:
    """Pending rows and duplicates."""
    with stored(folder) as store:
        counts = store.reports.counts()
        return counts.pending, counts.duplicates


def await_note(folder: Path) -> None:
    """That the last answer has left is written down a moment later."""
    give_up_at = time.monotonic() + ANSWER_SECONDS
    with stored(folder) as store:
        facts = partial(store.registry.channel_fact, Tenant("pelion", "cellar"), "cellar")
        while number_from(facts(ANSWERED)) < Last.read(facts(STORED)).number:
            assert time.monotonic() < give_up_at, "the note does not come"
            time.sleep(0.01)


def test_equal_callbacks_are_all_kept_when_their_answers_have_left(tmp_path: Path) -> None:
    with serving(tmp_path, app="app:app", **pelion_environ()) as server:
        for _ in range(3):  # each on a connection of its own: any of the processes may get it
            answer = server.ask(put(VALUE))
            assert (answer.status, answer.body) == (200, b"")
            await_note(tmp_path)
    assert counted(tmp_path) == (3, 0)


def test_a_callback_whose_sender_has_gone_before_the_answer_is_known_again(tmp_path: Path) -> None:
    with serving(tmp_path, app="app:app", **pelion_environ()) as server:
        with server.connect() as gone:
            gone.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)  # request and end leave together
            gone.sendall(put(VALUE))
            gone.shutdown(socket.SHUT_WR)
            receive(gone)
        assert server.ask(put(VALUE)).status == 200
    assert counted(tmp_path) == (1, 1)


def test_a_batch_may_be_larger_than_other_deliveries_and_come_in_chunks(tmp_path: Path) -> None:
    body = message(notifications=[value(uid=f"u-{number}", payload="A" * 500) for number in range(3000)])
    fields = [f"{name}: {text}" for name, text in HEADERS.items()]
    pieces = [body[start : start + 100_000] for start in range(0, len(body), 100_000)]
    request = head("PUT", PATH, "Transfer-Encoding: chunked", *fields) + chunked(*pieces)
    environ = pelion_environ(MAX_BODY_BYTES="1000", PELION_MAX_BODY_BYTES="3000000")
    with serving(tmp_path, app="app:app", **environ) as server:
        assert [server.ask(each).status for each in (put(body), request)] == [200, 200]
    assert counted(tmp_path) == (3000, 3000)


@pytest.fixture(scope="module")
def root() -> Issued:
    return issue("Root", authority=True)


@pytest.fixture(scope="module")
def intermediate(root: Issued) -> Issued:
    return issue("Intermediate", root, authority=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, root: Issued) -> Iterator[Server]:
    """HTTPS, with the root alone as authority for clients."""
    folder = tmp_path_factory.mktemp("https")
    cert, key = replace_pair(folder, "here.example")
    (folder / "root.pem").write_bytes(root.pem)
    tls = {"TLS_CERT_FILE": str(cert), "TLS_KEY_FILE": str(key), "TLS_CLIENT_CA_FILE": str(folder / "root.pem")}
    environ = pelion_environ(PELION_CLIENT_CN=CN, WEB_CONCURRENCY="1", **tls)
    with serving(folder, app="app:app", **environ) as running:
        yield running


def ask(server: Server, request: bytes, shown: Path | None) -> Answer:
    """One request of a client that shows this certificate. Raises ``OSError`` or ``EOFError`` if it is let go."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if shown:
        context.load_cert_chain(shown)
    with socket.create_connection(("127.0.0.1", server.port), ANSWER_SECONDS) as plain:
        with context.wrap_socket(plain) as sock:
            sock.sendall(request)
            return receive(sock)


def test_the_service_s_certificate_is_believed_down_a_chain_of_three(
    server: Server, intermediate: Issued, tmp_path: Path
) -> None:
    shown = issue(CN, intermediate).write(tmp_path / "client.pem", intermediate)
    assert ask(server, put(VALUE), shown).status == 200
    assert ask(server, put(VALUE, headers={}), shown).status == 401


def test_a_certificate_of_somebody_else_under_the_same_authority_is_not(
    server: Server, intermediate: Issued, tmp_path: Path
) -> None:
    shown = issue("other.example", intermediate).write(tmp_path / "client.pem", intermediate)
    answer = ask(server, put(VALUE), shown)
    assert (answer.status, json.loads(answer.body)["error"]["reason"]) == (401, "client_certificate")


def test_it_is_demanded_on_this_route_only(server: Server) -> None:
    assert ask(server, put(VALUE), None).status == 401
    assert ask(server, head("GET", "/health"), None).status == 200


def test_a_subject_in_a_header_is_not_believed_where_no_proxy_is_configured(server: Server) -> None:
    forged = HEADERS | {"X-Client-Subject": f"CN={CN}", "X-SSL-Client-S-DN": f"CN={CN}"}
    assert ask(server, put(VALUE, headers=forged), None).status == 401


def test_a_certificate_that_the_authorities_did_not_sign_ends_the_connection(
    server: Server, intermediate: Issued, tmp_path: Path
) -> None:
    incomplete = issue(CN, intermediate).write(tmp_path / "incomplete.pem")
    stranger = issue("Root", authority=True)
    forged = issue(CN, stranger).write(tmp_path / "forged.pem", stranger)
    for shown in (incomplete, forged):
        with pytest.raises((OSError, EOFError)):
            ask(server, put(VALUE), shown)
