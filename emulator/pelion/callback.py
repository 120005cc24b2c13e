"""The courier of callback channels: one PUT at a time for each, until an answer counts or 24 hours of failure.

Follows "Notification sending logic" of the API contract: 200 and 204 acknowledge (a knob plays the page that names
200 only); no answer within 20 s is a failure; pauses of 1, 2, 4 … 120 s after a failure, counted from its end; one
success starts both anew; after 24 hours without one the channel and its queue are removed. Redirects are not
followed. That a refused connection is retried like a status, and the content type, are assumed.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp import hdrs

from emulator.clock import Clock
from emulator.faults import Faults
from emulator.knobs import Panel
from emulator.pelion.certificates import Certificates
from emulator.pelion.channels import CALLBACK, Channel, Channels
from emulator.pelion.outbox import Batch, Outbox
from emulator.pelion.patience import Limit, settled
from emulator.pelion.upkeep import Upkeep

LOG = logging.getLogger("emulator")
PROBE = b"{}"  # body of the verification; earlier contracts call it empty
ANSWER_BOUND = 65_536  # of an answer only the status matters
STOP_S = 5.0  # attempts still running after this are given up; the batch stays in the queue
USER_AGENT = "pelion-notification-emulator/1"
ACKNOWLEDGING = {"200,204": ("200", "204"), "200": ("200",)}
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class CutConnection(Exception):
    """Raised while sending, to break the connection in the middle of a body."""


@dataclass(slots=True)
class Attempt:
    """A PUT on its way."""

    task: asyncio.Task[None]
    limit: Limit
    overdue: bool = False  # cancelled because the limit passed


class Courier:
    """``start`` and ``stop`` inside the event loop. ``on_alarm`` is told when ``next_moment`` may be earlier."""

    def __init__(
        self,
        channels: Channels,
        outbox: Outbox,
        upkeep: Upkeep,
        certificates: Certificates,
        clock: Clock,
        faults: Faults,
        panel: Panel,
    ) -> None:
        self._channels = channels
        self._outbox = outbox
        self._upkeep = upkeep
        self._certificates = certificates
        self._clock = clock
        self._faults = faults
        self._panel = panel
        self._session: aiohttp.ClientSession | None = None
        self._attempts: dict[str, Attempt] = {}
        self.on_alarm: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Take up what waits."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=(hdrs.ACCEPT, hdrs.ACCEPT_ENCODING),
        )
        self.turn()

    async def stop(self) -> None:
        """Wait for what runs, then give it up. ``start`` may follow."""
        session, self._session = self._session, None
        tasks = [attempt.task for attempt in self._attempts.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if session is not None:
            await session.close()

    # what is due

    def turn(self) -> None:
        """Start every attempt that is due, give up those that took too long; returns at once."""
        for attempt in self._attempts.values():
            if not attempt.overdue and attempt.limit.passed(self._clock):
                attempt.overdue = True
                attempt.task.cancel()
        for channel in self._channels.of_kind(CALLBACK):
            self.wake(channel)

    def wake(self, channel: Channel) -> None:
        """Something waits for this channel: send it, unless a batch is on its way or a pause is on."""
        if self._session is None or channel.application in self._attempts or not self._outbox.waiting(channel):
            return
        if channel.retry_at is not None and channel.retry_at > self._clock.now():
            return
        task = asyncio.create_task(self._attempt(channel))
        self._attempts[channel.application] = Attempt(task, self._limit())
        task.add_done_callback(lambda done: self._ended(channel.application))

    def _limit(self) -> Limit:
        knobs = self._panel.now
        return Limit.after(self._clock, knobs.pelion_callback_timeout_s, knobs.pelion_patience_s)

    def _ended(self, application: str) -> None:
        del self._attempts[application]
        channel = self._channels.get(application)
        if channel is not None and channel.kind == CALLBACK:
            self.wake(channel)
        self.on_alarm()  # perhaps a pause began

    def next_moment(self) -> float | None:
        """When a pause ends."""
        pauses = (
            channel.retry_at
            for channel in self._channels.of_kind(CALLBACK)
            if channel.retry_at is not None
            and channel.application not in self._attempts
            and self._outbox.waiting(channel)
        )
        return min(pauses, default=None)

    def next_limit(self) -> float | None:
        """When an answer is overdue: for leaps, in running time each attempt has its own timer."""
        return min((attempt.limit.at for attempt in self._attempts.values()), default=None)

    async def settle(self) -> None:
        """Return when nothing due now is left undone, or what is left does not answer."""
        self.turn()
        while await settled((attempt.task, attempt.limit) for attempt in self._attempts.values()):
            pass

    # one attempt

    async def _attempt(self, channel: Channel) -> None:
        since = self._clock.now()
        batch = self._outbox.take(channel)
        if batch is None:
            return
        outcome = await self._outcome(channel, batch)
        self._outbox.tried(channel, batch, outcome)
        if not self._channels.alive(channel):
            return
        if outcome in ACKNOWLEDGING[self._panel.now.pelion_acknowledging]:
            self._accepted(channel, batch)
        elif self._outbox.failed(channel, since):
            self._upkeep.remove(channel, "failing")

    def _accepted(self, channel: Channel, batch: Batch) -> None:
        """Acknowledged; or, where the fault strikes, sent a second time first, unchanged and at once."""
        if not channel.again and self._faults.strikes("duplicate", channel.application, batch.upto):
            channel.again = True
            self._channels.keep(channel)
        else:
            self._outbox.acknowledged(channel, batch)

    async def _outcome(self, channel: Channel, batch: Batch) -> str:
        """The status as text, or a word for why there is none."""
        outage = self._faults.outage()
        if outage is not None and outage.active(self._clock.now()):
            return "outage"
        about = (channel.application, batch.upto, channel.attempts)
        try:
            outcome = await self._put(channel.url, channel.headers, batch.text.encode(), about)
        except asyncio.CancelledError:
            attempt = self._attempts.get(channel.application)
            if attempt is None or not attempt.overdue:
                raise
            return "timeout"
        except Exception:  # top of a task: a bug here must not stop the retries
            LOG.exception("action=attempt_crashed application=%s", channel.application)
            return "crashed"
        lost = outcome in ("200", "204") and self._faults.strikes("lost-ack", *about)
        return "lost-ack" if lost else outcome

    async def probe(self, url: str, headers: Mapping[str, str]) -> str:
        """Verify an address before it is registered: the outcome of a PUT of nothing."""
        return await self._put(url, headers, PROBE, ("probe", url))

    async def _put(self, url: str, headers: Mapping[str, str], body: bytes, about: tuple[str | int, ...]) -> str:
        assert self._session is not None, "start() was not called"
        knobs = self._panel.now
        limit_s = self._limit().real_seconds(self._clock)
        try:
            # on a standing clock the machine's time counts, so that nothing waits for ever
            async with (
                asyncio.timeout(knobs.pelion_callback_timeout_s if limit_s is None else limit_s),
                self._session.put(
                    url,
                    data=_half_of(body) if self._faults.strikes("cut", *about) else body,
                    headers={
                        hdrs.CONTENT_TYPE: "application/json",
                        hdrs.USER_AGENT: USER_AGENT,
                        **headers,
                        hdrs.CONTENT_LENGTH: str(len(body)),
                    },
                    ssl=self._certificates.context(
                        knobs.pelion_client_cn, knobs.pelion_client_chain, knobs.app_ca_file
                    )
                    if url.startswith("https:")
                    else True,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None),
                ) as response,
            ):
                await response.content.read(ANSWER_BOUND)
                if self._faults.strikes("slow", *about):
                    await asyncio.sleep(knobs.slow_s)
                return str(response.status)
        except TimeoutError:
            return "timeout"
        except (aiohttp.ClientError, CutConnection, OSError, ValueError) as error:
            return type(error).__name__


async def _half_of(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    raise CutConnection


def sendable(url: str, headers: Mapping[str, str]) -> bool:
    """Can a request be made of this at all? An http(s) address, header names and values without line breaks."""
    return (
        re.fullmatch(r"https?://[!-~]+", url) is not None
        and all(HEADER_NAME.fullmatch(name) for name in headers)
        and not any(char in value for value in headers.values() for char in "\r\n\0")
    )
