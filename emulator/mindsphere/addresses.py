"""The emulator's own addresses, as it prints them into tokens, credentials and gateway URIs.

One port plays several hosts: ``/gateway`` (and ``/``) is the gateway, ``/{zone}.piam`` a zone's OAuth server. The
real platform uses host names for both; a path prefix is what clients with a base address setting can be pointed at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

LOOPBACK_ALIASES = ("127.0.0.1", "localhost", "[::1]")


class Addresses:
    """``public`` is set when the port is known; ``zone_exists`` keeps strangers from inventing zones."""

    def __init__(self, zone_exists: Callable[[str], bool]) -> None:
        self.public = "http://127.0.0.1:0"
        self._zone_exists = zone_exists

    @property
    def gateway(self) -> str:
        return f"{self.public}/gateway"

    @property
    def piam(self) -> str:
        """Template: the tenant goes where the braces are."""
        return f"{self.public}/{{tenant}}.piam"

    def issuer(self, zone: str) -> str:
        return f"{self.public}/{zone}.piam/oauth/token"

    def zone_of(self, issuer: str) -> str | None:
        """The zone whose issuer address this is, letter by letter; else None."""
        match = re.search(r"/([a-z][a-z0-9]*)\.piam/oauth/token\Z", issuer)
        zone = match.group(1) if match else ""
        return zone if self._zone_exists(zone) and issuer == self.issuer(zone) else None

    @property
    def loopback(self) -> bool:
        return is_loopback(urlsplit(self.public).hostname or "")

    def gateway_path(self, uri: str) -> str | None:
        """The path below the gateway of one of our own addresses; None for any other address.

        On loopback the three spellings of this machine are one; the ``/gateway`` prefix may be missing.
        """
        try:
            parts = urlsplit(uri)
            port = parts.port
        except ValueError:
            return None
        own = urlsplit(self.public)
        same_host = parts.hostname == own.hostname or (
            self.loopback and parts.hostname is not None and is_loopback(parts.hostname)
        )
        if parts.scheme not in ("http", "https") or not same_host or port != own.port or parts.fragment:
            return None
        return self.path_below_gateway(uri)

    @staticmethod
    def path_below_gateway(uri: str) -> str:
        """The same for an address accepted earlier, perhaps when this emulator had another port."""
        parts = urlsplit(uri)
        path = parts.path.removeprefix("/gateway")
        return f"{path}?{parts.query}" if parts.query else path


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
