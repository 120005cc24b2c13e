"""Where the broker delivers: the contract's table of answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

import migrations
from subscriber import services
from subscriber.settings import Settings
from subscriber.web import create_app
from subscriber.web.answers import STRICT_HEADERS
from subscriber.web.webhooks import Refusals
from tests.signing import Answer, KeyServer, SetClock, bearer, broker_claims, jwk, mint

PATH = "/notifications/mindsphere"
ASSET = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"
LIMIT = 2000


class Front:
    """The application over a real store and a real key server."""

    def __init__(self, folder: Path, keys: KeyServer) -> None:
        self.keys = keys
        environ = {
            "DATABASE_URL": f"sqlite:///{folder}/inbox.db",
            "MAX_BODY_BYTES": str(LIMIT),
            "MDSP_PIAM_URL": keys.url + "/{tenant}.piam",
            "MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-v1.4.2",
            "MDSP_KEY_STORE_CLIENT_SECRET": "s",
            "MDSP_OS_VM_APP_NAME": "alarmapi",
            "MDSP_OS_VM_APP_VERSION": "v1.4.2",
        }
        migrations.apply(environ["DATABASE_URL"])
        self.services = services.build(Settings.from_environ(environ))
        self.client: FlaskClient = create_app(self.services).test_client()

    def token(self, **changes: object) -> str:
        return bearer(mint(broker_claims(self.keys.issuer("core")) | changes))

    def post(self, body: bytes, path: str = PATH, token: str | None = None, **headers: str) -> Any:
        sent = {"Authorization": token or self.token()} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self.client.post(path, data=body, headers=sent)

    def letters(self) -> list[Any]:
        return self.services.store.reports.dead_letters(None, 10)


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    with KeyServer() as keys:
        keys.publish([jwk()])
        made = Front(tmp_path, keys)
        yield made
        made.services.store.close()


def body(id: str = "m-1") -> bytes:
    asset = {"id": id, "timestamp": "2026-03-02T10:00:00.000Z"}
    return json.dumps({"header": {"topic": ASSET, "tenantContext": ["custaa"]}, "asset": asset}).encode()


def test_a_new_delivery_and_its_duplicate_are_answered_204_without_a_body(front: Front) -> None:
    first, again = front.post(body()), front.post(body())
    assert (first.status_code, first.data, again.status_code) == (204, b"", 204)
    counts = front.services.store.reports.counts()
    assert (counts.pending, counts.duplicates) == (1, 1)


@pytest.mark.parametrize("version", ["v1", "v1.4.2"])
def test_the_gateway_may_leave_its_prefix_in_the_address(front: Front, version: str) -> None:
    assert front.post(body(), path=f"/api/alarmapi-acmeop/{version}{PATH}").status_code == 204


def test_what_cannot_be_decoded_is_kept_and_answered_200(front: Front) -> None:
    assert front.post(b"not json").status_code == 200
    (letter,) = front.letters()
    assert letter.letter.body == b"not json"


@pytest.mark.parametrize("authorization", ["", "Basic YTpi", "Bearer a.b.c", "Bearer"])
def test_a_bad_token_is_answered_401_and_nothing_is_kept(front: Front, authorization: str) -> None:
    answer = front.client.post(PATH, data=b"not json", headers={"Authorization": authorization})
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json is not None and set(answer.json["error"]) == {"reason", "detail"}
    assert front.letters() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"scope": []}, "scope"), ({"user_name": "x"}, "caller"), ({"ten": "custbb"}, "tenant")],
)
def test_a_good_token_that_may_not_is_answered_403(front: Front, changes: dict[str, Any], reason: str) -> None:
    answer = front.post(body(), token=front.token(**changes))
    assert (answer.status_code, answer.json["error"]["reason"]) == (403, reason)
    assert front.services.store.reports.counts().pending == 0


def test_too_much_is_answered_413_and_leaves_a_letter_without_a_body(front: Front) -> None:
    answer = front.post(b"x" * (LIMIT + 1))
    assert (answer.status_code, answer.json["error"]["reason"]) == (413, "too_large")
    (letter,) = front.letters()
    assert (letter.letter.reason, letter.letter.body) == ("too_large", None)


def test_an_encoded_body_is_answered_415_and_leaves_a_letter_without_a_body(front: Front) -> None:
    answer = front.post(body(), Content_Encoding="gzip")
    assert (answer.status_code, answer.json["error"]["reason"]) == (415, "encoded")
    (letter,) = front.letters()
    assert (letter.letter.reason, letter.letter.body) == ("encoded", None)


def test_the_content_type_does_not_matter(front: Front) -> None:
    assert front.post(body(), Content_Type="text/plain; charset=latin-1").status_code == 204


def test_a_stranger_s_too_large_body_leaves_no_trace(front: Front) -> None:
    answer = front.client.post(PATH, data=b"x" * (LIMIT + 1), headers={"Authorization": "Bearer a.b.c"})
    assert answer.status_code == 401 and front.letters() == []


def test_a_silent_key_server_is_answered_503_with_a_time_to_come_again(front: Front) -> None:
    front.keys.answer = Answer.ERROR
    answer = front.post(body())
    assert (answer.status_code, answer.json["error"]["reason"]) == (503, "keys_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("content", [b"[" * 1900, b'{"a":' * 300, b"9" * 1900, b'{"header":' + b"{}" * 500])
def test_bombs_of_depth_and_size_are_harmless(front: Front, content: bytes) -> None:
    assert front.post(content).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("path", [PATH, f"/api/alarmapi-acmeop/v1{PATH}"])
def test_other_methods_are_refused_in_the_same_shape(front: Front, method: str, path: str) -> None:
    answer = front.client.open(path, method=method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert answer.json == {"error": {"reason": "method_not_allowed", "detail": ""}}


@pytest.mark.parametrize("path", [PATH + "/", PATH + "s", "/api/v1" + PATH, "/api/a/b/c" + PATH, "/x" + PATH])
def test_there_is_no_webhook_anywhere_else(front: Front, path: str) -> None:
    assert front.post(body(), path=path).status_code == 404


def test_answers_carry_the_strict_headers(front: Front) -> None:
    for answer in (front.post(body()), front.post(b"not json"), front.post(body(), token="Bearer a.b.c")):
        assert {name: answer.headers[name] for name in STRICT_HEADERS} == STRICT_HEADERS


def test_a_message_id_is_read_from_its_header(front: Front) -> None:
    for id in ("one", "two"):
        assert front.post(body(), X_Mdsp_Message_Id=id).status_code == 204
    assert front.services.store.reports.counts().pending == 2


def test_without_credentials_there_is_no_webhook(tmp_path: Path) -> None:
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path}/inbox.db"}
    migrations.apply(environ["DATABASE_URL"])
    built = services.build(Settings.from_environ(environ))
    assert create_app(built).test_client().post(PATH, data=b"x").status_code == 404
    built.store.close()


def test_outcomes_are_counted(front: Front) -> None:
    front.post(body())
    front.post(body(), token="Bearer a.b.c")
    text = front.services.metrics.render().decode()
    assert 'subscriber_deliveries_total{outcome="accepted",platform="mindsphere"} 1.0' in text
    assert 'subscriber_refused_total{platform="mindsphere",reason="encoding"} 1.0' in text


def test_many_refusals_are_one_line_a_reason_and_second(caplog: pytest.LogCaptureFixture) -> None:
    clock = SetClock(0.0)
    refusals = Refusals(clock)
    for _ in range(500):
        refusals.note("mindsphere", "expired")
    refusals.note("mindsphere", "scope")
    clock.advance(2)
    refusals.note("mindsphere", "expired")
    assert [(record.reason, record.count) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("expired", 1),
        ("scope", 1),
        ("expired", 500),
    ]
