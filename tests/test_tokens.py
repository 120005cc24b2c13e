"""Genuine tokens become claims; all others are refused, each for its reason."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from subscriber.errors import InvalidToken, KeysUnavailable
from subscriber.keys import COOL_DOWN_SECONDS, REFRESH_SECONDS, STALE_SECONDS, KeySource
from subscriber.model import Claims
from subscriber.tokens import (
    LEEWAY_SECONDS,
    MAX_TOKEN_CHARS,
    Remembered,
    Verified,
    Verifier,
    bearer_token,
    unverified_tenant,
)
from tests.signing import (
    KID,
    SCOPE,
    Answer,
    Json,
    KeyServer,
    SetClock,
    base64url,
    bearer,
    broker_claims,
    jwk,
    mint,
    signed,
    signing_key,
)

NOW = 1_800_000_000.0
PUBLIC = signing_key().public_key()


class Desk:
    """A verifier at its place: the zones core and acmeop are allowed, the zone foreign has keys but is not."""

    def __init__(self, server: KeyServer) -> None:
        self.server = server
        self.clock = SetClock(NOW)
        self.timer = SetClock(1000.0)
        self.zones = frozenset({"core", "acmeop"})
        self.verifier = Verifier(
            server.issuer,
            server.keys_url,
            clock=self.clock,
            source=lambda url: KeySource(url, timer=self.timer),
        )

    def claims(self, zone: str = "core", **claims: object) -> Json:
        return broker_claims(self.server.issuer(zone), now=self.clock(), **claims)

    def verify(self, token: str) -> Claims:
        return self.verifier.verify(bearer(token), self.zones)

    def reason(self, authorization: str | None) -> str:
        """``accepted``, or why not."""
        try:
            self.verifier.verify(authorization, self.zones)
        except (InvalidToken, KeysUnavailable) as error:
            return error.reason
        return "accepted"

    def refusal(self, token: str) -> str:
        return self.reason(bearer(token))


@pytest.fixture(scope="module")
def server() -> Iterator[KeyServer]:
    with KeyServer() as running:
        yield running


@pytest.fixture
def desk(server: KeyServer) -> Desk:
    server.answer = Answer.KEYS
    server.hits.clear()
    server.publish([jwk()])
    server.publish([jwk("host", signing_key("second"))], zone="acmeop")
    server.publish([jwk("foreign", signing_key("third"))], zone="foreign")
    return Desk(server)


# Genuine tokens


def test_the_claims_of_a_genuine_token(desk: Desk) -> None:
    assert desk.verify(mint(desk.claims())) == Claims(
        issuer=desk.server.issuer("core"),
        zone="core",
        subject="message-broker",
        client_id="message-broker",
        tenant="custaa",
        scopes=frozenset({SCOPE}),
        person=False,
        expires_at=datetime.fromtimestamp(NOW + 1800, UTC),
    )


def test_each_allowed_zone_signs_with_its_own_keys(desk: Desk) -> None:
    token = mint(desk.claims("acmeop"), kid="host", key=signing_key("second"))
    assert desk.verify(token).zone == "acmeop"
    assert desk.server.hits == ["/acmeop.piam/token_keys"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_s_letter_case_does_not_matter(desk: Desk, scheme: str) -> None:
    assert desk.reason(f"{scheme} {mint(desk.claims())}") == "accepted"


@pytest.mark.parametrize("header", [{"typ": None}, {"typ": "jwt"}, {"typ": "at+jwt"}, {"cty": "x"}, {"x5t": "AQ"}])
def test_headers_that_change_nothing_are_tolerated(desk: Desk, header: Json) -> None:
    assert desk.refusal(mint(desk.claims(), header=header)) == "accepted"


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        (["a.b", "c.d"], {"a.b", "c.d"}),
        ("a.b c.d", {"a.b", "c.d"}),
        (" a.b  c.d ", {"a.b", "c.d"}),
        ("a.b,c.d", {"a.b,c.d"}),
        (["a.b c.d"], {"a.b c.d"}),
        ("a.b\tc.d", {"a.b\tc.d"}),
        ([], set()),
        ("", set()),
        (None, set()),
    ],
)
def test_scopes_come_as_an_array_or_with_spaces_between_them(desk: Desk, scope: object, scopes: set[str]) -> None:
    assert desk.verify(mint(desk.claims(scope=scope))).scopes == scopes


@pytest.mark.parametrize(
    ("claims", "client_id"),
    [
        ({}, "message-broker"),
        ({"client_id": None, "cid": "second"}, "second"),
        ({"client_id": None, "cid": None, "azp": "third"}, "third"),
        ({"client_id": None, "cid": None, "azp": None}, ""),
    ],
)
def test_the_client_has_several_names_for_its_id(desk: Desk, claims: Json, client_id: str) -> None:
    assert desk.verify(mint(desk.claims(**claims))).client_id == client_id


@pytest.mark.parametrize(
    ("claims", "person"),
    [
        ({}, False),
        ({"user_id": "u-1"}, True),
        ({"user_name": "someone@example.com"}, True),
        ({"user_name": ""}, True),
        ({"user_id": 0}, True),
        ({"grant_type": "authorization_code"}, True),
        ({"grant_type": "password"}, True),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}, False),
        ({"grant_type": None}, False),
    ],
)
def test_a_person_s_token_is_known_by_its_user(desk: Desk, claims: Json, person: bool) -> None:
    assert desk.verify(mint(desk.claims(**claims))).person is person


def test_a_person_is_called_by_the_user_s_name(desk: Desk) -> None:
    assert desk.verify(mint(desk.claims(user_name="ada@custaa.example"))).user_name == "ada@custaa.example"
    assert desk.verify(mint(desk.claims())).user_name == ""


def test_whose_keys_to_try_is_read_before_anything_is_verified(desk: Desk) -> None:
    assert unverified_tenant(bearer(mint(desk.claims(ten="custzz")))) == "custzz"
    assert unverified_tenant(bearer(mint(desk.claims(ten=None)))) == ""
    for authorization in (None, "Bearer a.b.c", "Basic YTpi", bearer(mint(b"[]"))):
        with pytest.raises(InvalidToken):
            unverified_tenant(authorization)


def test_absent_names_are_empty(desk: Desk) -> None:
    claims = desk.verify(mint(desk.claims(sub=None, ten=None)))
    assert (claims.subject, claims.tenant) == ("", "")


# The header's way to us


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (None, "missing"),
        ("", "missing"),
        ("Bearer", "scheme"),
        ("Bearer ", "scheme"),
        ("{token}", "scheme"),
        ("Basic {token}", "scheme"),
        ("Bearer: {token}", "scheme"),
        ("Bearer{token}", "scheme"),
        (" Bearer {token}", "scheme"),
        ("Bearer {token} {token}", "scheme"),
        ("Bearer {token}, Bearer {token}", "scheme"),
        ("Bearer {token},{token}", "scheme"),
        ("Bearer\t{token}", "scheme"),
        ("Bearer \t{token}", "encoding"),
        ("Bearer {token}\n", "encoding"),
        ("Bearer {token}\0", "encoding"),
        ("Bearer {token}\udc80", "encoding"),
        ("Bearer ü.ü.ü", "encoding"),
        ("Bearer  {token} ", "accepted"),
    ],
)
def test_exactly_one_bearer_token_is_demanded(desk: Desk, authorization: str | None, reason: str) -> None:
    if authorization is not None:
        authorization = authorization.replace("{token}", mint(desk.claims()))
    assert desk.reason(authorization) == reason


def test_a_token_beyond_the_limit_is_not_even_read(desk: Desk) -> None:
    room = MAX_TOKEN_CHARS - len(bearer(mint(desk.claims(pad="")))) - 8
    fits = bearer(mint(desk.claims(pad="x" * (room * 3 // 4))))
    assert MAX_TOKEN_CHARS - 16 < len(fits) <= MAX_TOKEN_CHARS
    assert desk.reason(fits) == "accepted"
    assert desk.reason("Bearer " + "x" * MAX_TOKEN_CHARS) == "size"


# The form


@pytest.mark.parametrize("text", ["x", "e30.e30", "e30.e30.e30.e30", "." * 9000, "e30." * 3000, "...."])
def test_a_token_has_three_segments(desk: Desk, text: str) -> None:
    assert desk.refusal(text) == "encoding"


def padded(claims: Json) -> bytes:
    """The claims as JSON with spaces at the end, so that base64url has unused bits in its last character."""
    text = json.dumps(claims).encode()
    return text + b" " * ((1 - len(text)) % 3)


def respelled(token: str, segment: int, spelling: str) -> str:
    """The token with one segment spelled differently. Signed so, where it is one of the first two."""
    segments = token.split(".")
    segments[segment] = spelling
    return ".".join(segments) if segment == 2 else signed(".".join(segments[:2]))


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_each_segment_is_spelled_in_the_one_canonical_way(desk: Desk, segment: int) -> None:
    token = mint(padded(desk.claims()), header=padded({"alg": "RS256", "kid": KID}))
    canonical = token.split(".")[segment]
    assert len(canonical) % 4 == 2 and canonical[-1] in "AQgw"
    assert desk.refusal(respelled(token, segment, canonical)) == "accepted"
    stray_bits = canonical[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[canonical[-1]]
    spellings = [stray_bits, canonical + "==", canonical + "=", canonical + "AAA", canonical[:-1] + "+"]
    spellings += [canonical[:9] + inserted + canonical[9:] for inserted in ("\n", "\t", "\r\n", "?", "/", "%41", "ä")]
    for spelling in spellings:
        assert desk.refusal(respelled(token, segment, spelling)) == "encoding", spelling


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"null",
        b'"RS256"',
        b'{"alg":"RS256","kid":"key-id-1"',
        b'{"alg":"none","alg":"RS256","kid":"key-id-1"}',
        b'{"alg":"RS256","kid":"key-id-1","kid":"key-id-1"}',
        b'{"alg":"RS256","kid":"key-id-1","x":NaN}',
        b'{"alg":"RS256","kid":"key-id-1","x":' + b"[" * 3000 + b"]" * 3000 + b"}",
        '{"alg":"RS256","kid":"key-id-1"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"alg":"RS256","kid":"key-id-1"}',
        b'{"alg":"RS256","kid":"key-id-1","x":"\xff"}',
    ],
)
def test_the_header_is_one_plain_json_object(desk: Desk, header: bytes) -> None:
    assert desk.refusal(mint(desk.claims(), header=header)) == "header"


@pytest.mark.parametrize("typ", ["", "JOSE", "logout+jwt", "dpop+jwt", "JWT ", "application/jwt", 1, ["JWT"], False])
def test_tokens_of_another_type_are_refused(desk: Desk, typ: object) -> None:
    assert desk.refusal(mint(desk.claims(), header={"typ": typ})) == "typ"


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": ["b64"], "b64": True},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"crit": "exp"},
        {"b64": True},
        {"b64": False},
    ],
)
def test_extensions_are_refused(desk: Desk, header: Json) -> None:
    assert desk.refusal(mint(desk.claims(), header=header)) == "crit"


# The algorithm


NONE = ["none", "None", "NONE", "nOnE", "none ", ""]


@pytest.mark.parametrize("alg", NONE)
@pytest.mark.parametrize("signature", ["", "AA", "signed"])
def test_no_spelling_of_none_is_accepted(desk: Desk, alg: str, signature: str) -> None:
    token = mint(desk.claims(), header={"alg": alg})
    if signature != "signed":
        token = token.rpartition(".")[0] + "." + signature
    assert desk.refusal(token) == "alg"


OTHERS: list[object] = [
    "RS384",
    "RS512",
    "PS256",
    "ES256",
    "EdDSA",
    "HS256",
    "rs256",
    "RS256 ",
    "RSA",
    None,
    0,
    True,
    ["RS256"],
    {},
]


@pytest.mark.parametrize("alg", OTHERS, ids=str)
def test_only_rs256_is_accepted(desk: Desk, alg: object) -> None:
    assert desk.refusal(mint(desk.claims(), header={"alg": alg})) == "alg"


PUBLIC_FORMS = {
    "PEM": PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "PEM without its line end": PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
    "PKCS1": PUBLIC.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
    "DER": PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "SSH": PUBLIC.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    "JWK": json.dumps(jwk()).encode(),
    "modulus": str(jwk()["n"]).encode(),
    "nothing": b"",
}


@pytest.mark.parametrize("secret", PUBLIC_FORMS.values(), ids=PUBLIC_FORMS.keys())
@pytest.mark.parametrize(("alg", "reason"), [("HS256", "alg"), ("RS256", "signature")])
def test_the_public_key_is_no_shared_secret(desk: Desk, secret: bytes, alg: str, reason: str) -> None:
    signing_input = mint(desk.claims(), header={"alg": alg}).rpartition(".")[0]
    mac = hmac.new(secret, signing_input.encode(), hashlib.sha256).digest()
    assert desk.refusal(f"{signing_input}.{base64url(mac)}") == reason


# The key


def test_keys_offered_by_the_token_are_never_used_nor_fetched(desk: Desk, server: KeyServer) -> None:
    thief = signing_key("thief")
    with KeyServer() as listener:
        listener.publish([jwk(key=thief)])
        url = listener.keys_url("core")
        certificate = base64url(thief.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        for offer in (
            {"jku": url},
            {"x5u": url},
            {"jwk": jwk(key=thief)},
            {"x5c": [certificate]},
            {"jku": url, "x5u": url, "jwk": jwk(key=thief), "x5c": [certificate], "x5t": "AQ", "x5t#S256": "AQ"},
        ):
            assert desk.refusal(mint(desk.claims(), key=thief, header=offer)) == "signature"
            assert desk.refusal(mint(desk.claims(), header=offer)) == "accepted", "they are ignored"
            assert desk.refusal(mint(desk.claims(), key=thief, header={**offer, "kid": url})) == "kid"
        assert listener.hits == []
    assert server.hits == ["/core.piam/token_keys"]


@pytest.mark.parametrize(
    "kid",
    [
        "",
        "../../../../dev/null",
        "' OR 1=1 --",
        "key-id-1\0",
        "key-id-1\n",
        "key-id-1 ",
        "KEY-ID-1",
        "key-id-1%00",
        "http://127.0.0.1/keys",
        "|cat /etc/passwd",
        "k" * 256,
        "\ud800",
        1,
        True,
        ["key-id-1"],
        {"key-id-1": 1},
        None,
    ],
    ids=ascii,
)
def test_a_kid_names_a_published_key_or_nothing(desk: Desk, server: KeyServer, kid: object) -> None:
    assert desk.refusal(mint(desk.claims(), header={"kid": kid})) == "kid"
    assert set(server.hits) <= {"/core.piam/token_keys"}


def test_another_key_s_signature_does_not_fit(desk: Desk) -> None:
    assert desk.refusal(mint(desk.claims(), key=signing_key("thief"))) == "signature"


def test_a_key_of_another_allowed_zone_does_not_fit(desk: Desk) -> None:
    assert desk.refusal(mint(desk.claims("core"), kid="host", key=signing_key("second"))) == "kid"


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_changed_token_does_not_fit(desk: Desk, part: int) -> None:
    genuine = mint(desk.claims()).split(".")
    other = mint(desk.claims(ten="custbb"), header={"typ": None}).split(".")
    changed = [other[index] if index == part else segment for index, segment in enumerate(genuine)]
    assert desk.refusal(".".join(changed)) == "signature"


@pytest.mark.parametrize("scheme", ["PSS", "SHA-512", "empty", "short", "long", "zero"])
def test_a_signature_made_differently_does_not_fit(desk: Desk, scheme: str) -> None:
    signing_input, _, text = mint(desk.claims()).rpartition(".")
    data, key = signing_input.encode(), signing_key()
    genuine = key.sign(data, PKCS1v15(), SHA256())
    signature = {
        "PSS": key.sign(data, PSS(MGF1(SHA256()), 32), SHA256()),
        "SHA-512": key.sign(data, PKCS1v15(), SHA512()),
        "empty": b"",
        "short": genuine[:-1],
        "long": genuine + b"\0",
        "zero": b"\0" * 256,
    }[scheme]
    assert desk.refusal(f"{signing_input}.{base64url(signature)}") == "signature"


# The issuer


@pytest.mark.parametrize(
    "spoil",
    [
        "{}/",
        "{}#",
        "{}?",
        "{} ",
        " {}",
        "x{}",
        "{}.evil.example",
        "https://evil.example/{}",
        "{}@evil.example",
        "{}%00",
        "{}\0",
    ],
)
def test_an_issuer_that_almost_fits_is_refused(desk: Desk, spoil: str) -> None:
    issuer = spoil.format(desk.server.issuer("core"))
    assert desk.refusal(mint(desk.claims(iss=issuer))) == "issuer"
    assert desk.server.hits == [], "nobody is asked for the keys of strangers"


def test_an_issuer_is_one_string_of_an_allowed_zone(desk: Desk) -> None:
    allowed = desk.server.issuer("core")
    for issuer in (None, "", 1, True, [allowed], {"iss": allowed}, allowed.upper(), allowed[:-1]):
        assert desk.refusal(mint(desk.claims(iss=issuer))) == "issuer"
    token = mint(desk.claims("foreign"), kid="foreign", key=signing_key("third"))
    assert desk.refusal(token) == "issuer"
    with pytest.raises(InvalidToken, match="issuer"):
        desk.verifier.verify(bearer(mint(desk.claims())), ())


def test_a_zone_allowed_for_one_purpose_is_not_allowed_for_another(desk: Desk) -> None:
    token = bearer(mint(desk.claims()))
    assert desk.verifier.verify(token, {"core"}).zone == "core"
    with pytest.raises(InvalidToken, match="issuer"):
        desk.verifier.verify(token, {"acmeop"})
    assert desk.verifier.verify(token, {"core"}).zone == "core"


# The times


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW - LEEWAY_SECONDS}, "expired"),
        ({"exp": NOW - LEEWAY_SECONDS + 0.001}, "accepted"),
        ({"exp": NOW - LEEWAY_SECONDS + 1}, "accepted"),
        ({"exp": NOW - LEEWAY_SECONDS - 1}, "expired"),
        ({"exp": 0}, "expired"),
        ({"iat": NOW + LEEWAY_SECONDS}, "accepted"),
        ({"iat": NOW + LEEWAY_SECONDS + 0.001}, "not_yet"),
        ({"iat": NOW + LEEWAY_SECONDS + 1}, "not_yet"),
        ({"nbf": NOW + LEEWAY_SECONDS}, "accepted"),
        ({"nbf": NOW + LEEWAY_SECONDS + 0.001}, "not_yet"),
        ({"nbf": NOW - 10_000}, "accepted"),
        ({"iat": 0}, "accepted"),
        ({"exp": 253_402_300_799}, "accepted"),
    ],
)
def test_times_have_a_leeway_with_exact_edges(desk: Desk, claims: Json, reason: str) -> None:
    assert desk.refusal(mint(desk.claims(**claims))) == reason


NO_TIMES = [str(int(NOW)), "", True, False, [NOW], {}, -1, -0.5, 253_402_300_800, 1e300, 10**400, "NaN"]


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", NO_TIMES, ids=lambda value: str(value)[:20])
def test_a_time_is_a_number_of_seconds_within_reason(desk: Desk, name: str, value: object) -> None:
    assert desk.refusal(mint({**desk.claims(), name: value})) == "claims"


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"null"])
def test_a_time_that_is_no_json_number_is_refused(desk: Desk, literal: bytes) -> None:
    claims = json.dumps(desk.claims(exp="here")).encode().replace(b'"here"', literal)
    assert desk.refusal(mint(claims)) == "claims"


@pytest.mark.parametrize("name", ["exp", "iat"])
def test_issue_and_expiry_are_required(desk: Desk, name: str) -> None:
    claims = desk.claims()
    del claims[name]
    assert desk.refusal(mint(claims)) == "claims"


# The other claims


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": {"alarmapi.notify": True}},
        {"scope": 1},
        {"scope": [SCOPE, 1]},
        {"scope": [[SCOPE]]},
        {"ten": ["custaa"]},
        {"ten": 7},
        {"ten": "custaa\n"},
        {"ten": "cust\0aa"},
        {"sub": "\ud800"},
        {"sub": 1},
        {"client_id": ["message-broker"]},
        {"client_id": None, "cid": {}},
        {"grant_type": ["password"]},
    ],
    ids=ascii,
)
def test_claims_of_a_wrong_shape_are_refused(desk: Desk, claims: Json) -> None:
    assert desk.refusal(mint(desk.claims(**claims))) == "claims"


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"text", b'{"iss":"a","iss":"a"}', b'{"iss":"\xff"}'])
def test_the_payload_is_one_plain_json_object(desk: Desk, payload: bytes) -> None:
    assert desk.refusal(mint(payload)) == "claims"


def test_a_claim_that_comes_twice_is_refused(desk: Desk) -> None:
    claims = json.dumps(desk.claims()).encode()
    assert desk.refusal(mint(claims.replace(b'"ten"', b'"ten": "custbb", "ten"'))) == "claims"


# Keys that come and go


def test_ten_thousand_invented_kids_cause_one_fetch(desk: Desk, server: KeyServer) -> None:
    genuine = mint(desk.claims())
    assert desk.refusal(genuine) == "accepted"
    signing_input, _, signature = genuine.rpartition(".")
    payload = signing_input.partition(".")[2]
    server.hits.clear()
    desk.timer.advance(COOL_DOWN_SECONDS)

    def flood(number: int) -> str:
        head = base64url(json.dumps({"alg": "RS256", "kid": f"kid-{number}"}).encode())
        return desk.refusal(f"{head}.{payload}.{signature}")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(flood, range(10_000))) <= {"kid", "keys_unavailable"}
    assert len(server.hits) == 1
    assert desk.refusal(genuine) == "accepted"


@pytest.mark.parametrize("answer", [Answer.ERROR, Answer.REDIRECT, Answer.GARBAGE, Answer.HUGE, Answer.HANG_UP])
def test_a_failing_key_server_means_cannot_tell_yet(desk: Desk, server: KeyServer, answer: Answer) -> None:
    server.answer = answer
    with pytest.raises(KeysUnavailable) as caught:
        desk.verify(mint(desk.claims()))
    assert (caught.value.status, caught.value.retry_after_seconds) == (503, COOL_DOWN_SECONDS)
    assert desk.refusal(mint(desk.claims())) == "keys_unavailable"
    assert len(server.hits) == 1
    server.answer = Answer.KEYS
    desk.timer.advance(COOL_DOWN_SECONDS)
    assert desk.refusal(mint(desk.claims())) == "accepted"


def test_what_can_be_judged_without_a_key_is_judged_while_the_key_server_is_down(
    desk: Desk, server: KeyServer
) -> None:
    server.answer = Answer.ERROR
    assert desk.refusal(mint(desk.claims(), header={"alg": "none"})) == "alg"
    assert desk.refusal(mint(desk.claims(iss="https://evil.example"))) == "issuer"
    assert server.hits == []


def test_a_slow_key_server_does_not_delay_known_keys(desk: Desk, server: KeyServer) -> None:
    token = mint(desk.claims())
    desk.verify(token)
    server.answer = Answer.STALL
    server.proceed.clear()
    desk.timer.advance(REFRESH_SECONDS)
    assert desk.refusal(token) == "accepted"
    assert desk.refusal(mint(desk.claims(ten="custbb"))) == "accepted"
    server.proceed.set()


# Remembered tokens


def test_a_remembered_token_expires_like_any_other(desk: Desk) -> None:
    token = mint(desk.claims())
    first = desk.verify(token)
    assert desk.verify(token) is first, "the second time it is remembered"
    desk.clock.advance(1800 + LEEWAY_SECONDS - 1)
    assert desk.verify(token) is first
    desk.clock.advance(1)
    assert desk.refusal(token) == "expired"


@pytest.mark.parametrize("kid", [KID, "new"], ids=["replaced", "removed"])
def test_a_remembered_token_dies_with_its_key(desk: Desk, server: KeyServer, kid: str) -> None:
    token = mint(desk.claims(exp=NOW + 10 * REFRESH_SECONDS))
    desk.verify(token)
    server.publish([jwk(kid, signing_key("second"))])
    desk.timer.advance(REFRESH_SECONDS)
    assert desk.refusal(token) == "accepted", "nobody waits for the refresh"
    assert desk.refusal(mint(desk.claims(), kid="nobody")) == "kid", "this one does"
    assert desk.refusal(token) == ("signature" if kid == KID else "kid")


def test_a_remembered_token_is_not_trusted_beyond_the_ceiling_of_its_key(desk: Desk, server: KeyServer) -> None:
    token = mint(desk.claims(exp=NOW + 10 * STALE_SECONDS))
    desk.verify(token)
    server.answer = Answer.ERROR
    desk.timer.advance(STALE_SECONDS)
    assert desk.refusal(token) == "keys_unavailable"


def test_a_remembered_token_is_found_by_all_of_it(desk: Desk) -> None:
    token = mint(desk.claims())
    desk.verify(token)
    assert desk.refusal(token[:-4] + "AAAA") == "signature"
    assert desk.refusal(token + ".") == "encoding"


def test_the_least_recently_used_token_is_forgotten_first(desk: Desk) -> None:
    source = KeySource("https://keys.example")
    claims = desk.verify(mint(desk.claims()))
    entry = Verified(claims, NOW, source, KID, PUBLIC)
    remembered = Remembered(limit=2)
    for digest in (b"a", b"b"):
        remembered.put(digest, entry)
    assert remembered.get(b"a") is entry
    remembered.put(b"c", entry)
    assert remembered.get(b"b") is None
    assert remembered.get(b"a") is entry and remembered.get(b"c") is entry
    remembered.drop(b"a")
    remembered.drop(b"a")
    assert remembered.get(b"a") is None


def test_many_threads_agree(desk: Desk, server: KeyServer) -> None:
    tokens = [mint(desk.claims(jti=str(number))) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda number: desk.refusal(tokens[number % 8]), range(400))) == {"accepted"}
    assert server.hits == ["/core.piam/token_keys"]


# Nothing else escapes, nothing is told


@given(st.text(max_size=200) | st.text("abcdefAZ09-_.= ,", max_size=200).map(lambda text: f"Bearer {text}"))
def test_whatever_the_header_holds_is_refused_as_invalid(text: str) -> None:
    verifier = Verifier(lambda zone: zone, lambda zone: "https://keys.example")
    with pytest.raises(InvalidToken):
        verifier.verify(text, {"core"})


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
CLAIM_NAMES = ["iss", "exp", "iat", "nbf", "ten", "scope", "client_id", "cid", "azp", "sub", "user_id", "grant_type"]


@given(
    claims=st.dictionaries(st.sampled_from(CLAIM_NAMES), JSON_VALUES, max_size=4),
    header=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk"]), JSON_VALUES, max_size=2),
)
def test_whatever_an_issuer_signs_becomes_claims_or_is_refused_as_invalid(
    server: KeyServer, claims: Json, header: Json
) -> None:
    server.answer = Answer.KEYS
    server.publish([jwk()])
    desk = Desk(server)
    token = mint({**desk.claims(), **claims}, header=header)
    try:
        assert isinstance(desk.verify(token), Claims)
    except InvalidToken as error:
        assert error.reason not in ("token", "")


def test_an_error_tells_nothing_of_the_token(desk: Desk) -> None:
    secret = "do-not-repeat-me"
    for token in (
        mint(desk.claims(sub=[secret])),
        mint(desk.claims(iss=secret)),
        mint(desk.claims(), kid=secret),
        mint(desk.claims(), header={"alg": secret}),
        mint(secret.encode()),
        secret,
    ):
        with pytest.raises(InvalidToken) as caught:
            desk.verify(token)
        assert secret not in str(caught.value) and token not in str(caught.value)


def test_the_reader_of_the_header_returns_the_token_alone() -> None:
    assert bearer_token("bearer  a.b.c ") == "a.b.c"


# What we rely on PyJWT for


RS256_ONLY = jwt.PyJWS(algorithms=["RS256"])


def decode(token: str, key: object = PUBLIC) -> bytes:
    decoded = RS256_ONLY.decode_complete(
        token,
        key,  # type: ignore[arg-type]  # wrong kinds of keys are the point
        algorithms=["RS256"],
        options={"verify_signature": True, "enforce_minimum_key_length": True},
    )
    return bytes(decoded["payload"])


def test_backstop_a_genuine_signature_yields_the_exact_payload() -> None:
    assert decode(mint(b"any bytes \xff")) == b"any bytes \xff"


def test_backstop_a_verifier_of_one_algorithm_knows_no_other() -> None:
    assert RS256_ONLY.get_algorithms() == ["RS256"]
    for alg in ("none", "HS256", "RS512", "PS256"):
        with pytest.raises(jwt.InvalidAlgorithmError):
            decode(mint(b"{}", header={"alg": alg}))


def test_backstop_short_keys_are_refused_even_if_admission_failed() -> None:
    weak = signing_key("weak", 1024)
    with pytest.raises(jwt.InvalidKeyError):
        decode(mint(b"{}", key=weak), weak.public_key())


def test_backstop_bad_signatures_raise_one_family_of_errors() -> None:
    for token in ("", "a", "a.b", "a.b.c.d", "e30.e30.", mint(b"{}", key=signing_key("thief"))):
        with pytest.raises(jwt.PyJWTError):
            decode(token)


def test_backstop_why_times_are_checked_here_pyjwt_takes_strings_and_booleans_for_times() -> None:
    """When this fails, PyJWT has become strict, and only its clock is left as a reason."""
    claims = {"iss": "i", "exp": "9999999999", "iat": True}
    assert jwt.decode(mint(claims), PUBLIC, algorithms=["RS256"])["exp"] == "9999999999"
