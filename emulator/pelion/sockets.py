"""WebSocket channels: the handshake, pushing, pings, and every way a socket ends.

Follows "Setting a notification channel" and the API contract. Frames go out as events come in, without waiting for
anybody; an event is off the queue when it is written. The server pings with four bytes and wants the same four
back; a second socket of the channel takes it over. What a client sends is ignored. Ping period and limit, the code
after 24 idle hours, and that ``wss`` is the subprotocol selected, are assumed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from aiohttp import WSMsgType, web

from emulator.clock import Clock
from emulator.faults import Faults
from emulator.knobs import Panel
from emulator.pelion.channels import WEB_SOCKET, Channel, Channels
from emulator.pelion.connection import CLOSE_S, GOING_AWAY, POLICY, RESTART, UNEXPECTED, Socket, farewell, quietly
from emulator.pelion.errors import Refusal
from emulator.pelion.handshake import PROTOCOL, check_upgrade, key_of
from emulator.pelion.outbox import Outbox
from emulator.pelion.patience import Limit, settled
from emulator.pelion.registry import Registry
from emulator.pelion.upkeep import Upkeep

LOG = logging.getLogger("emulator")
PING_BYTES = 4
CLIENT_FRAME_LIMIT = 65_536  # nothing a client sends has a meaning


class Sockets:
    """At most one per channel. ``on_alarm`` is told when ``next_moment`` may be earlier."""

    def __init__(
        self,
        registry: Registry,
        channels: Channels,
        outbox: Outbox,
        upkeep: Upkeep,
        clock: Clock,
        faults: Faults,
        panel: Panel,
    ) -> None:
        self._registry = registry
        self._channels = channels
        self._outbox = outbox
        self._upkeep = upkeep
        self._clock = clock
        self._faults = faults
        self._panel = panel
        self._open: dict[str, Socket] = {}
        self._shaking: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()  # pings and farewells on their way
        self.on_alarm: Callable[[], None] = lambda: None

    # a client comes

    async def connect(self, request: web.Request) -> web.StreamResponse:
        check_upgrade(request)
        key = key_of(request, self._registry)
        application = key.application.name
        if application in self._shaking or self._faults.strikes("ws-429"):
            raise Refusal(429, "another handshake with this key is in progress")
        self._shaking.add(application)
        try:
            ws = web.WebSocketResponse(
                protocols=(PROTOCOL,),
                autoping=False,
                compress=False,
                timeout=CLOSE_S,
                max_msg_size=CLIENT_FRAME_LIMIT,
            )
            await ws.prepare(request)
        finally:
            self._shaking.discard(application)
        channel = self._channels.get(application)
        if channel is None or channel.kind != WEB_SOCKET or channel.visible_at > self._clock.now():
            await ws.close(code=UNEXPECTED, message=b"there is no such channel")
            return ws
        await self._serve(Socket(ws, request, channel, key.value, self._clock.now(), self._next_ping()))
        return ws

    def _next_ping(self) -> float:
        return self._clock.now() + self._panel.now.pelion_ping_s

    async def _serve(self, socket: Socket) -> None:
        """Until it ends; the newcomer takes the channel from whoever has it."""
        application = socket.channel.application
        previous = self._open.get(application)
        if previous is not None:
            self._end(previous, GOING_AWAY, "another connection took over this channel")
            if previous.sending is not None:
                await asyncio.gather(previous.sending, return_exceptions=True)
        self._open[application] = socket
        socket.channel.connected = True
        self._channels.keep(socket.channel)
        LOG.info("action=socket_opened application=%s takeover=%s", application, previous is not None)
        self.wake(socket.channel)
        self.on_alarm()
        try:
            by_client = await self._read(socket)
        finally:
            self._leave(socket)
        if by_client and not socket.ended and self._panel.now.pelion_client_close == "remove":
            self._upkeep.remove(socket.channel, "closed_by_client")

    async def _read(self, socket: Socket) -> bool:
        """Until the socket ends; True if the client closed it with a close frame."""
        while True:
            message = await socket.ws.receive()
            if message.type is WSMsgType.PING:
                with contextlib.suppress(ConnectionError):
                    await socket.ws.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._echoed(socket, bytes(message.data))
            elif message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return message.type is WSMsgType.CLOSE

    def _leave(self, socket: Socket) -> None:
        """Unbind it from its channel; again changes nothing."""
        if socket.sending is not None:
            socket.sending.cancel()
        if socket.pong is not None:
            socket.pong.cancel()
        if socket.timer is not None:
            socket.timer.cancel()
        application = socket.channel.application
        if self._open.get(application) is socket:
            del self._open[application]
            socket.channel.connected, socket.channel.contact_at = False, self._clock.now()
            self._channels.keep(socket.channel)
            LOG.info("action=socket_closed application=%s", application)
            self.on_alarm()

    # pushing

    def wake(self, channel: Channel) -> None:
        """Something waits for this channel: push it, if a socket is there."""
        socket = self._open.get(channel.application)
        if socket is None or socket.ended or socket.sending is not None or not self._outbox.waiting(channel):
            return
        knobs = self._panel.now
        socket.sending_limit = Limit.after(self._clock, knobs.pelion_patience_s, knobs.pelion_patience_s)
        socket.sending = asyncio.create_task(self._push(socket))
        socket.sending.add_done_callback(lambda done: self._pushed(socket))

    def _pushed(self, socket: Socket) -> None:
        socket.sending = None
        if self._open.get(socket.channel.application) is socket:
            self.wake(socket.channel)

    async def _push(self, socket: Socket) -> None:
        while not socket.ended and (batch := self._outbox.take(socket.channel)) is not None:
            outcome = "cut"
            try:
                await socket.ws.send_str(batch.text)
                outcome = "written"
            except (ConnectionError, RuntimeError):  # the socket ended before or while writing
                return
            finally:
                self._outbox.tried(socket.channel, batch, outcome)
                if outcome != "written":
                    self._outbox.put_back(socket.channel)
            self._outbox.acknowledged(socket.channel, batch)
            socket.active_at = self._clock.now()
            await asyncio.sleep(0)  # requests and other channels have a turn

    # pings and the clock

    def ping(self, application: str) -> bool:
        """Ping now; False if no socket is open."""
        socket = self._open.get(application)
        if socket is None:
            return False
        socket.ping_at = self._clock.now()
        self.turn()
        return True

    def turn(self) -> None:
        """Ping whom it is time to ping, end who does not answer or was idle for too long."""
        now, knobs = self._clock.now(), self._panel.now
        for socket in list(self._open.values()):
            if socket.ended:
                continue
            if socket.limit is not None and socket.limit.passed(self._clock):
                self._end(socket, GOING_AWAY, "ping timeout: no pong in time")
            elif now >= socket.active_at + knobs.pelion_ws_idle_s:  # as next_moment() computes it
                self._end(socket, knobs.pelion_idle_code, "no activity")
            elif socket.ping is None and now >= socket.ping_at:
                self._ping(socket)

    def _ping(self, socket: Socket) -> None:
        knobs = self._panel.now
        socket.ping = os.urandom(PING_BYTES)
        socket.limit = Limit.after(self._clock, knobs.pelion_pong_s, knobs.pelion_patience_s)
        loop = asyncio.get_running_loop()
        socket.pong = loop.create_future()
        self._spawn(quietly(socket.ws.ping(socket.ping)))
        real_s = socket.limit.real_seconds(self._clock)
        if real_s is not None:
            socket.timer = loop.call_later(real_s, self.turn)

    def _echoed(self, socket: Socket, data: bytes) -> None:
        """A pong; one that repeats other bytes is none."""
        if socket.ping is None or data != socket.ping:
            return
        socket.ping, socket.limit = None, None
        if socket.timer is not None:
            socket.timer.cancel()
        socket.ping_at = self._next_ping()
        if socket.pong is not None and not socket.pong.done():
            socket.pong.set_result(None)
        self.on_alarm()

    def next_moment(self) -> float | None:
        """When a ping is due, or an idle socket must go."""
        knobs = self._panel.now
        moments = [socket.active_at + knobs.pelion_ws_idle_s for socket in self._open.values()]
        moments += [socket.ping_at for socket in self._open.values() if socket.ping is None]
        return min(moments, default=None)

    def next_limit(self) -> float | None:
        """When a pong is overdue: for leaps, in running time each ping has its own timer."""
        return min((socket.limit.at for socket in self._open.values() if socket.limit is not None), default=None)

    async def settle(self) -> None:
        """Return when all is pushed and every ping answered, or what is left does not answer."""
        self.turn()
        while await settled(list(self._awaited())):
            pass
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _awaited(self) -> Iterator[tuple[asyncio.Future[None], Limit]]:
        for socket in self._open.values():
            if socket.pong is not None and socket.limit is not None:
                yield socket.pong, socket.limit
            if socket.sending is not None and socket.sending_limit is not None:
                yield socket.sending, socket.sending_limit

    # this side ends it

    def end(self, application: str, code: int, message: str) -> bool:
        """Close the channel's socket, 1006 = break the connection; False if none is open."""
        socket = self._open.get(application)
        if socket is not None:
            self._end(socket, code, message)
        return socket is not None

    def end_key(self, key: str) -> None:
        """The key proves nothing any more."""
        for socket in list(self._open.values()):
            if socket.key == key:
                self._end(socket, POLICY, "the key is not valid any more")

    def _end(self, socket: Socket, code: int, message: str) -> None:
        socket.ended = True
        self._leave(socket)
        self._spawn(farewell(socket, code, message))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Tell every client that the service restarts."""
        for socket in list(self._open.values()):
            self._end(socket, RESTART, "the service restarts")
        if self._tasks:
            await asyncio.wait(self._tasks)
