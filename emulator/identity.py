"""Signing keys, their rotation, and tokens: what every emulated platform signs and checks with.

Zones are the names of key servers; ``core`` is the platform's own, the others are tenants'. Each zone has its own
RSA keys (or, by a knob, all share those of ``core``), made when first needed and kept in the state file. A tenant's
key server shows the keys of ``core`` too: a client in the field checks tokens of ``core`` against its tenant's
server, and there against the first key only. After a rotation the new key signs and is published first, the retired
one stays published for ``EMU_KEY_GRACE_S``. Tokens are always really signed, and their times are always real time,
whatever the emulator's clock says.

Follows: RFC 7517 (key sets), RFC 7519 (tokens); the members of a key set and the claims are the platform's,
see docs/fidelity.md rows C3, C4 and C17.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from emulator.clock import Clock
from emulator.journal import Journal
from emulator.knobs import Panel

ROOT_ZONE = "core"
KEY_BITS = 2048  # the platform's size is not published; RS256 asks for at least this
VERIFIED_KEPT = 20_000  # tokens whose signature is not checked again: more than tenants in a rehearsal


@dataclass(frozen=True)
class SigningKey:
    """One key pair of a zone."""

    kid: str
    zone: str
    private: RSAPrivateKey = field(repr=False)
    retired_at: float | None  # emulator seconds; None = signs

    @cached_property
    def published(self) -> dict[str, str]:
        """The public half as the key servers show it: RFC 7517 members and PEM in ``value``."""
        public = self.private.public_key()
        numbers = public.public_numbers()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return {
            "kty": "RSA",
            "e": _base64url(numbers.e),
            "use": "sig",
            "kid": self.kid,
            "alg": "RS256",
            "value": pem.decode(),
            "n": _base64url(numbers.n),
        }


def _base64url(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class KeyRing:
    """All zones' keys, newest first."""

    def __init__(self, journal: Journal, clock: Clock, panel: Panel) -> None:
        self._journal = journal
        self._clock = clock
        self._panel = panel
        self._zones: dict[str, list[SigningKey]] = {}
        rows = journal.db.execute("SELECT kid, zone, pem, retired_at FROM signing_keys ORDER BY serial DESC")
        for kid, zone, pem, retired_at in rows:
            self._zones.setdefault(zone, []).append(SigningKey(kid, zone, _load(pem), retired_at))

    def published(self, zone: str) -> list[SigningKey]:
        """What the zone's key server shows: the signing key of ``core`` first, the zone's own beside it."""
        root, own = self.keys(ROOT_ZONE), self.keys(zone)
        return root if own == root else [root[0], *own, *root[1:]]

    def keys(self, zone: str) -> list[SigningKey]:
        """The keys that tokens of this zone are signed with, the signing one first; makes the first one."""
        return self._kept(ROOT_ZONE if self._panel.now.zone_keys == "shared" else zone)

    def _kept(self, zone: str) -> list[SigningKey]:
        if zone not in self._zones:
            self._zones[zone] = [self._make(zone)]
        since = self._clock.now() - self._panel.now.key_grace_s
        kept = [key for key in self._zones[zone] if key.retired_at is None or key.retired_at > since]
        self._zones[zone] = kept
        return kept

    def signing(self, zone: str) -> SigningKey:
        return self.keys(zone)[0]

    def zones(self) -> list[str]:
        """Zones that have keys."""
        return sorted(self._zones)

    def rotate(self, zone: str) -> str:
        """A new signing key; the answer is its id. The old one stays published for the grace time."""
        now = self._clock.now()
        retired = [
            SigningKey(key.kid, zone, key.private, now if key.retired_at is None else key.retired_at)
            for key in self._kept(zone)
        ]
        with self._journal.transaction() as db:
            db.execute("UPDATE signing_keys SET retired_at = ? WHERE zone = ? AND retired_at IS NULL", (now, zone))
            fresh = self._make(zone)
        self._zones[zone] = [fresh, *retired]
        return fresh.kid

    def _make(self, zone: str) -> SigningKey:
        private = generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        key = SigningKey(f"{zone}-{secrets.token_hex(6)}", zone, private, None)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        self._journal.db.execute(
            "INSERT INTO signing_keys SELECT ?, ?, coalesce(max(serial), 0) + 1, ?, NULL FROM signing_keys",
            (key.kid, zone, pem),
        )
        return key


