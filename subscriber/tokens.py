"""Bearer tokens: a stranger's header in, ``Claims`` out.

Nothing here trusts the token before its signature is checked: algorithm, issuers and key addresses come from us, the
token only chooses among them. Names that start with ``unverified`` mark what has not passed. There is no way to turn
a check off. "Bad" (``InvalidToken``) and "cannot tell yet" (``KeysUnavailable``) are never mixed; any other exception
is a bug. A token is never logged and never part of an error.
Follows RFC 6750 (bearer), RFC 7515 (signature), RFC 7519 (claims), RFC 8725 (practice) and the MindSphere reference,
sections 5.4 and 5.5.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from typing import NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from subscriber.errors import InvalidToken
from subscriber.keys import KeySource, base64url_bytes, is_kid, json_object
from subscriber.model import Claims, from_millis

ALGORITHM = "RS256"  # the only one the platform signs with (reference, section 5.4)
LEEWAY_SECONDS = 60  # how far its clock and ours may differ (reference, section 5.5 step 6)

# Room for the longest real token and an end to hashing and parsing for strangers: tokens with many scopes exceed the
# newer gateway's 10 KB of headers (reference, section 7.4).
MAX_TOKEN_CHARS = 16 * 1024

# Tokens for access, plain (RFC 7519) and profiled (RFC 9068). Other kinds, a logout token say, prove other things.
ACCESS_TOKEN_TYPES = frozenset({"jwt", "at+jwt"})

# Only a person takes part in these grants (RFC 6749, sections 4.1 to 4.3).
PERSONAL_GRANTS = frozenset({"authorization_code", "implicit", "password"})

MAX_MOMENT = 253_402_300_799  # the last second of the year 9999, where datetimes end

# One broker uses one token per tenant and half an hour; this is thousands of tenants, at 1.1 KiB each.
MAX_REMEMBERED = 4096

# Knows RS256 and nothing else: not `none`, not HS256.
_SIGNATURES = jwt.PyJWS(algorithms=[ALGORITHM])


class UnverifiedToken(NamedTuple):
    """A well-formed token whose signature nobody has checked."""

    text: str
    kid: str
    payload: bytes


def bearer_token(authorization: str | None) -> str:
    """The one token of an ``Authorization`` value; the scheme's letter case does not matter.

    Raises ``InvalidToken``: ``missing``, ``size`` or ``scheme``.
    """
    if not authorization:
        raise InvalidToken("no Authorization header", reason="missing")
    if len(authorization) > MAX_TOKEN_CHARS:
        raise InvalidToken(f"longer than {MAX_TOKEN_CHARS} characters", reason="size")
    scheme, _, rest = authorization.partition(" ")
    token = rest.strip(" ")
    if scheme.lower() != "bearer" or not token or " " in token or "," in token:
        raise InvalidToken("not one bearer token", reason="scheme")
    return token


def read_token(text: str) -> UnverifiedToken:
    """Take a token in the compact form apart, and refuse every form that could be read in two ways.

    The header may name a type, an algorithm and a key. Parameters that carry or point to keys (``jku``, ``jwk``,
    ``x5u``, ``x5c``) are not even looked at.
    Raises ``InvalidToken``: ``encoding``, ``header``, ``alg``, ``typ``, ``crit`` or ``kid``.
    """
    try:
        header_bytes, payload, _signature = (base64url_bytes(segment) for segment in text.split("."))
    except ValueError as error:
        raise InvalidToken("not three segments of canonical base64url", reason="encoding") from error
    try:
        header = json_object(header_bytes)
    except ValueError as error:
        raise InvalidToken("the header is not a plain JSON object", reason="header") from error
    return UnverifiedToken(text, _kid(header), payload)


def _kid(header: Mapping[str, object]) -> str:
    """The name of the signing key, if everything else in the header is as we demand."""
    if header.get("alg") != ALGORITHM:
        raise InvalidToken(f"not signed with {ALGORITHM}", reason="alg")
    if str(header.get("typ", "JWT")).lower() not in ACCESS_TOKEN_TYPES:
        raise InvalidToken("not an access token", reason="typ")
    if "crit" in header or "b64" in header:  # we understand no extension, so none may be critical (RFC 7515, 4.1.11)
        raise InvalidToken("uses an extension", reason="crit")
    if not is_kid(header.get("kid")):
        raise InvalidToken("names no key", reason="kid")
    return str(header["kid"])


def unverified_tenant(authorization: str | None) -> str:
    """The tenant that a token says it is of, before anything of it is checked: good for choosing whose keys to try.

    Empty if it names none. Raises ``InvalidToken``.
    """
    claims = _claim_set(read_token(bearer_token(authorization)).payload)
    return _text(claims, "ten")


def verified_payload(unverified: UnverifiedToken, key: RSAPublicKey) -> bytes:
    """The payload of a token that ``key`` has signed. Raises ``InvalidToken`` (reason ``signature``)."""
    try:
        verified = _SIGNATURES.decode_complete(
            unverified.text,
            key,
            algorithms=[ALGORITHM],
            options={"verify_signature": True, "enforce_minimum_key_length": True},
        )
    except jwt.PyJWTError as error:
        raise InvalidToken("the signature does not fit", reason="signature") from error
    payload: bytes = verified["payload"]
    return payload


def claims_of(payload: bytes, zone: str, now: float) -> Claims:
    """What a verified payload says at the time ``now``, in seconds since 1970.

    PyJWT could check the times as well, but by the machine's clock only, and it takes strings and booleans for times.
    Raises ``InvalidToken``: ``claims``, ``expired`` or ``not_yet``.
    """
    claims = _claim_set(payload)
    expires_at = _moment(claims, "exp")
    _check_times(claims, expires_at, now)
    return Claims(
        issuer=_text(claims, "iss"),
        zone=zone,
        subject=_text(claims, "sub"),
        client_id=_text(claims, "client_id") or _text(claims, "cid") or _text(claims, "azp"),
        tenant=_text(claims, "ten"),
        scopes=_scopes(claims.get("scope", [])),
        person=_is_person(claims),
        expires_at=from_millis(int(expires_at * 1000)),
        user_name=_text(claims, "user_name"),
    )


def _claim_set(payload: bytes) -> dict[str, object]:
    try:
        return json_object(payload)
    except ValueError as error:
        raise InvalidToken("the claims are not a plain JSON object", reason="claims") from error


def _check_times(claims: Mapping[str, object], expires_at: float, now: float) -> None:
    """No longest lifetime is demanded: how long the broker's tokens live is published nowhere."""
    if now >= expires_at + LEEWAY_SECONDS:
        raise InvalidToken("expired", reason="expired")
    begins = [_moment(claims, "iat")]
    if "nbf" in claims:
        begins.append(_moment(claims, "nbf"))
    if max(begins) > now + LEEWAY_SECONDS:
        raise InvalidToken("issued or valid in the future", reason="not_yet")


