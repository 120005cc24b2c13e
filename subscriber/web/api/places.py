"""A place in a list, as callers carry it: sealed, so that it tells them nothing and serves nobody else.

The store's cursors hold running numbers that all tenants share: two of them would tell a tenant how much arrived for
the others in between. AES-SIV (RFC 5297) hides the number, lets nothing be made up, and binds a place to its list and
to the tenant it was given to. It is deterministic: the same place always reads the same.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from subscriber.errors import InvalidCursor

CURSOR_BYTES = 40  # the longest a store gives are two numbers of 19 digits; all are padded to one length
PLACE_CHARS = 75  # of those and the 16 bytes of the seal, as base64url without its padding
PLACE = re.compile(rf"[A-Za-z0-9_-]{{{PLACE_CHARS}}}")
KEY_BYTES = 32  # two keys of AES-128, as AES-SIV wants them
PURPOSE = b"places in lists of notifications"


class Order(StrEnum):
    """The lists there are."""

    NEWEST = "newest"  # newest first, back to the oldest
    ARRIVAL = "arrival"  # oldest first, and on as more arrive


class Seal:
    """``secret`` is any secret of the installation that all its processes share; when it changes, places end."""

    def __init__(self, secret: str) -> None:
        derivation = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=PURPOSE)
        self._cipher = AESSIV(derivation.derive(secret.encode()))

    def sealed(self, cursor: str, order: Order, reader: str) -> str:
        """The place behind ``cursor`` for callers of the tenant ``reader``."""
        padded = cursor.encode("ascii").ljust(CURSOR_BYTES)
        box = self._cipher.encrypt(padded, [order.encode(), reader.encode()])
        return urlsafe_b64encode(box).rstrip(b"=").decode()

    def opened(self, place: str, order: Order, reader: str) -> str:
        """The cursor. Raises ``InvalidCursor`` for what was not sealed here, for this list and this tenant."""
        if not PLACE.fullmatch(place):
            raise InvalidCursor("this is no cursor of this list")
        try:
            box = urlsafe_b64decode(place + "=" * (-len(place) % 4))
            padded = self._cipher.decrypt(box, [order.encode(), reader.encode()])
        except InvalidTag as error:
            raise InvalidCursor("this is no cursor of this list, or one given long ago") from error
        return padded.decode("ascii").rstrip(" ")
