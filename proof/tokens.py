"""Forged and broken tokens before two readers: ours, and a library that has nothing in common with it.

A token that we take and the other reader does not is a finding, whichever of the two is wrong. The other way round is
our strictness, counted by our reason. Tokens that nobody touched must pass both.
"""

from __future__ import annotations

import json
import random
import string
import time
from collections import Counter
from collections.abc import Callable, Sequence

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from joserfc.registry import Header, check_crit_header

from proof.report import Chapter
from subscriber.errors import InvalidToken
from subscriber.keys import KeySource
from subscriber.model import Claims
from subscriber.tokens import ALGORITHM, LEEWAY_SECONDS, Verifier
from tests.signing import KID, base64url, bearer, broker_claims, jwk, key_set, mint, signed, signing_key

TOKENS = 100_000
ISSUER = "https://core.piam.example/oauth/token"
KEYS = [jwk(key=signing_key("first")), jwk("second", signing_key("second"))]
OURS = Verifier(lambda zone: ISSUER, lambda zone: zone, source=lambda url: KeySource(url, fetch=lambda _: _keys()))
THEIRS = KeySet.import_key_set({"keys": KEYS})
READ = ("iss", "exp", "nbf", "iat")  # what both judge; a token without `exp` is refused by us alone
MISMATCH = "taken by us, refused by the other reader"

WHAT = """\
Tokens of the platform's shape, most of them spoiled in one to three ways: other algorithms, keys, key names and
headers, claims removed, repeated, retyped or moved in time, payloads that are no JSON, segments cut, padded, swapped
or with a letter changed, signatures of other texts. Each is read by our verifier and by joserfc with RS256 and the
same keys, leeway and issuer. Whatever we take, the other must take, with the same claims."""

Token = tuple[dict[str, object], dict[str, object], str]  # header, claims, name of the key that signs


def _keys() -> bytes:
    return key_set(*KEYS)


ODD: Sequence[object] = (
    0, -1, 1, 2**31, 2**63, 1e308, 0.5, True, "", "x", "core", KID, "RS256", "none", "HS256", "RS512", "JWT", [],
    ["x"], [KID], {}, {"a": 1}, "\x00", "\ud800", "é", " ", "a" * 300,
)  # fmt: skip
HEADERS = ("alg", "kid", "typ", "cty", "crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc")
CLAIMS = ("iss", "exp", "iat", "nbf", "ten", "scope", "client_id", "sub", "aud", "user_id", "grant_type", "jti")


def _spoil_header(token: Token, chance: random.Random) -> None:
    token[0][chance.choice(HEADERS)] = chance.choice(ODD)


def _drop_header(token: Token, chance: random.Random) -> None:
    token[0].pop(chance.choice(HEADERS), None)


def _spoil_claim(token: Token, chance: random.Random) -> None:
    token[1][chance.choice(CLAIMS)] = chance.choice(ODD)


def _drop_claim(token: Token, chance: random.Random) -> None:
    token[1].pop(chance.choice(CLAIMS), None)


def _shift(token: Token, chance: random.Random) -> None:
    """Times near the edges of the leeway."""
    edge = chance.choice((-1, 1)) * chance.choice((0, LEEWAY_SECONDS, 1800))
    token[1][chance.choice(("exp", "iat", "nbf"))] = int(time.time()) + edge + chance.randint(-3, 3)


INSIDE: Sequence[Callable[[Token, random.Random], None]] = (
    _spoil_header, _drop_header, _spoil_claim, _drop_claim, _shift,
)  # fmt: skip


def _letter(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text))
    return text[:at] + chance.choice(string.ascii_letters + string.digits + "-_+/=. \n\x00é") + text[at + 1 :]


def _cut(text: str, chance: random.Random) -> str:
    return text[: chance.randrange(len(text))] if chance.random() < 0.5 else text[chance.randrange(1, len(text)) :]


def _pad(text: str, chance: random.Random) -> str:
    parts = text.split(".")
    parts[chance.randrange(len(parts))] += chance.choice(("=", "==", "A", " ", "\n", "%3D"))
    return ".".join(parts)


