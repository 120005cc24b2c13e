"""The door of Pelion's callbacks: authenticate → read → store, a channel at a time.

As at the other door (``intake``), nothing is stored for a caller who did not prove who it is, nothing a proven caller
sent is dropped, nothing is acknowledged before it is stored. A caller proves itself by the headers that its channel
was registered with, the secret one above all, and where that is configured by a client certificate: that one is the
same for all customers of the service, so it never suffices.

Whether items without id and time are new depends on whether the last answer of their channel arrived
(``platforms.pelion.resends``): what was stored last is remembered with the notifications, and that its answer left is
remembered after it has.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from subscriber.errors import InvalidToken, Overloaded, RefusedDelivery, SubscriberError
from subscriber.intake import Arrived, Kept, keep, keep_later, refusal_letter
from subscriber.model import PELION, Tenant
from subscriber.platforms.pelion.batches import Batch, read_batch
from subscriber.platforms.pelion.callback import SECRET_HEADER
from subscriber.platforms.pelion.resends import ANSWERED, STORED, Last, number_from, number_value
from subscriber.settings import PelionChannel
from subscriber.store import ChannelFact, Inbox, Registry

logger = logging.getLogger(__name__)

# The service waits 20 s for an answer (public API contract, notification sending logic): an answer that leaves later
# than this may arrive too late.
ANSWER_SECONDS = 15.0
# That an answer has left is written down a moment after, and an equal callback may be quicker. So long after the last
# one was received, one that may be it again waits for that note: a note gets its turn in the store within 5 s.
DOUBT_SECONDS = 5.0
LOOK_SECONDS = 0.05
WAITING_CALLBACKS = 2  # of a process's threads; others come again, after a second at least
UNKNOWN_CHANNEL = {SECRET_HEADER: "\0"}  # equal to no header that HTTP can carry


class Callback(NamedTuple):
    """An authenticated callback, read. ``number`` is remembered as answered; 0: nobody will ask."""

    tenant: Tenant
    arrived: Arrived
    number: int

    @property
    def holds_nothing(self) -> bool:
        return not (self.arrived.notifications or self.arrived.dead_letters)


class Callbacks:
    """Takes the callbacks of these channels into one inbox. ``clock`` says when they were received.

    ``client_cn``: whose client certificate is demanded; None where nobody asks clients for one.
    """

    def __init__(
        self,
        inbox: Inbox,
        registry: Registry,
        channels: Iterable[PelionChannel],
        clock: Callable[[], datetime],
        *,
        client_cn: str | None = None,
        doubt_seconds: float = DOUBT_SECONDS,
    ) -> None:
        self._inbox = inbox
        self._registry = registry
        self._headers = {channel.name: channel.callback_headers for channel in channels}
        self._clock = clock
        self._client_cn = client_cn
        self._doubt_seconds = doubt_seconds
        self._waiting = threading.BoundedSemaphore(WAITING_CALLBACKS)

    def authenticate(self, channel: str, headers: Mapping[str, str], client_names: Sequence[str]) -> Tenant:
        """Is this the service, about this channel? Call it before reading the body.

        ``headers`` has lower-case names; ``client_names`` are the common names of a verified client certificate.
        Raises ``InvalidToken``: ``client_certificate``, ``callback_secret`` (also for a channel that is
        unknown) or ``callback_headers``.
        """
        if self._client_cn is not None and list(client_names) != [self._client_cn]:
            raise InvalidToken("the service's client certificate is missing", reason="client_certificate")
        expected = self._headers.get(channel, UNKNOWN_CHANNEL)
        if not _equal(headers, expected, SECRET_HEADER):
            raise InvalidToken("no such channel, or not its secret header", reason="callback_secret")
        if not all([_equal(headers, expected, name) for name in expected]):
            raise InvalidToken("a header that the callback is registered with", reason="callback_headers")
        return Tenant(PELION, channel)

    def read(self, tenant: Tenant, body: bytes) -> Callback:
        """What a callback holds. Raises ``Unavailable`` kinds: the store is asked what came last."""
        batch = read_batch(tenant.name, body, self._clock())
        if batch.holds_nothing:
            return Callback(tenant, Arrived((), ()), 0)
        last, marks = self._last(tenant), batch.marks
        number = self._number(tenant, batch) if last.begins(marks) else last.next_number(batch.received_at)
        facts: list[ChannelFact] = []
        if marks or last.marks:
            facts = [_fact(tenant, STORED, Last(number, batch.received_at, marks).value)]
        arrived = Arrived(batch.notifications(number), batch.dead_letters, facts)
        return Callback(tenant, arrived, number if marks else 0)

    def keep(self, callback: Callback) -> Kept:
        """Store it. Raises ``Unavailable`` kinds if it could not be stored."""
        return Kept.PROBE if callback.holds_nothing else keep(self._inbox, callback.arrived)

    def keep_later(self, callback: Callback, then: Callable[[Kept | SubscriberError], None]) -> Callable[[], None]:
        """The same without waiting; see ``Intake.receive_later``. Not for one that holds nothing."""
        return keep_later(self._inbox, callback.arrived, then)

    def refuse(self, tenant: Tenant, refusal: RefusedDelivery, length: str) -> None:
        """Remember a callback that policy refuses unread, so that its loss is seen. ``length`` as declared."""
        self._inbox.add((), (refusal_letter(tenant, refusal, length, self._clock()),))

    def answered(self, callback: Callback, seconds: float) -> None:
        """Its answer has left, so many seconds after it came: the service will not send it again, if it was in time.

        Does not wait. What is lost here leaves doubt about an equal callback, nothing else.
        """
        if not callback.number or seconds >= ANSWER_SECONDS:
            return
        try:
            self._inbox.submit((), (), (_fact(callback.tenant, ANSWERED, number_value(callback.number)),))
        except SubscriberError as error:
            extra = {"action": "answer_forgotten", "tenant": str(callback.tenant), "reason": error.reason}
            logger.warning("that a callback was answered could not be remembered", extra=extra)

    def _number(self, tenant: Tenant, batch: Batch) -> int:
        """Of a callback that begins like the last one: that one's, if its answer may not have arrived.

        Raises ``Overloaded`` rather than keep too many threads waiting.
        """
        if not self._waiting.acquire(blocking=False):
            raise Overloaded("too many callbacks wait to be told from the ones before them")
        try:
            return self._number_in_time(tenant, batch)
        finally:
            self._waiting.release()

    def _number_in_time(self, tenant: Tenant, batch: Batch) -> int:
        began = time.monotonic()
        while True:
            answered = number_from(self._registry.channel_fact(tenant, tenant.name, ANSWERED))
            last = self._last(tenant)
            if answered >= last.number or not last.begins(batch.marks):
                return last.next_number(batch.received_at)
            apart = max(0.0, (batch.received_at - last.received_at).total_seconds())
            if apart + time.monotonic() - began >= self._doubt_seconds:
                return last.number
            time.sleep(LOOK_SECONDS)

    def _last(self, tenant: Tenant) -> Last:
        return Last.read(self._registry.channel_fact(tenant, tenant.name, STORED))


def _fact(tenant: Tenant, name: str, value: bytes) -> ChannelFact:
    return ChannelFact(tenant, tenant.name, name, value, grows=True)  # both begin with the number


def _equal(headers: Mapping[str, str], expected: Mapping[str, str], name: str) -> bool:
    """Compared in constant time: how much of a value is right must not show."""
    return hmac.compare_digest(headers.get(name.lower(), "").encode(), expected[name].encode())
