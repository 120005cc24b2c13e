"""The consumer's WebSocket: refusals before it opens, frames out, acknowledgements in.

"Notifications 2.0, consumer protocol": the token in the query is all that is asked for; one text message per
notification; each is acknowledged by its first line, on the same socket; after 1,000 without acknowledgement sending
stops; a socket idle for five minutes is closed, pings count as traffic. Close codes are not documented: a knob.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid

from aiohttp import WSMsgType, web

from emulator.cumulocity.consumers import Client, Consumer
from emulator.cumulocity.directory import Directory
from emulator.cumulocity.errors import Refused, guarded, not_found, unauthorized, unprocessable
from emulator.cumulocity.messaging import Messaging, Occupied, UnknownConsumer
from emulator.cumulocity.rules import Rules
from emulator.cumulocity.tokens import BadToken, Grant, NotificationTokens
from emulator.cumulocity.topics import Topic
from emulator.faults import Faults
from emulator.knobs import Panel

LOG = logging.getLogger("emulator")
MESSAGE_LIMIT = 65_536  # what a client may send in one message; acknowledgements are some 20 bytes
CLOSE_S = 0.5  # real seconds a closing client is waited for; so long its place stays taken
IN_BAND = "unsubscribe_subscriber"
FAMILY = "notification2"
ABRUPT = 0  # as a close code: no closing frame, the connection just breaks


class Endpoint:
    """``/notification2/consumer``."""

    def __init__(
        self,
        directory: Directory,
        tokens: NotificationTokens,
        rules: Rules,
        messaging: Messaging,
        faults: Faults,
        panel: Panel,
    ) -> None:
        self._directory = directory
        self._tokens = tokens
        self._rules = rules
        self._messaging = messaging
        self._faults = faults
        self._panel = panel

    def routes(self, base: str) -> list[web.RouteDef]:
        path = f"{base}/notification2/consumer"
        return [web.get(path, guarded(self.connect)), web.get(f"{path}/", guarded(self.connect))]

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """101, or the refusal: 401 token, 400 name, 409 occupied, 404 and 503 no service."""
        available(self._panel, self._faults)
        grant = self._granted(request.query.get("token", ""))
        socket = web.WebSocketResponse(compress=False, timeout=CLOSE_S, max_msg_size=MESSAGE_LIMIT)
        if not socket.can_prepare(request):
            raise Refused(400, f"{FAMILY}/Bad Request", "this address speaks WebSocket only")
        client = Client(_name(request))
        if self._faults.strikes("n2-409"):
            raise occupied("the consumer already has a client, as the fault says")
        try:
            topic, consumer = self._messaging.connect(grant, client)
        except Occupied as error:
            raise occupied(str(error)) from error
        session = Session(request, socket, grant, topic, consumer, client, self._messaging, self._faults, self._panel)
        try:
            await socket.prepare(request)
            await session.run()
        finally:
            self._messaging.disconnect(topic, consumer, client)
        return socket

    def _granted(self, token: str) -> Grant:
        if self._faults.strikes("n2-401"):
            raise unauthorized()
        try:
            grant = self._tokens.read(token)
        except BadToken as error:
            raise unauthorized() from error
        if not self._directory.exists(grant.tenant):
            raise unauthorized()
        check_sharing(self._panel, self._rules, grant)
        return grant


def available(panel: Panel, faults: Faults) -> None:
    """The Messaging Service may be switched off for good (404) or be down (503); both statuses are assumed."""
    if not panel.now.n2_enabled:
        raise not_found(FAMILY, "the messaging service is not enabled")
    if faults.strikes("n2-down"):
        raise Refused(503, f"{FAMILY}/Service Unavailable", "the messaging service is down, as the fault says")


def occupied(text: str) -> Refused:
    """The consumer admits no such client now."""
    return Refused(409, f"{FAMILY}/Conflict", text)


def check_sharing(panel: Panel, rules: Rules, grant: Grant) -> None:
    """Release 10.16 shared tokens in the context ``mo`` only; later ones everywhere."""
    if not grant.shared or not panel.now.n2_shared_only_mo:
        return
    if any(rule.context == "tenant" for rule in rules.named(grant.tenant, grant.subscription)):
        raise unprocessable(FAMILY, "a shared token needs subscriptions of the context mo")


def _name(request: web.Request) -> str:
    name = request.query.get("consumer")
    if name is not None and not name.strip():
        raise Refused(400, f"{FAMILY}/Bad Request", "consumer is blank")
    return name or uuid.uuid4().hex


class Session:
    """One open socket: a task that sends beside the loop that receives."""

    def __init__(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        grant: Grant,
        topic: Topic,
        consumer: Consumer,
        client: Client,
        messaging: Messaging,
        faults: Faults,
        panel: Panel,
    ) -> None:
        self._request = request
        self._socket = socket
        self._grant = grant
        self._topic = topic
        self._consumer = consumer
        self._client = client
        self._messaging = messaging
        self._faults = faults
        self._panel = panel
        self._awake = asyncio.Event()
        self._ending = ""
        self._last_sent = 0.0  # the loop's time
        client.wake = self._awake.set
        client.close = self._end
        self._awake.set()

    async def run(self) -> None:
        sending = asyncio.create_task(self._send_all())
        try:
            await self._receive_all()
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sending

    def _end(self, reason: str) -> None:
        self._ending = reason
        self._awake.set()

    # out

    async def _send_all(self) -> None:
        while not self._ending:
            self._awake.clear()
            while not self._ending and (delivery := self._messaging.take(self._consumer, self._client)):
                self._messaging.sent(self._consumer, self._client, delivery)
                await self._hold_up(delivery.id, delivery.attempts)
                for _ in range(1 + self._faults.strikes("n2-duplicate", delivery.id, delivery.attempts)):
                    await self._socket.send_frame(delivery.message.frame, WSMsgType.TEXT)
                if self._faults.strikes("n2-cut", delivery.id, delivery.attempts):
                    self._break()
                    return
                self._last_sent = asyncio.get_running_loop().time()
            await self._awake.wait()
        await self._close(self._ending)

    async def _hold_up(self, *about: int) -> None:
        if self._faults.strikes("n2-slow", *about):
            await asyncio.sleep(self._panel.now.slow_s)

    def _break(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _close(self, reason: str) -> None:
        knobs = self._panel.now
        codes = {
            "idle": knobs.n2_close_idle,
            "unsubscribed": knobs.n2_close_unsubscribed,
            "restart": knobs.n2_close_restart,
        }
        code = codes[reason]
        if code == ABRUPT:
            self._break()
        else:
            await self._socket.close(code=code, message=reason.encode())

    # in

    async def _receive_all(self) -> None:
        while (text := await self._receive()) is not None:
            if text.rstrip("\n") == IN_BAND:
                with contextlib.suppress(UnknownConsumer):
                    self._messaging.unsubscribe(self._grant)
                self._end("unsubscribed")  # whether it existed or not: success cannot be told apart
                continue
            self._acknowledge(text)

    async def _receive(self) -> str | None:
        """The next text; None at the end, which idleness makes. Pings count as traffic, either way sent frames do."""
        loop = asyncio.get_running_loop()
        while True:
            idle_s = self._panel.now.n2_idle_s
            try:
                message = await self._socket.receive(timeout=idle_s)
            except TimeoutError:
                if loop.time() - self._last_sent < idle_s:
                    continue
                LOG.info("action=consumer_idle consumer=%s", self._consumer.name)
                await self._close("idle")
                return None
            if message.type is WSMsgType.TEXT:
                return str(message.data)
            if message.type is not WSMsgType.BINARY:  # closed, or broken
                return None

    def _acknowledge(self, ack: str) -> None:
        entry = self._client.unacked.get(ack)
        if entry is not None and self._faults.strikes("n2-lost-ack", entry[0].id, entry[0].attempts):
            return
        self._messaging.acknowledge(self._topic, self._consumer, self._client, ack)
