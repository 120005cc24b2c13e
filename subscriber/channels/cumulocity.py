"""A consumer of Cumulocity Notification 2.0 as a channel: a token, a WebSocket with it, frames until it ends.

A token is made for each connection: it is asked for by whoever connects only, and a kept one may have expired (core
OpenAPI, tokens; consumer protocol). A refused connection tells why by its status: 401 the token, 409 an exclusive
consumer that has its client already. Never unsubscribes: what the consumer did not acknowledge waits for it.

Tokens are part of the socket's address: no error and no log names that address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from subscriber.channels import Desired
from subscriber.channels.admitter import Lane
from subscriber.channels.consumers import Consumer
from subscriber.channels.delays import TOKEN_REFUSED
from subscriber.channels.frames import Frames
from subscriber.channels.lines import Refused, renewed
from subscriber.channels.reader import Reader
from subscriber.channels.runner import Line, Shared
from subscriber.channels.sockets import Socket
from subscriber.errors import PlatformRefused
from subscriber.model import CUMULOCITY
from subscriber.platforms.cumulocity_api import SERVICE_DISABLED, UNLISTED, read_token, token_request

CONSUMER_PATH = "/notification2/consumer/"
STORED_SECONDS = 5.5  # at a stop; the store gives a submission 5 s
OCCUPIED = "occupied"  # reason: the consumer has its one client

REFUSALS = {
    401: (TOKEN_REFUSED, "the platform does not accept the token that it has just given"),
    404: SERVICE_DISABLED,
    409: (OCCUPIED, "the consumer has its one client already: another program, or a connection not yet given up"),
}


class CumulocityChannel:
    """See ``channels.Channel``. ``refused`` is told when the platform does not accept a consumer's credentials."""

    def __init__(self, consumer: Consumer, shared: Shared, refused: Refused[Consumer]) -> None:
        self._consumer = consumer
        self._refused = refused
        self._registry = shared.store.registry
        self._outbound = shared.outbound
        self._admitter = shared.admitter
        self._pulse = shared.pulse
        self._now = shared.now
        self._lane = Lane(CUMULOCITY)
        self._frames: Frames | None = None  # from the first connection on: later ones go on with its memory

    @property
    def stored(self) -> int:
        return self._lane.stored

    def renew(self, source: Consumer) -> None:
        self._consumer = source

    async def run(self, connected: Callable[[], None]) -> None:
        frames = await self._remembered()
        async with self._outbound.gate:
            socket = await self._connect()
        connected()
        if not self._consumer.grant.non_persistent:  # those begin with what is new
            frames.connected()
        reader = Reader(socket, frames, self._admitter, self._lane, self._now)
        reading = asyncio.create_task(reader.run())
        self._pulse.watch(socket)
        try:
            await asyncio.wait({reading})
            raise reading.result()
        except asyncio.CancelledError:
            await self._stop(reader)
            raise
        finally:
            self._pulse.forget(socket)
            await socket.close()
            reading.cancel()  # it may wait for a store that is away
            await asyncio.wait({reading})

    async def _stop(self, reader: Reader) -> None:
        """Acknowledge what is on its way into the store, if it gets there in time."""
        reader.stop()
        try:
            async with asyncio.timeout(STORED_SECONDS):
                await self._admitter.stored(self._lane)
        except TimeoutError:
            return  # the platform sends it again

    async def _remembered(self) -> Frames:
        if self._frames is None:
            place = self._consumer.place
            self._frames = Frames(place, await asyncio.to_thread(self._registry.channel_fact, *place))
        return self._frames

    async def _connect(self) -> Socket:
        consumer = self._consumer
        query = {"token": await self._token(consumer)}
        if consumer.client:
            query["consumer"] = consumer.client
        try:
            return await self._outbound.connect(consumer.base_url, CONSUMER_PATH, query)
        except PlatformRefused as error:
            reason, cause = REFUSALS.get(error.upstream_status, UNLISTED)
            raise PlatformRefused(cause, reason=reason, upstream_status=error.upstream_status) from error

    async def _token(self, consumer: Consumer) -> str:
        request = token_request(consumer.grant)
        answer = await self._outbound.send(consumer.base_url, request, consumer.user.authorization)
        if answer.status == 401:
            await self._refused(consumer)
        return read_token(answer.status, answer.body)


def line(desired: Desired[Consumer], refused: Callable[[Consumer], None]) -> Line:
    """Keeps all consumers of the platform's tenants. ``refused``: see ``lines.renewed``."""
    return renewed(CUMULOCITY, desired, refused, CumulocityChannel)