def _load(pem: str) -> RSAPrivateKey:
    key = load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, RSAPrivateKey)
    return key


class BadToken(Exception):
    """The bearer token proves nothing; the text says why and never repeats the token."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a genuine token says."""

    zone: str
    client_id: str
    tenant: str  # ``ten``
    scopes: frozenset[str]
    expires_at: float  # real seconds


class Tokens:
    """Mints and checks. ``issuer_of`` turns a zone into its issuer address."""

    def __init__(
        self,
        keys: KeyRing,
        issuer_of: Callable[[str], str],
        zone_of: Callable[[str], str | None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer_of = issuer_of
        self._zone_of = zone_of
        self._wall = wall
        self._verified: OrderedDict[str, tuple[str, Claims]] = OrderedDict()

    def mint(self, zone: str, claims: Mapping[str, object], lifetime_s: int) -> str:
        """A signed token of the zone; adds id, issuer and times."""
        key = self._keys.signing(zone)
        issued_at = int(self._wall())
        full = {
            "jti": secrets.token_hex(16),
            **claims,
            "rev_sig": secrets.token_hex(4),
            "iat": issued_at,
            "exp": issued_at + lifetime_s,
            "iss": self._issuer_of(zone),
            "zid": zone,
        }
        return jwt.encode(full, key.private, algorithm="RS256", headers={"kid": key.kid})

    def signing_kid(self, zone: str) -> str:
        return self._keys.signing(zone).kid

    def verify(self, token: str) -> Claims:
        """The claims of a token one of our zones signed, still published and not expired; else ``BadToken``."""
        known = self._verified.get(token)
        if known is not None:
            kid, claims = known
            if self._wall() < claims.expires_at and any(key.kid == kid for key in self._keys.keys(claims.zone)):
                return claims
            del self._verified[token]
        kid, claims = self._verify(token)
        self._verified[token] = (kid, claims)
        if len(self._verified) > VERIFIED_KEPT:
            self._verified.popitem(last=False)
        return claims

    def _verify(self, token: str) -> tuple[str, Claims]:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            unverified = jwt.decode(token, options={"verify_signature": False})
            issuer = unverified.get("iss")
            zone = self._zone_of(issuer) if isinstance(issuer, str) else None
            if zone is None:
                raise BadToken("the issuer is not one of this platform's")
            key = next((key for key in self._keys.keys(zone) if key.kid == kid), None)
            if key is None:
                raise BadToken("the key id is unknown")
            payload = jwt.decode(
                token,
                key.private.public_key(),
                algorithms=["RS256"],
                issuer=self._issuer_of(zone),
                options={"require": ["exp", "iat", "iss", "ten"], "verify_aud": False},
            )
        except (jwt.PyJWTError, RecursionError) as error:  # a header may nest as deep as it is long
            raise BadToken(f"the token is not valid: {type(error).__name__}") from error
        return key.kid, _claims(zone, payload)


def _claims(zone: str, payload: Mapping[str, object]) -> Claims:
    scope = payload.get("scope", [])
    words = scope.split() if isinstance(scope, str) else scope
    expires_at = payload["exp"]
    if not isinstance(words, list) or not isinstance(expires_at, int | float):
        raise BadToken("a claim has the wrong type")
    return Claims(
        zone=zone,
        client_id=str(payload.get("client_id", "")),
        tenant=str(payload["ten"]),
        scopes=frozenset(map(str, words)),
        expires_at=float(expires_at),
    )
