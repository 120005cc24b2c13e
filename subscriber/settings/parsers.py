"""What a variable's text may be. A parser returns the value or raises ``ValueError`` saying what is wanted.

The text itself is never part of an error: it may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

NGROK = "ngrok"  # as PUBLIC_URL: the address changes with every start of the agent, so it is asked for
SQLITE = "sqlite:///"
POSTGRESQL_SCHEMES = ("postgresql", "postgres")
SHORT_STRING_BYTES = 255  # AMQP 0-9-1, 4.2.5.3
AMQP_SCHEMES = ("amqps", "amqp")
HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")


def words(text: str) -> tuple[str, ...]:
    """Comma separated words; blanks around them do not count."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number") from None


def at_least(minimum: int) -> Callable[[str], int]:
    """A parser of whole numbers that refuses those below ``minimum``."""

    def parse(text: str) -> int:
        value = whole_number(text)
        if value < minimum:
            raise ValueError(f"must be at least {minimum}")
        return value

    return parse


def port_number(text: str) -> int:
    value = whole_number(text)
    if not 0 < value < 65536:
        raise ValueError("must be between 1 and 65535")
    return value


def flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("must be 0 or 1")
    return text == "1"


def http_url(text: str) -> str:
    """An http(s) address without a trailing slash."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("must be an http:// or https:// address")
    return text.rstrip("/")


def public_address(text: str) -> str:
    """An http(s) address, or the word that stands for "ask the tunnel's agent"."""
    return text if text == NGROK else http_url(text)


def header_name(text: str) -> str:
    """Of the characters that HTTP allows only those that every proxy passes on: many drop names with ``_``."""
    if not HEADER_NAME.fullmatch(text):
        raise ValueError("must be a header's name of letters, digits and -")
    return text


def database_address(text: str) -> str:
    """A SQLite file or a PostgreSQL database. Several hosts, and hosts as ``?host=``, are libpq's to understand."""
    scheme, mark, rest = text.partition("://")
    if text.startswith(SQLITE) and len(text) > len(SQLITE):
        return text
    if not (mark and rest and scheme in POSTGRESQL_SCHEMES):
        raise ValueError("must be sqlite:///path or postgresql://user:password@host:port/name")
    return text


def amqp_address(text: str) -> str:
    """Where a RabbitMQ broker takes connections."""
    if not _names_host(text, AMQP_SCHEMES):
        raise ValueError("must be amqps://user:password@host:port/vhost, or amqp://…")
    return text


def exchange_name(text: str) -> str:
    """AMQP 0-9-1 carries names as short strings; those that begin with ``amq.`` belong to the broker."""
    if len(text.encode()) > SHORT_STRING_BYTES or text.startswith("amq."):
        raise ValueError(f"must have at most {SHORT_STRING_BYTES} bytes and not begin with amq.")
    return text


def _names_host(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its host or port cannot be read
        return False


def json_pointer(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("must be a JSON pointer, for example /provisioning/action")
    return text