def _moment(claims: Mapping[str, object], name: str) -> float:
    """A time in seconds since 1970 (RFC 7519, NumericDate). It must be there."""
    value = claims.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_MOMENT:
        return value
    raise InvalidToken(f"{name} is not a time", reason="claims")


def _text(claims: Mapping[str, object], name: str) -> str:
    """A name; empty if absent. It will stand in logs and on pages, so it must be printable."""
    value = claims.get(name, "")
    if isinstance(value, str) and value.isprintable():
        return value
    raise InvalidToken(f"{name} is not a printable string", reason="claims")


def _scopes(value: object) -> frozenset[str]:
    """An array of strings (the platform), or one string with spaces between them (RFC 6749, section 3.3)."""
    if isinstance(value, str):
        return frozenset(scope for scope in value.split(" ") if scope)
    if isinstance(value, list) and all(isinstance(scope, str) for scope in value):
        return frozenset(value)
    raise InvalidToken("scope is neither a string nor an array of strings", reason="claims")


def _is_person(claims: Mapping[str, object]) -> bool:
    """Only users' tokens name a user (reference, section 5.4)."""
    named = any(claims.get(name) is not None for name in ("user_id", "user_name"))
    return named or _text(claims, "grant_type") in PERSONAL_GRANTS


class Verified(NamedTuple):
    """A token that passed, and what it takes for that to stay true."""

    claims: Claims
    dies_at: float  # seconds since 1970
    source: KeySource
    kid: str
    key: RSAPublicKey


