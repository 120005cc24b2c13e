"""A WebSocket channel of Pelion Device Management: registered, connected, read until the connection ends.

It is registered before each connection, which does nothing to a channel that stands and tells whether it did: one
that is made anew has lost what waited in it. Nothing is acknowledged here: the service takes what it has written for
delivered. So whatever was read is stored, whatever ends the connection; at a stop our side falls silent first, and
what the service has written until it notices is read and stored as well.

The connection is dropped without a close frame, whoever ends it on our side: a close frame would end the channel too,
and with it what it keeps for the next connection. Follows "Setting a notification channel" and the public API
contract (close codes, handshake); that a dropped connection leaves the channel as it is follows from the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from subscriber.channels import Desired, Place
from subscriber.channels.admitter import Lane
from subscriber.channels.frames import Reading
from subscriber.channels.lines import kept
from subscriber.channels.reader import Reader
from subscriber.channels.runner import Line, Shared
from subscriber.channels.sockets import Socket
from subscriber.errors import PlatformRefused, PlatformUnavailable, SubscriberError
from subscriber.model import PELION, DeadLetter, Notification, Tenant
from subscriber.platforms import pelion_api as api
from subscriber.platforms.pelion.batches import Messages

DRAIN_SECONDS = 1.5  # at a stop, for what the service has written and we have not read
HAND_IN_SECONDS = 0.1  # at a stop, for what we have read; it waits longer only for a store that is away
STORED_SECONDS = 4.5  # at a stop; the three together are less than the worker gives its channels
MESSAGE_BYTES = 64 << 20  # the service's queue holds 50 MB, and no message is larger than it
PERSON_SECONDS = 300  # until what a person has to put right is tried again
TAKEN_SECONDS = 300  # after another connection took the channel: two that share a key would take turns for ever

TAKEN_OVER, PING_TIMEOUT = "taken_over", "ping_timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One application whose notifications come by WebSocket."""

    name: str  # its tenant, and the channel's name
    host: str  # http:// or https://, no slash at its end
    api_key: str = field(repr=False)

    @property
    def place(self) -> Place:
        return Place(Tenant(PELION, self.name), self.name, "")

    @property
    def wiring(self) -> Hashable:
        return self.host, self.api_key

    @property
    def exclusive(self) -> bool:
        """Always: a second connection takes the channel from the first."""
        return True


class Book(Protocol):
    """What is remembered of channels. Called in threads; raises store errors."""

    def before(self, name: str) -> datetime | None:
        """When the channel was last seen, None if it never was. Asked before it is registered."""

    def enrolled(self, name: str, created: bool, before: datetime | None, heard_until: datetime | None) -> None:
        """It stands now. ``heard_until``: when our last connection to it ended, None if there was none."""


class Messaging:
    """The messages of a channel as the reader wants them: see ``frames.Frames``."""

    def __init__(self, name: str) -> None:
        self._messages = Messages(name)

    def read(self, frames: Sequence[bytes], received_at: datetime) -> Reading:
        notifications: list[Notification] = []
        dead_letters: list[DeadLetter] = []
        for frame in frames:
            reading = self._messages.read(frame, received_at)
            notifications += reading.notifications
            dead_letters += reading.dead_letters
        return Reading(notifications, dead_letters, (), [])


class Ending(NamedTuple):
    """What a close code means, and how long to leave it at that."""

    reason: str
    detail: str
    wait_seconds: int | None = None


ENDINGS = {
    1000: Ending("channel_closed", "the service closed the connection: idle for a day, or the channel is gone"),
    1001: Ending(
        TAKEN_OVER,
        "another connection took the channel over: the access key is in use elsewhere, and only one of the two can "
        "have its notifications",
        TAKEN_SECONDS,
    ),
    1011: Ending("channel_missing", "the service has no such channel, or not yet, or is in trouble"),
    1012: Ending("restarting", "the service restarts"),
}
PINGED_OUT = Ending(PING_TIMEOUT, "the service had no answer to its ping in time")
KEY_LOST = 1008
PING = "ping"  # in the text of a 1001 that is no takeover (seed 002)


