"""Notification tokens: what is in them, what is refused."""

from __future__ import annotations

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from emulator.cumulocity.tokens import BadToken, Grant, NotificationTokens
from emulator.journal import Journal

GRANT = Grant("t123", "relnotif", "coldChain", "ingestWorker", shared=True, volatile=True)
PLAIN = Grant("t123", "relnotif", "coldChain", "ingestWorker", shared=False, volatile=False)


def decoded(token: str) -> dict[str, object]:
    found: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return found


def test_header_and_claims_are_the_vendors(journal: Journal) -> None:
    """N2-4.2: flags are texts, and only there when they apply."""
    tokens = NotificationTokens(journal)
    token = tokens.mint(GRANT, 1440)
    assert jwt.get_unverified_header(token) == {"alg": "RS256"}
    claims = decoded(token)
    assert list(claims) == ["sub", "shared", "topic", "volatile", "jti", "iat", "exp"]
    assert (claims["sub"], claims["topic"]) == ("ingestWorker", "t123/relnotif/coldChain")
    assert claims["shared"] == claims["volatile"] == "true"
    assert int(str(claims["exp"])) - int(str(claims["iat"])) == 1440 * 60
    assert list(decoded(tokens.mint(PLAIN, 1))) == ["sub", "topic", "jti", "iat", "exp"]


def test_a_token_stands_for_what_it_was_made_for_also_after_a_restart(journal: Journal) -> None:
    """N2-4.2: two of the same names differ in their id and are the same grant."""
    first = NotificationTokens(journal)
    one, other = first.mint(GRANT, 5), first.mint(GRANT, 5)
    assert one != other
    assert NotificationTokens(journal).read(one) == first.read(other) == GRANT


def test_an_unsigned_token_has_three_parts_too(journal: Journal) -> None:
    """N2-4.2: this form is assumed."""
    tokens = NotificationTokens(journal)
    token = tokens.mint(PLAIN, 5, signed=False)
    assert token.count(".") == 2 and token.endswith(".")
    assert tokens.read(token) == PLAIN


def test_the_middle_part_reads_in_both_alphabets(journal: Journal) -> None:
    """N2-4.2: several clients decode it with the other one."""
    middle = NotificationTokens(journal).mint(GRANT, 5).split(".")[1]
    assert not set(middle) & set("-_=")


@pytest.mark.parametrize("signed", [True, False])
def test_an_expired_token_is_bad_but_can_still_be_read(journal: Journal, signed: bool) -> None:
    """N2-4.4"""
    tokens = NotificationTokens(journal, wall=lambda: 1_600_000_000.0)
    token = tokens.mint(PLAIN, 5, signed=signed)
    with pytest.raises(BadToken, match="ExpiredSignatureError"):
        tokens.read(token)
    assert tokens.read(token, expired_too=True) == PLAIN


def test_a_strangers_token_is_bad(journal: Journal) -> None:
    tokens = NotificationTokens(journal)
    stranger = generate_private_key(public_exponent=65537, key_size=2048)
    claims = decoded(tokens.mint(PLAIN, 5))
    for token in (
        jwt.encode(claims, stranger, algorithm="RS256"),
        jwt.encode(claims, "secret" * 10, algorithm="HS256"),
        jwt.encode({**claims, "topic": "nowhere"}, "", algorithm="none"),
        jwt.encode({"sub": "x"}, "", algorithm="none"),
        "nonsense",
    ):
        with pytest.raises(BadToken) as caught:
            tokens.read(token)
        assert token not in str(caught.value)
