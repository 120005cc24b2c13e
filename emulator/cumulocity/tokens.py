"""Notification tokens: a JSON Web Token for one topic and one consumer.

Header and claims are those of tokens printed by the vendor: ``alg`` and nothing else; ``sub topic jti iat exp``, and
``shared`` and ``volatile`` as the text ``true`` where they apply. ``signed: false`` leaves the third part empty:
assumed. Times are real time, whatever the emulator's clock says.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from emulator.journal import Journal

NAME_FORM = re.compile(r"[a-zA-Z0-9]+")  # subscriptions documented, subscribers observed
TYPE_FORM = re.compile(r"[a-zA-Z0-9]{1,30}")
TOPIC_FORM = re.compile(r"[^/]+/[^/]+/[^/]+")
NOTIFICATION = "notification"
NAMESPACE = "relnotif"  # of topics fed by subscriptions; other token types name their own
KEY_NAME = "c8y_token_key"
KEY_BITS = 2048  # not published; RS256 asks for at least this


class BadToken(Exception):
    """The token proves nothing; the text says why and never repeats it."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token stands for."""

    tenant: str
    namespace: str
    subscription: str
    subscriber: str
    shared: bool
    volatile: bool  # the platform's older word for not persistent

    @property
    def topic(self) -> str:
        return f"{self.tenant}/{self.namespace}/{self.subscription}"


class NotificationTokens:
    """Mints and reads; the key is made when first needed and kept in the state file."""

    def __init__(self, journal: Journal, wall: Callable[[], float] = time.time) -> None:
        self._journal = journal
        self._wall = wall
        self._key: RSAPrivateKey | None = None

    def mint(self, grant: Grant, minutes: int, *, signed: bool = True) -> str:
        issued_at = int(self._wall())
        claims: dict[str, object] = {"sub": grant.subscriber}
        claims |= {"shared": "true"} if grant.shared else {}
        claims |= {"topic": grant.topic}
        claims |= {"volatile": "true"} if grant.volatile else {}
        claims |= {"jti": str(uuid.uuid4()), "iat": issued_at, "exp": issued_at + minutes * 60}
        if not signed:
            return jwt.encode(claims, "", algorithm="none", headers={"typ": None})
        return jwt.encode(claims, self._signing(), algorithm="RS256", headers={"typ": None})

    def claims(self, token: str, *, expired_too: bool = False) -> dict[str, object]:
        """The claims of a token of ours, still valid unless ``expired_too``; else ``BadToken``."""
        try:
            unsigned = jwt.get_unverified_header(token).get("alg") == "none" and token.endswith(".")
            claims: dict[str, object] = jwt.decode(
                token,
                "" if unsigned else self._signing().public_key(),
                algorithms=["RS256"],
                options={
                    "verify_signature": not unsigned,
                    "verify_exp": not expired_too,
                    "verify_iat": False,
                    "verify_aud": False,
                    "require": ["sub", "topic", "exp"],
                },
            )
        except (jwt.PyJWTError, RecursionError) as error:
            raise BadToken(type(error).__name__) from error
        return claims

    def read(self, token: str, *, expired_too: bool = False) -> Grant:
        return grant_of(self.claims(token, expired_too=expired_too))

    def _signing(self) -> RSAPrivateKey:
        if self._key is None:
            self._key = self._kept() or self._made()
        return self._key

    def _kept(self) -> RSAPrivateKey | None:
        pem = self._journal.recall(KEY_NAME)
        key = load_pem_private_key(pem.encode(), password=None) if isinstance(pem, str) else None
        return key if isinstance(key, RSAPrivateKey) else None

    def _made(self) -> RSAPrivateKey:
        key = generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._journal.remember(KEY_NAME, pem.decode())
        return key


def grant_of(claims: dict[str, object]) -> Grant:
    topic, subscriber = str(claims["topic"]), str(claims["sub"])
    if not TOPIC_FORM.fullmatch(topic) or not NAME_FORM.fullmatch(subscriber):
        raise BadToken("topic or subscriber")
    tenant, namespace, subscription = topic.split("/")
    shared, volatile = (str(claims.get(name)).lower() == "true" for name in ("shared", "volatile"))
    return Grant(tenant, namespace, subscription, subscriber, shared, volatile)
