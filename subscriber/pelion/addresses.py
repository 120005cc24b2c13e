"""The address that Device Management shall send a channel's callbacks to.

It is PUBLIC_URL and the channel's path; the service calls it from the internet, over https, before it believes it.
Only an emulator on this machine takes an unencrypted one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from subscriber.errors import NoTunnel, PlatformRefused
from subscriber.settings import PelionChannel

CALLBACK_PATH = "/notifications/pelion/{channel}"  # of this service
ADVICE = "or use the mode websocket, which needs no address"


class Addresses:
    """``own_address`` yields this service's own one, empty if it is not known; it is asked anew each time, for a
    tunnel's address changes whenever its agent starts. It may raise ``NoTunnel``."""

    def __init__(self, own_address: Callable[[], str]) -> None:
        self._own_address = own_address

    def __call__(self, channel: PelionChannel) -> str:
        """Raises ``PlatformRefused`` where there is none that the platform would take."""
        try:
            own = self._own_address()
        except NoTunnel as error:
            raise _refusal(error.detail) from error
        if not own:
            raise _refusal("a callback needs this service's own address: set PUBLIC_URL")
        if urlsplit(own).scheme != "https" and not (is_loopback(own) and is_loopback(channel.host)):
            raise _refusal(f"PUBLIC_URL ({own}) is not https, which Device Management's callbacks need")
        return own.rstrip("/") + CALLBACK_PATH.format(channel=channel.name)


def _refusal(problem: str) -> PlatformRefused:
    return PlatformRefused(f"{problem}; {ADVICE}", reason="callback_address", upstream_status=400)


def is_loopback(url: str) -> bool:
    """Does it name this machine? Unreachable for the platform itself."""
    host = urlsplit(url).hostname or ""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"
