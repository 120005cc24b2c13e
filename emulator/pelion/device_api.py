"""Subscriptions, presubscriptions, device requests, and the directory of devices.

Follows the public API contract (April 2020). Two slashes between device and path count as one: two vendor clients
send them. A new subscription is answered 202 and reported through the channel, one in place already 200 (which of the
two the service gives when is not published). Commands are for the channel: without one their results are lost.
"""

from __future__ import annotations

import binascii
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping

from aiohttp import web

from emulator.clock import Clock
from emulator.knobs import Panel
from emulator.pelion.commands import Command, Commands
from emulator.pelion.devices import Device, Devices
from emulator.pelion.errors import Refusal, read_json
from emulator.pelion.registry import Application, Registry
from emulator.pelion.subscriptions import Subscription, Subscriptions, parse_rules

ASYNC_ID = re.compile(r"[\w\-]{1,40}", re.ASCII)
METHODS = ("GET", "PUT", "POST", "DELETE")
RETRIES = (0, 10)
EXPIRY_S = (60, 2_592_000)
EXPIRY_DEFAULT_S = {False: 7_200, True: 259_200}  # by queue mode: 2 hours, 3 days
VALUE_LIMIT = 1_048_576  # bytes of one write
PAGE = (2, 1000)  # devices in one page


class DeviceApi:
    """Handlers; a device of another account does not exist for the caller."""

    def __init__(
        self,
        registry: Registry,
        devices: Devices,
        subscriptions: Subscriptions,
        commands: Commands,
        clock: Clock,
        panel: Panel,
    ) -> None:
        self._registry = registry
        self._devices = devices
        self._subscriptions = subscriptions
        self._commands = commands
        self._clock = clock
        self._panel = panel

    # subscriptions

    async def subscribe(self, request: web.Request) -> web.Response:
        application, device = self._caller_and_device(request)
        subscription = Subscription(application.name, device.ep, _path(request))
        if not self._subscriptions.add(subscription, by_rule=False):
            return web.Response(status=200)
        if not device.reachable and not device.queue_mode:
            self._subscriptions.remove(subscription)
            raise Refusal(502, "the device is not connected")
        return self._ask(application, device, "GET", subscription.path, subscribes=True)

    async def subscribed(self, request: web.Request) -> web.Response:
        application, device = self._caller_and_device(request)
        wanted = Subscription(application.name, device.ep, _path(request))
        if wanted not in self._subscriptions.of(application.name, device.ep):
            raise Refusal(404, "there is no such subscription")
        return web.Response(status=200)

    async def unsubscribe(self, request: web.Request) -> web.Response:
        application, device = self._caller_and_device(request)
        self._subscriptions.remove(Subscription(application.name, device.ep, _path(request)))
        return web.Response(status=204)

    async def subscriptions_of(self, request: web.Request) -> web.Response:
        application, device = self._caller_and_device(request)
        found = self._subscriptions.of(application.name, device.ep)
        if not found:
            raise Refusal(404, "there are no subscriptions")
        return web.Response(text="\n".join(entry.path for entry in found), content_type="text/uri-list")

    async def unsubscribe_all(self, request: web.Request) -> web.Response:
        application, device = self._caller_and_device(request)
        for entry in self._subscriptions.of(application.name, device.ep):
            self._subscriptions.remove(entry)
        return web.Response(status=204)

    # presubscriptions

    async def get_rules(self, request: web.Request) -> web.Response:
        return web.json_response(self._subscriptions.rules(self._application(request).name))

    async def put_rules(self, request: web.Request) -> web.Response:
        application = self._application(request)
        self._subscriptions.set_rules(application.name, parse_rules(await read_json(request)))
        return web.Response(status=204)

    async def delete_rules(self, request: web.Request) -> web.Response:
        self._subscriptions.set_rules(self._application(request).name, [])
        return web.Response(status=204)

    # commands

    async def request_device(self, request: web.Request) -> web.Response:
        application = self._application(request)
        device = self._devices.get(request.match_info["device"], application.account)
        if device is None:
            raise Refusal(404, "there is no such device", word="DEVICE_NOT_FOUND")
        id = request.query.get("async-id", "")
        if not ASYNC_ID.fullmatch(id):
            raise Refusal(400, "async-id is missing or malformed", word="MALFORMED_ASYNC_ID")
        _number(request.query, "retry", RETRIES, 0)
        expiry_s = _number(request.query, "expiry-seconds", EXPIRY_S, EXPIRY_DEFAULT_S[device.queue_mode])
        body = await _command_body(request)
        if not device.registered:
            raise Refusal(400, "the device is not registered", word="DEVICE_NOT_CONNECTED")
        command = Command(
            application=application.name,
            ep=device.ep,
            id=id,
            method=body["method"],
            uri=_one_slash(body["uri"]),
            payload=body.get("payload-b64") or "",
            expires_at=self._clock.now() + expiry_s,
        )
        self._commands.give(command, device)
        return web.Response(status=202)

    async def old_request(self, request: web.Request) -> web.Response:
        """The obsolete form: method and path of this request are the command's."""
        application, device = self._caller_and_device(request)
        answer = self._ask(application, device, request.method, _path(request), body=await request.read())
        return web.Response(status=204) if request.query.get("noResp") == "true" else answer

    def _ask(
        self,
        application: Application,
        device: Device,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        subscribes: bool = False,
    ) -> web.Response:
        """A command whose id we choose."""
        id = f"{secrets.randbelow(10**9)}#{secrets.token_hex(16)}"
        command = Command(
            application=application.name,
            ep=device.ep,
            id=id,
            method=method,
            uri=path,
            payload=b64encode(body).decode(),
            expires_at=self._clock.now() + EXPIRY_DEFAULT_S[device.queue_mode],
            subscribes=subscribes,
        )
        self._commands.give(command, device)
        return web.json_response({"async-response-id": id}, status=202)

    # the directory

    async def resources(self, request: web.Request) -> web.Response:
        _, device = self._caller_and_device(request)
        listing = [
            {"uri": entry.path, "rt": entry.kind, "obs": entry.observable, "type": ""}
            for entry in device.resources.values()
        ]
        return web.json_response(listing)

    async def devices(self, request: web.Request) -> web.Response:
        """One page, oldest first; of the filter only ``state`` is understood."""
        application = self._application(request)
        found = [
            _listed(device, self._account_id(application)) for device in self._devices.of_account(application.account)
        ]
        states = re.findall(r"\bstate(?:__eq)?=(\w+)", request.query.get("filter", ""))
        found = [entry for entry in found if not states or entry["state"] in states]
        limit = _number(request.query, "limit", PAGE, 50)
        after = request.query.get("after", "")
        known = [entry["id"] for entry in found]
        start = known.index(after) + 1 if after in known else 0
        page: dict[str, object] = {
            "object": "list",
            "limit": limit,
            "after": after or None,
            "order": "ASC",
            "has_more": start + limit < len(found),
            "data": found[start : start + limit],
        }
        if "total_count" in request.query.get("include", ""):
            page["total_count"] = len(found)
        return web.json_response(page)

    async def device(self, request: web.Request) -> web.Response:
        application, device = self._caller_and_device(request)
        return web.json_response(_listed(device, self._account_id(application)))

    async def account(self, request: web.Request) -> web.Response:
        account = self._registry.account(self._application(request).account)
        answer = {"object": "account", "id": account.id, "display_name": account.name}
        return web.json_response({**answer, "tier": self._panel.now.pelion_tier})

    async def key(self, request: web.Request) -> web.Response:
        key = self._registry.caller(request)
        answer = {
            "object": "api-key",
            "id": key.id,
            "name": key.application.name,
            "account_id": self._account_id(key.application),
            "key": key.shown,
            "status": "ACTIVE",
        }
        return web.json_response(answer)

    def _account_id(self, application: Application) -> str:
        return self._registry.account(application.account).id

    def _application(self, request: web.Request) -> Application:
        return self._registry.caller(request).application

    def _caller_and_device(self, request: web.Request) -> tuple[Application, Device]:
        application = self._application(request)
        device = self._devices.get(request.match_info["device"], application.account)
        if device is None:
            raise Refusal(404, "there is no such device")
        return application, device


