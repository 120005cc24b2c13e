"""Which keys are admitted, how they are fetched, and how long they are trusted."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import example, given
from hypothesis import strategies as st

from subscriber.errors import InvalidToken, KeysUnavailable
from subscriber.keys import (
    COOL_DOWN_SECONDS,
    MAX_DOCUMENT_BYTES,
    MAX_KEYS,
    MAX_WAITING,
    REFRESH_SECONDS,
    ROCA_PRIMES,
    STALE_SECONDS,
    KeySource,
    admit_keys,
    base64url_bytes,
    fetch_keys,
    json_object,
)
from tests.signing import KID, Answer, Json, KeyServer, SetClock, base64url, jwk, key_set, signing_key

NUMBERS = signing_key().public_key().public_numbers()


def number(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


# What JOSE writes


@given(st.binary(max_size=64))
def test_canonical_base64url_is_read(data: bytes) -> None:
    assert base64url_bytes(base64url(data)) == data


@pytest.mark.parametrize(
    "text",
    ["QQ==", "QQ=", "QR", "Q", "Q Q", "QQ\n", " QQ", "Q+Q_", "Q/Q_", "QQ?", "ÄÄÄÄ", "\ud800", "QUI=", "QUJDR"],
)
def test_any_other_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        base64url_bytes(text)


@given(st.text(max_size=40))
@example("AB")
def test_no_two_texts_mean_the_same_bytes(text: str) -> None:
    try:
        data = base64url_bytes(text)
    except ValueError:
        return
    assert base64url(data) == text


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'"text"',
        b"null",
        b"{",
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a":' + b"1" * 5000 + b"}",
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\xff"}',
        b"{} {}",
    ],
)
def test_json_that_two_readers_could_read_differently_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError):
        json_object(document)


# Admission


def test_an_rsa_key_for_rs256_is_admitted_under_its_kid() -> None:
    admitted = admit_keys(key_set(jwk("one"), jwk("two", signing_key("second"))))
    assert {kid: key.public_numbers() for kid, key in admitted.items()} == {
        "one": NUMBERS,
        "two": signing_key("second").public_key().public_numbers(),
    }


@pytest.mark.parametrize(
    "members",
    [
        {"use": None},
        {"alg": None},
        {"key_ops": ["verify"]},
        {"key_ops": ["sign", "verify"]},
        {"value": "-----BEGIN PUBLIC KEY-----\nanother key\n-----END PUBLIC KEY-----"},
        {"x5c": ["not looked at"], "future": {"member": 1}},
        {"kid": "k" * 255},
        {"n": base64url(b"\0" + NUMBERS.n.to_bytes(256, "big"))},  # Java writes a sign byte
    ],
    ids=lambda members: ",".join(members),
)
def test_members_that_change_nothing_are_tolerated(members: Json) -> None:
    (admitted,) = admit_keys(key_set(jwk(**members))).values()
    assert admitted.public_numbers() == NUMBERS


UNFIT: dict[str, Json] = {
    "for encryption": {"use": "enc"},
    "use is not a string": {"use": ["sig"]},
    "another algorithm": {"alg": "PS256"},
    "algorithm in lower case": {"alg": "rs256"},
    "operations without verify": {"key_ops": ["encrypt"]},
    "operations with an unfit one": {"key_ops": ["verify", "encrypt"]},
    "no operation": {"key_ops": []},
    "operations are not a list": {"key_ops": "verify"},
    "another key type": {"kty": "EC"},
    "no key type": {"kty": None},
    "no kid": {"kid": None},
    "empty kid": {"kid": ""},
    "kid is a number": {"kid": 7},
    "kid too long": {"kid": "k" * 256},
    "kid with a line break": {"kid": "key\n1"},
    "kid with a NUL": {"kid": "key\0"},
    "1024 bits": jwk(key=signing_key("weak", 1024)),
    "2047 bits": {"n": number((1 << 2046) | 1)},
    "8193 bits": {"n": number((1 << 8192) | 1)},
    "even modulus": {"n": number(NUMBERS.n - 1)},
    "no modulus": {"n": None},
    "modulus is a number": {"n": NUMBERS.n},
    "modulus padded": {"n": number(NUMBERS.n) + "=="},
    "modulus in plain base64": {"n": base64.b64encode(NUMBERS.n.to_bytes(256, "big")).decode()},
    "exponent 1": {"e": number(1)},
    "exponent 3": {"e": number(3)},
    "even exponent": {"e": number(65538)},
    "exponent of 65 bits": {"e": number((1 << 64) | 1)},
    "no exponent": {"e": None},
}


@pytest.mark.parametrize("members", UNFIT.values(), ids=UNFIT.keys())
def test_a_key_that_does_not_fit_is_passed_over(members: Json) -> None:
    unfit = {**jwk("odd"), **members}
    unfit = {name: value for name, value in unfit.items() if value is not None}
    good = jwk("good", signing_key("second"))
    assert admit_keys(key_set(unfit, good)).keys() == {"good"}
    with pytest.raises(KeysUnavailable) as caught:
        admit_keys(key_set(unfit))
    assert caught.value.reason == "key_set"


def test_a_modulus_of_the_flawed_library_is_passed_over() -> None:
    product = 1
    for prime in ROCA_PRIMES:
        product *= prime
    odd = (1 << 2047) // product | 1
    weak = odd * product + pow(65537, 12345, product)
    weak += product * (weak % 2 == 0)
    assert admit_keys(key_set(jwk("weak", n=number(weak)), jwk("good"))).keys() == {"good"}


@pytest.mark.parametrize(
    "intruder",
    [
        {"kty": "oct", "kid": "mac", "k": "c2VjcmV0"},
        {"kty": "oct", "kid": "mac"},
        jwk("private", d="AQAB"),
        jwk("private", p="AQAB", q="AQAB"),
        jwk("private", oth=[]),
        {"kty": "EC", "kid": "private", "crv": "P-256", "x": "AQ", "y": "AQ", "d": "AQ"},
        jwk(KID, signing_key("second")),
        {"kty": "EC", "kid": KID, "crv": "P-256", "x": "AQ", "y": "AQ"},
        "not an object",
        None,
    ],
)
def test_a_set_whose_publisher_lost_control_is_refused_as_a_whole(intruder: object) -> None:
    with pytest.raises(KeysUnavailable) as caught:
        admit_keys(key_set(jwk(), intruder))
    assert caught.value.reason == "key_set"


def test_a_set_of_too_many_keys_is_refused() -> None:
    many = [jwk(f"key-{number}") for number in range(MAX_KEYS + 1)]
    assert len(admit_keys(key_set(*many[:-1]))) == MAX_KEYS
    with pytest.raises(KeysUnavailable):
        admit_keys(key_set(*many))


@pytest.mark.parametrize("document", [b"{}", b'{"keys":{}}', b'{"keys":null}', b'{"keys":[]}', b"<html>"])
def test_a_document_without_keys_is_refused(document: bytes) -> None:
    with pytest.raises(KeysUnavailable):
        admit_keys(document)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ODD_KEYS = st.dictionaries(
    st.sampled_from(["kty", "use", "alg", "key_ops", "kid", "n", "e", "k", "d", "x5c"]),
    JSON_VALUES | st.sampled_from(["RSA", "sig", "RS256", ["verify"], number(NUMBERS.n), "AQAB"]),
)


@given(st.binary(max_size=60) | st.lists(ODD_KEYS, max_size=3).map(lambda keys: key_set(*keys)))
def test_whatever_a_server_sends_admission_answers_keys_or_unavailable(document: bytes) -> None:
    try:
        assert admit_keys(document)
    except KeysUnavailable:
        pass


# Fetching


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with KeyServer() as running:
        running.publish([jwk()])
        yield running


def test_a_key_set_is_fetched_as_it_is(server: KeyServer) -> None:
    assert fetch_keys(server.keys_url("core")) == key_set(jwk())
    assert server.hits == ["/core.piam/token_keys"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer.ERROR, "status"),
        (Answer.REDIRECT, "status"),
        (Answer.HUGE, "size"),
        (Answer.HUGE_CHUNKS, "size"),
        (Answer.HANG_UP, "unreachable"),
    ],
)
def test_a_bad_answer_is_refused_with_its_reason(server: KeyServer, answer: Answer, reason: str) -> None:
    server.answer = answer
    with pytest.raises(KeysUnavailable) as caught:
        fetch_keys(server.keys_url("core"))
    assert caught.value.reason == reason
    assert server.hits == ["/core.piam/token_keys"], "redirects are not followed, failures not repeated"


@pytest.mark.parametrize("answer", [Answer.STALL, Answer.DRIP_HEADER, Answer.DRIP_BODY])
def test_a_slow_server_is_cut_off_at_the_deadline(server: KeyServer, answer: Answer) -> None:
    server.answer = answer
    started_at = time.monotonic()
    with pytest.raises(KeysUnavailable) as caught:
        fetch_keys(server.keys_url("core"), deadline_seconds=0.3)
    assert caught.value.reason == "slow"
    assert time.monotonic() - started_at < 5


def test_a_document_at_the_limit_is_read(server: KeyServer) -> None:
    room = MAX_DOCUMENT_BYTES - len(key_set(jwk(value="")))
    server.publish([jwk(value="x" * room)])
    assert len(fetch_keys(server.keys_url("core"))) == MAX_DOCUMENT_BYTES
    server.publish([jwk(value="x" * (room + 1))])
    with pytest.raises(KeysUnavailable, match="size"):
        fetch_keys(server.keys_url("core"))


def test_a_server_that_is_down_is_unreachable() -> None:
    with KeyServer() as gone:
        url = gone.keys_url("core")
    with pytest.raises(KeysUnavailable, match="unreachable"):
        fetch_keys(url)


@pytest.mark.parametrize(
    "url", ["", "token_keys", "http://", "http://[", "ftp://127.0.0.1/", "http://a b/", "http://.x/"]
)
def test_an_address_that_is_none_is_unreachable(url: str) -> None:
    with pytest.raises(KeysUnavailable):
        fetch_keys(url)


def test_the_environment_s_proxy_is_not_used_for_this_machine(
    server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    assert fetch_keys(server.keys_url("core"))


def test_no_credentials_are_sent(server: KeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login operator password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fetch_keys(server.keys_url("core"))
    assert "authorization" not in server.headers[0] and "cookie" not in server.headers[0]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 signed by itself, with its key in the same file."""
    key = signing_key("tls")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "key server")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "server.pem"
    path.write_bytes(built.public_bytes(serialization.Encoding.PEM) + private)
    return path