def ending(code: int, text: str) -> SubscriberError | None:
    """What the service's close frame says; None for a code that has no meaning of its own here."""
    if code == KEY_LOST:
        return PlatformRefused(
            "the access key is not valid any more",
            reason=api.KEY_REFUSED,
            upstream_status=401,
            retry_after_seconds=PERSON_SECONDS,
        )
    found = PINGED_OUT if code == 1001 and PING in text.lower() else ENDINGS.get(code)
    if found is None:
        return None
    return PlatformUnavailable(
        f"{found.detail} ({code})", reason=found.reason, retry_after_seconds=found.wait_seconds
    )


class PelionChannel:
    """See ``channels.Channel``."""

    def __init__(self, application: Application, shared: Shared, book: Book) -> None:
        self._application = application
        self._book = book
        self._outbound = shared.outbound
        self._admitter = shared.admitter
        self._pulse = shared.pulse
        self._now = shared.now
        self._lane = Lane(PELION)
        self._messaging = Messaging(application.name)
        self._heard_until: datetime | None = None

    @property
    def stored(self) -> int:
        return self._lane.stored

    def renew(self, source: Application) -> None:
        self._application = source

    async def run(self, connected: Callable[[], None]) -> None:
        async with self._outbound.gate:
            await self._enroll()
            socket = await self._connect()
        connected()
        reader = Reader(socket, self._messaging, self._admitter, self._lane, self._now, ending)
        reading = asyncio.create_task(reader.run())
        self._pulse.watch(socket)
        try:
            await asyncio.wait({reading})
            raise reading.result()
        except asyncio.CancelledError:
            await self._stop(socket, reading)
            raise
        finally:
            self._heard_until = self._now()
            self._pulse.forget(socket)
            socket.drop()
            reading.cancel()  # it may wait for a store that is away
            await asyncio.wait({reading})

    async def _stop(self, socket: Socket, reading: asyncio.Task[SubscriberError]) -> None:
        """Read what is under way, and have it stored."""
        socket.fall_silent()
        await asyncio.wait({reading}, timeout=DRAIN_SECONDS)
        socket.drop()
        await asyncio.wait({reading}, timeout=HAND_IN_SECONDS)
        with suppress(TimeoutError):  # the store is away: what is not stored now is lost, nobody sends it again
            async with asyncio.timeout(STORED_SECONDS):
                await self._admitter.stored(self._lane)

    async def _enroll(self) -> None:
        """Register the channel, and book whether it stood."""
        application = self._application
        before = await asyncio.to_thread(self._book.before, application.name)
        answer = await self._outbound.send(application.host, api.websocket_request(), api.bearer(application.api_key))
        try:
            found = api.read_enrolled(answer.status, answer.body)
        except PlatformRefused as error:
            raise _for_a_person(error) from error
        await asyncio.to_thread(self._book.enrolled, application.name, found.created, before, self._heard_until)

    async def _connect(self) -> Socket:
        """With the key as bearer; where that is not accepted, a proxy may have taken it: then as subprotocol."""
        application = self._application
        try:
            return await self._open(application, {"Authorization": api.bearer(application.api_key)}, (api.PROTOCOL,))
        except PlatformRefused as error:
            if error.upstream_status != 401:
                raise _for_a_person(error) from error
        try:
            return await self._open(application, {}, api.protocols(application.api_key))
        except PlatformRefused as error:
            raise _for_a_person(error) from error

    async def _open(self, application: Application, headers: dict[str, str], protocols: Sequence[str]) -> Socket:
        host = urlsplit(application.host)
        socket = await self._outbound.connect(
            application.host,
            api.CONNECT_PATH,
            {},
            headers={"Origin": f"{host.scheme}://{host.netloc}", **headers},  # the contract wants it of everybody
            protocols=protocols,
            message_bytes=MESSAGE_BYTES,
        )
        socket.abrupt = True
        return socket


def _for_a_person(error: PlatformRefused) -> PlatformRefused:
    """Only somebody's doing can change that: it is asked for rarely."""
    reason, detail = error.reason, error.detail
    if reason == PlatformRefused.reason:  # a handshake, told by its status alone
        reason, detail = api.REFUSALS.get(error.upstream_status, api.UNLISTED)
    return PlatformRefused(
        detail, reason=reason, upstream_status=error.upstream_status, retry_after_seconds=PERSON_SECONDS
    )


def line(desired: Desired[Application], book: Book) -> Line:
    """Keeps the WebSocket channels of all configured applications; one instance at a time has them."""
    return kept(PELION, desired, lambda application, shared: PelionChannel(application, shared, book))