def _listed(device: Device, account_id: str) -> dict[str, object]:
    return {
        "object": "device",
        "id": device.ep,
        "account_id": account_id,
        "endpoint_name": device.name,
        "endpoint_type": device.type,
        "name": device.name,
        "state": device.state,
    }


def _path(request: web.Request) -> str:
    return _one_slash(request.match_info["path"])


def _one_slash(path: str) -> str:
    return "/" + path.lstrip("/")


def _number(query: Mapping[str, str], name: str, bounds: tuple[int, int], default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or not bounds[0] <= int(text[:10]) <= bounds[1]:
        raise Refusal(400, f"{name} must be {bounds[0]} to {bounds[1]}")
    return int(text)


async def _command_body(request: web.Request) -> dict[str, str]:
    """``method``, ``uri`` and, where given, ``payload-b64``; 400 for what is no command."""
    try:
        body = await read_json(request)
    except Refusal as refusal:
        raise Refusal(400, refusal.message, word="MALFORMED_JSON_CONTENT") from refusal
    texts = isinstance(body, dict) and all(
        isinstance(body.get(name, ""), str) for name in ("method", "uri", "payload-b64")
    )
    if not isinstance(body, dict) or not texts or body.get("method") not in METHODS or not body.get("uri"):
        raise Refusal(400, "method and uri are needed", word="MALFORMED_JSON_CONTENT")
    if not _is_base64(body.get("payload-b64") or ""):
        raise Refusal(400, "payload-b64 is not base64", word="MALFORMED_JSON_CONTENT")
    return body


def _is_base64(text: str) -> bool:
    try:
        return len(b64decode(text, validate=True)) <= VALUE_LIMIT
    except (ValueError, binascii.Error):
        return False
