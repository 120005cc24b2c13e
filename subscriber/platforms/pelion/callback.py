"""What every callback of a channel carries, so that it can be told from a stranger's request.

All customers' callbacks come from the same service with the same client certificate: it proves the service, not the
account. So each channel is registered with a header that only the service and we know.

The secret is derived from the channel's access key: every process knows it without asking anybody, it outlives the
database, and it changes with the key. It tells nothing about the key, and who has the key could register a callback
of his own anyway.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256

SECRET_HEADER = "X-Callback-Secret"
SECRET_BYTES = 24  # 192 bits in 32 characters: the header is a part of REGISTERED_CHARACTERS
PURPOSE = b"subscriber callback secret\0"  # no other value derived from a key is equal
# The address, all header names and all their values together (public API contract, callback registration).
REGISTERED_CHARACTERS = 400


def callback_secret(channel: str, api_key: str) -> str:
    """The value of SECRET_HEADER on every callback of this channel."""
    digest = hmac.digest(api_key.encode(), PURPOSE + channel.encode(), sha256)
    return urlsafe_b64encode(digest[:SECRET_BYTES]).decode()


def callback_headers(channel: str, api_key: str, configured: Iterable[tuple[str, str]]) -> dict[str, str]:
    """All headers to register: those of the settings and the secret."""
    return {**dict(configured), SECRET_HEADER: callback_secret(channel, api_key)}


def registered_characters(url: str, headers: Mapping[str, str]) -> int:
    """What of REGISTERED_CHARACTERS a registration would use."""
    return len(url) + sum(len(name) + len(value) for name, value in headers.items())
