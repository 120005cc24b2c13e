"""Device Management's REST API, called with the access key of a channel's application.

A channel may have a host of its own, and has a key of its own: a call never goes out with another's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from subscriber.errors import PlatformRefused
from subscriber.model import Params
from subscriber.platforms.api import ApiRequest
from subscriber.platforms.pelion_api import KEY_REFUSED, bearer, read_state, state_request
from subscriber.settings import PelionChannel
from subscriber.transport import Answer, Transport


class Gateway:
    """Of all configured channels. May be used from many threads. Raises ``PlatformUnavailable``.

    ``open_transport`` makes the transport to a host; there is one for each.
    """

    def __init__(self, channels: Iterable[PelionChannel], open_transport: Callable[[str], Transport]) -> None:
        self._channels = {channel.name: channel for channel in channels}
        hosts = {channel.host for channel in self._channels.values()}
        self._transports = {host: open_transport(host) for host in hosts}

    def call(self, name: str, request: ApiRequest) -> Answer:
        """Send as this channel's application; any answer below 500 is the caller's to read.

        Raises ``PlatformRefused`` for a channel that is not configured: nobody here has its key.
        """
        channel = self._channels.get(name)
        if channel is None:
            detail = f"PELION_CHANNELS has no channel {name}, so its access key is not known here"
            raise PlatformRefused(detail, reason=KEY_REFUSED, upstream_status=401)
        headers = {**request.headers, "Authorization": bearer(channel.api_key)}
        return self._transports[channel.host].send(request.method, request.path, headers, request.body)

    def state(self, tenant: str, path: str, params: Params) -> Any:
        """What ``attempt.platform.get`` answers: see ``routes.PlatformClient``."""
        answer = self.call(tenant, state_request(path, params))
        return read_state(answer.status, answer.body, path)

    def close(self) -> None:
        """Let go of all connections."""
        for transport in self._transports.values():
            transport.close()