def _swap(text: str, chance: random.Random) -> str:
    parts = text.split(".")
    chance.shuffle(parts)
    return ".".join(parts)


def _double(text: str, chance: random.Random) -> str:
    return text + "." + chance.choice(text.split("."))


def _empty(text: str, chance: random.Random) -> str:
    parts = text.split(".")
    parts[chance.randrange(len(parts))] = ""
    return ".".join(parts)


def _no_json(text: str, chance: random.Random) -> str:
    """A true signature under what is no claim set, or one with a member twice."""
    head, payload, _ = (text + "..").split(".")[:3]
    bodies = (b"", b"[]", b"null", b"{", b'{"exp":NaN}', b"\xff", b'{"iss":"x","iss":"y"}', b" " + payload.encode())
    return signed(f"{head}.{base64url(chance.choice(bodies))}", signing_key("first"))


OUTSIDE: Sequence[Callable[[str, random.Random], str]] = (_letter, _cut, _pad, _swap, _double, _empty, _no_json)


def made(chance: random.Random) -> tuple[str, bool]:
    """A token, and whether nothing was done to it."""
    claims = broker_claims(ISSUER)
    token: Token = ({"alg": "RS256", "kid": KID, "typ": "JWT"}, claims, "first")
    if chance.random() < 0.05:
        return mint(claims, key=signing_key("first")), True
    for _ in range(chance.randint(0, 2)):
        chance.choice(INSIDE)(token, chance)
    key = signing_key(chance.choice(("first", "first", "first", "second", "stranger")))
    header = json.dumps(token[0]).encode("utf-8", "surrogatepass")
    text = mint(json.dumps(token[1]).encode("utf-8", "surrogatepass"), key=key, header=header)
    for _ in range(chance.choice((0, 1, 1))):
        text = chance.choice(OUTSIDE)(text, chance) if text else text
    return text, False


def ours(token: str) -> Claims | str:
    """The claims, or the reason."""
    try:
        return OURS.verify(bearer(token), {"core"})
    except InvalidToken as error:
        return error.reason


class Lenient(JWSRegistry):
    """Leaves alone what nobody reads: the library wants registered members to have their types even so."""

    def check_header(self, header: Header) -> None:
        check_crit_header(self.header_registry, header)


def theirs(token: str) -> dict[str, object] | None:
    """The claims, or None. Spaces around a field's value are not part of it (RFC 9110, section 5.5)."""
    try:
        found = jwt.decode(token.strip(" \t"), THEIRS, registry=Lenient(algorithms=[ALGORITHM]))
        registry = jwt.JWTClaimsRegistry(leeway=LEEWAY_SECONDS, iss={"essential": True, "value": ISSUER})
        registry.validate({name: found.claims[name] for name in READ if name in found.claims})
    except (JoseError, ValueError, TypeError, OverflowError):
        return None
    return dict(found.claims)


def compare(token: str, untouched: bool) -> tuple[str, str | None]:
    """What to count, and what is broken."""
    mine, other = ours(token), theirs(token)
    if isinstance(mine, str):
        broken = "an untouched token was refused" if untouched else None
        return f"refused by {'us alone' if other is not None else 'both'}: {mine}", broken
    if other is None:
        return MISMATCH, f"{MISMATCH}: {token}"
    if (mine.tenant, mine.expires_at.timestamp()) != (other.get("ten", ""), float(str(other["exp"]))):
        return "other claims", f"other claims than the other reader's: {token}"
    return "taken by both", None


def run(scale: float) -> Chapter:
    chance, figures, broken = random.Random(7), Counter[str](), []
    count = round(TOKENS * scale)
    for _ in range(count):
        counted, finding = compare(*made(chance))
        figures[counted] += 1
        broken += [finding] if finding else []
    return Chapter(
        title="Tokens before two readers",
        what=WHAT,
        tried=count,
        unit="tokens",
        figures=dict(sorted(figures.items())),
        broken=broken,
        unproven="What both readers get wrong in the same way; RSA and SHA-256 themselves.",
    )