class Remembered:
    """Tokens that passed, by digest: the least recently used goes first. Holds no token itself."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[bytes, Verified] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, digest: bytes) -> Verified | None:
        with self._lock:
            entry = self._entries.get(digest)
            if entry is not None:
                self._entries.move_to_end(digest)
            return entry

    def put(self, digest: bytes, entry: Verified) -> None:
        with self._lock:
            self._entries[digest] = entry
            self._entries.move_to_end(digest)
            if len(self._entries) > self._limit:
                self._entries.popitem(last=False)

    def drop(self, digest: bytes) -> None:
        with self._lock:
            self._entries.pop(digest, None)


class Verifier:
    """Verifies tokens of many zones. Safe for many threads; after a fork a child makes its own.

    ``issuer`` and ``keys_url`` say how a zone's tokens name their issuer and where its keys are. ``clock`` counts
    seconds since 1970; ``source`` makes the key source of an address.
    """

    def __init__(
        self,
        issuer: Callable[[str], str],
        keys_url: Callable[[str], str],
        *,
        clock: Callable[[], float] = time.time,
        source: Callable[[str], KeySource] = KeySource,
    ) -> None:
        self._issuer = issuer
        self._keys_url = keys_url
        self._clock = clock
        self._new_source = source
        self._sources: dict[str, KeySource] = {}
        self._lock = threading.Lock()
        self._remembered = Remembered(MAX_REMEMBERED)

    def verify(self, authorization: str | None, zones: Collection[str]) -> Claims:
        """The claims of a genuine, current token of one of these zones.

        Raises ``InvalidToken`` with a reason, or ``KeysUnavailable`` when the token's key cannot be fetched now.
        """
        token = bearer_token(authorization)
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        entry = self._remembered.get(digest)
        if entry is not None:
            if self._still_holds(entry, zones):
                return entry.claims
            self._remembered.drop(digest)
        entry = self._verified(token, zones)
        self._remembered.put(digest, entry)
        return entry.claims

    def _still_holds(self, entry: Verified, zones: Collection[str]) -> bool:
        """A remembered token dies when it expires and when its key was fetched anew, replaced or removed."""
        return (
            entry.claims.zone in zones and self._clock() < entry.dies_at and entry.source.key(entry.kid) is entry.key
        )

    def _verified(self, token: str, zones: Collection[str]) -> Verified:
        unverified = read_token(token)
        zone = self._zone(unverified, zones)
        source = self._source(zone)
        key = source.key(unverified.kid)
        claims = claims_of(verified_payload(unverified, key), zone, self._clock())
        return Verified(claims, claims.expires_at.timestamp() + LEEWAY_SECONDS, source, unverified.kid, key)

    def _zone(self, unverified: UnverifiedToken, zones: Collection[str]) -> str:
        """The allowed zone whose issuer the token names, letter by letter."""
        unverified_issuer = _claim_set(unverified.payload).get("iss")
        for zone in zones:
            if self._issuer(zone) == unverified_issuer:
                return zone
        raise InvalidToken("not from an issuer we accept", reason="issuer")

    def _source(self, zone: str) -> KeySource:
        with self._lock:
            if zone not in self._sources:
                self._sources[zone] = self._new_source(self._keys_url(zone))
            return self._sources[zone]
