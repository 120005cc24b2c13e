"""``/v2/notification/…``: registering, reading and deleting channels.

Follows the public API contract (April 2020): one channel per application, another kind is refused with 400 until the
first is deleted; the same kind again replaces the address (callback) or changes nothing (WebSocket). A callback is
verified before it is stored. That a failed verification leaves the earlier registration, and that address, names and
values of headers beyond 400 characters are a 400, is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from emulator.clock import Clock
from emulator.knobs import Panel
from emulator.pelion.callback import ACKNOWLEDGING, Courier, sendable
from emulator.pelion.channels import CALLBACK, WEB_SOCKET, Channel, Channels
from emulator.pelion.errors import Refusal, read_json
from emulator.pelion.queue import Queue
from emulator.pelion.registry import Registry
from emulator.pelion.serialization import Serialization, parse
from emulator.pelion.upkeep import Upkeep

ADDRESS_LIMIT = 400  # characters of the URL, all header names and all header values together


class ChannelApi:
    """Handlers; every change is in the state file before it is answered."""

    def __init__(
        self,
        registry: Registry,
        channels: Channels,
        queue: Queue,
        courier: Courier,
        upkeep: Upkeep,
        clock: Clock,
        panel: Panel,
    ) -> None:
        self._registry = registry
        self._channels = channels
        self._queue = queue
        self._courier = courier
        self._upkeep = upkeep
        self._clock = clock
        self._panel = panel

    async def which(self, request: web.Request) -> web.Response:
        channel = self._channels.get(self._application(request))
        if channel is None:
            raise Refusal(404, "there is no channel")
        return web.json_response({"delivery_mechanism": channel.kind})

    # callback

    async def put_callback(self, request: web.Request) -> web.Response:
        application = self._application(request)
        url, headers, wishes = _webhook(await read_json(request))
        self._refuse_other_kind(application, CALLBACK)
        outcome = await self._courier.probe(url, headers)
        if outcome not in ACKNOWLEDGING[self._panel.now.pelion_acknowledging]:
            raise Refusal(400, f"the callback could not be verified: {outcome}")
        self._refuse_other_kind(application, CALLBACK)  # the probe took its time
        channel = self._channels.get(application) or self._create(application, CALLBACK)
        channel.url, channel.headers, channel.serialization = url, headers, wishes
        self._channels.keep(channel)
        self._courier.wake(channel)
        return web.Response(status=204)

    async def get_callback(self, request: web.Request) -> web.Response:
        channel = self._existing(request, CALLBACK)
        body = {"url": channel.url, "headers": dict(channel.headers), **_asked(channel)}
        return web.json_response(body)

    async def delete_callback(self, request: web.Request) -> web.Response:
        self._upkeep.remove(self._existing(request, CALLBACK), "deleted")
        return web.Response(status=204)

    # WebSocket

    async def put_websocket(self, request: web.Request) -> web.Response:
        application = self._application(request)
        body = await read_json(request)
        if body is not None and not isinstance(body, dict):
            raise Refusal(400, "send an object")
        wishes = parse((body or {}).get("serialization"))
        self._refuse_other_kind(application, WEB_SOCKET)
        known = self._channels.get(application)
        if known is not None:
            return web.json_response(_asked(known))
        channel = self._create(application, WEB_SOCKET)
        channel.serialization = wishes
        self._channels.keep(channel)
        return web.json_response(self._described(channel), status=201)

    async def get_websocket(self, request: web.Request) -> web.Response:
        return web.json_response(self._described(self._existing(request, WEB_SOCKET)))

    async def delete_websocket(self, request: web.Request) -> web.Response:
        self._upkeep.remove(self._existing(request, WEB_SOCKET), "deleted")
        return web.Response(status=204)

    def _described(self, channel: Channel) -> dict[str, object]:
        status = "connected" if channel.connected else "disconnected"
        waiting = self._queue.waiting(channel.application).events
        if self._panel.now.pelion_status == "unknown":
            status, waiting = "unknown", -1
        return {"status": status, "queue_size": waiting, **_asked(channel)}

    # both

    def _application(self, request: web.Request) -> str:
        return self._registry.caller(request).application.name

    def _existing(self, request: web.Request, kind: str) -> Channel:
        channel = self._channels.get(self._application(request))
        if channel is None or channel.kind != kind:
            raise Refusal(404, "there is no such channel")
        return channel

    def _create(self, application: str, kind: str) -> Channel:
        return self._channels.create(application, kind, self._clock.now())

    def _refuse_other_kind(self, application: str, kind: str) -> None:
        channel = self._channels.get(application)
        if channel is not None and channel.kind != kind:
            raise Refusal(400, f"the application has a channel of the type {channel.kind}: delete it first")


def _asked(channel: Channel) -> dict[str, object]:
    asked = channel.serialization.asked
    return {} if asked is None else {"serialization": asked}


def _webhook(body: object) -> tuple[str, Mapping[str, str], Serialization]:
    """Address, headers and serialization of a callback's registration; 400 for what cannot be one."""
    if not isinstance(body, dict) or not isinstance(body.get("url"), str):
        raise Refusal(400, "url is missing")
    url, headers = body["url"], body.get("headers")
    headers = {} if headers is None else headers  # a client of the vendor's sends null
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise Refusal(400, "headers must be an object of texts")
    if not sendable(url, headers):
        raise Refusal(400, "url must be an http or https address, and headers must be sendable")
    if len(url) + sum(len(name) + len(value) for name, value in headers.items()) > ADDRESS_LIMIT:
        raise Refusal(400, f"address and headers exceed {ADDRESS_LIMIT} characters")
    return url, headers, parse(body.get("serialization"))