def test_a_server_is_only_believed_with_a_certificate_we_trust(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with KeyServer(tls=context) as server:
        server.publish([jwk()])
        with pytest.raises(KeysUnavailable, match="unreachable"):
            fetch_keys(server.keys_url("core"))
        assert server.hits == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert fetch_keys(server.keys_url("core")) == key_set(jwk())
        server.answer = Answer.DRIP_HEADER
        with pytest.raises(KeysUnavailable, match="slow"):
            fetch_keys(server.keys_url("core"), deadline_seconds=0.3)


# Keeping


class Issuer:
    """A key server without a network: what ``fetch`` brings, how often it was asked, and a gate to hold it at."""

    def __init__(self, *keys: Json) -> None:
        self.keys = keys
        self.down = False
        self.fetches = 0
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Event()

    def fetch(self, url: str) -> bytes:
        self.fetches += 1
        self.asked.set()
        assert self.open.wait(10)
        if self.down:
            raise KeysUnavailable("down", reason="unreachable")
        return key_set(*self.keys)


@pytest.fixture
def timer() -> SetClock:
    return SetClock(1000.0)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer(jwk("old"))


@pytest.fixture
def source(issuer: Issuer, timer: SetClock) -> KeySource:
    return KeySource("https://keys.example/token_keys", fetch=issuer.fetch, timer=timer)


def outcome(call: Callable[[], object]) -> str:
    """``key``, or the reason why there is none."""
    try:
        call()
    except (InvalidToken, KeysUnavailable) as error:
        return error.reason
    return "key"


def settled(source: KeySource) -> None:
    """Wait for the fetch under way: a caller with an unknown kid joins it."""
    outcome(lambda: source.key("nobody"))


def test_keys_are_fetched_when_first_needed_and_then_held(source: KeySource, issuer: Issuer) -> None:
    assert issuer.fetches == 0
    assert source.key("old") is source.key("old")
    assert issuer.fetches == 1


def test_an_unknown_kid_is_a_bad_token_after_a_good_fetch(source: KeySource, issuer: Issuer) -> None:
    assert outcome(lambda: source.key("new")) == "kid"


def test_an_unknown_kid_cannot_be_judged_after_a_failed_fetch(source: KeySource, issuer: Issuer) -> None:
    issuer.down = True
    assert outcome(lambda: source.key("old")) == "keys_unavailable"


@pytest.mark.parametrize("down", [False, True], ids=["after success", "after failure"])
def test_the_server_is_asked_once_per_cool_down(
    source: KeySource, issuer: Issuer, timer: SetClock, down: bool
) -> None:
    issuer.down = down
    for _ in range(3):
        outcome(lambda: source.key("new"))
    assert issuer.fetches == 1
    timer.advance(COOL_DOWN_SECONDS - 0.1)
    outcome(lambda: source.key("new"))
    assert issuer.fetches == 1
    timer.advance(0.1)
    outcome(lambda: source.key("new"))
    assert issuer.fetches == 2


def test_a_rotated_key_is_found_once_the_cool_down_is_over(
    source: KeySource, issuer: Issuer, timer: SetClock
) -> None:
    source.key("old")
    issuer.keys = (jwk("new", signing_key("second")), jwk("old"))
    assert outcome(lambda: source.key("new")) == "kid"
    timer.advance(COOL_DOWN_SECONDS)
    assert source.key("new").public_numbers() == signing_key("second").public_key().public_numbers()


def test_a_failed_fetch_costs_no_key(source: KeySource, issuer: Issuer, timer: SetClock) -> None:
    held = source.key("old")
    issuer.down = True
    timer.advance(COOL_DOWN_SECONDS)
    assert outcome(lambda: source.key("new")) == "keys_unavailable"
    assert source.key("old") is held


@pytest.mark.parametrize(
    "keys", [(), (jwk("old"), jwk("old")), (jwk("old", d="AQAB"),)], ids=["none", "twice", "secret"]
)
def test_a_set_that_is_refused_costs_no_key(
    source: KeySource, issuer: Issuer, timer: SetClock, keys: tuple[Json, ...]
) -> None:
    source.key("old")
    issuer.keys = keys
    timer.advance(COOL_DOWN_SECONDS)
    assert outcome(lambda: source.key("new")) == "keys_unavailable"
    assert outcome(lambda: source.key("old")) == "key"


def test_old_keys_are_refreshed_in_the_background_and_nobody_waits(
    source: KeySource, issuer: Issuer, timer: SetClock
) -> None:
    held = source.key("old")
    issuer.open.clear()
    issuer.asked.clear()
    timer.advance(REFRESH_SECONDS - 0.1)
    source.key("old")
    assert issuer.fetches == 1
    timer.advance(0.1)
    assert source.key("old") is held, "answered while the server is being asked"
    assert issuer.asked.wait(10)
    issuer.open.set()
    settled(source)
    assert source.key("old") is not held, "a fetch makes new objects"
    assert issuer.fetches == 2


def test_a_key_that_its_server_removed_is_accepted_no_more(
    source: KeySource, issuer: Issuer, timer: SetClock
) -> None:
    source.key("old")
    issuer.keys = (jwk("new"),)
    timer.advance(REFRESH_SECONDS)
    source.key("old")
    settled(source)
    assert outcome(lambda: source.key("old")) == "kid"


def test_stale_keys_serve_during_an_outage_up_to_the_ceiling(
    source: KeySource, issuer: Issuer, timer: SetClock
) -> None:
    source.key("old")
    issuer.down = True
    timer.advance(STALE_SECONDS - 0.1)
    assert outcome(lambda: source.key("old")) == "key"
    settled(source)
    timer.advance(0.1)
    assert outcome(lambda: source.key("old")) == "keys_unavailable"
    issuer.down = False
    timer.advance(COOL_DOWN_SECONDS)
    assert outcome(lambda: source.key("old")) == "key", "it recovers by itself"


def test_ten_thousand_invented_kids_cost_one_fetch_per_cool_down(
    source: KeySource, issuer: Issuer, timer: SetClock
) -> None:
    source.key("old")
    issuer.fetches = 0
    for cool_downs in (1, 2):
        timer.advance(COOL_DOWN_SECONDS)
        with ThreadPoolExecutor(8) as pool:
            outcomes = set(pool.map(lambda kid: outcome(lambda: source.key(f"kid-{kid}")), range(5_000)))
        assert issuer.fetches == cool_downs
        assert outcomes <= {"kid", "keys_unavailable"}
    assert outcome(lambda: source.key("old")) == "key"


def test_callers_that_come_together_share_one_fetch(source: KeySource, issuer: Issuer) -> None:
    issuer.open.clear()
    with ThreadPoolExecutor(40) as pool:
        waiting = [pool.submit(outcome, lambda: source.key("old")) for _ in range(40)]
        assert issuer.asked.wait(10)
        issuer.open.set()
        assert {future.result() for future in waiting} == {"key"}
    assert issuer.fetches == 1


def test_a_fetch_longer_than_the_cool_down_is_not_doubled(source: KeySource, issuer: Issuer, timer: SetClock) -> None:
    issuer.open.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(outcome, lambda: source.key("old"))
        assert issuer.asked.wait(10)
        timer.advance(COOL_DOWN_SECONDS)
        second = pool.submit(outcome, lambda: source.key("old"))
        issuer.open.set()
        assert (first.result(), second.result()) == ("key", "key")
    assert issuer.fetches == 1


def test_nobody_waits_for_ever_for_a_fetch_that_hangs(
    source: KeySource, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subscriber.keys.WAIT_SECONDS", 0.01)
    issuer.open.clear()
    assert outcome(lambda: source.key("old")) == "keys_unavailable"
    assert outcome(lambda: source.key("old")) == "keys_unavailable"
    issuer.open.set()
    assert issuer.fetches == 1


def test_a_fetch_that_breaks_in_an_unknown_way_is_a_failed_fetch(
    timer: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(url: str) -> bytes:
        raise RuntimeError("a bug")

    source = KeySource("https://keys.example", fetch=broken, timer=timer)
    assert outcome(lambda: source.key("old")) == "keys_unavailable"
    assert caplog.records[0].__dict__["reason"] == "bug"
    timer.advance(COOL_DOWN_SECONDS)
    assert outcome(lambda: source.key("old")) == "keys_unavailable"
    assert len(caplog.records) == 2, "it is tried again"


def test_invented_kids_cannot_make_every_thread_wait(source: KeySource, issuer: Issuer, timer: SetClock) -> None:
    source.key("old")
    timer.advance(COOL_DOWN_SECONDS)
    issuer.open.clear()
    callers = MAX_WAITING + 4
    done: list[str] = []
    turned_away = threading.Semaphore(0)

    def ask() -> None:
        done.append(outcome(lambda: source.key("invented")))
        turned_away.release()

    with ThreadPoolExecutor(callers) as pool:
        for _ in range(callers):
            pool.submit(ask)
        for _ in range(callers - MAX_WAITING):
            assert turned_away.acquire(timeout=10)
        assert done == ["keys_unavailable"] * (callers - MAX_WAITING)
        assert outcome(lambda: source.key("old")) == "key", "known keys serve meanwhile"
        issuer.open.set()
    assert done.count("kid") == MAX_WAITING


def test_a_fetch_leaves_one_line_that_says_what_came_of_it(
    source: KeySource, issuer: Issuer, timer: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "subscriber.keys")
    source.key("old")
    issuer.down = True
    timer.advance(COOL_DOWN_SECONDS)
    settled(source)
    told = [(record.__dict__["action"], record.__dict__.get("reason")) for record in caplog.records]
    assert told == [("keys_fetched", None), ("keys_not_fetched", "unreachable")]


def test_a_real_server_that_rotates_and_goes_away(timer: SetClock) -> None:
    with KeyServer() as server:
        server.publish([jwk("old")])
        source = KeySource(server.keys_url("core"), timer=timer)
        assert outcome(lambda: source.key("old")) == "key"
        server.publish([jwk("new"), jwk("old")])
        timer.advance(COOL_DOWN_SECONDS)
        assert outcome(lambda: source.key("new")) == "key"
        server.answer = Answer.GARBAGE
        timer.advance(COOL_DOWN_SECONDS)
        assert outcome(lambda: source.key("newer")) == "keys_unavailable"
        assert len(server.hits) == 3
    timer.advance(COOL_DOWN_SECONDS)
    assert outcome(lambda: source.key("newer")) == "keys_unavailable"
    assert outcome(lambda: source.key("old")) == "key"
