"""The one door: authenticate → decode → store → receipts.

Three rules it must never break: nothing is stored for a caller who did not prove who it is; nothing a proven caller
sent is dropped; nothing is acknowledged before it is stored. What raises here was not acknowledged and will come
again; what returns was committed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple

from subscriber.access import DeliveryRules
from subscriber.errors import MalformedDelivery, RefusedDelivery, StoreUnavailable, SubscriberError, place_of
from subscriber.model import DETAIL_CHARS, Claims, DeadLetter, Delivery, Notification, Outcome, Receipt, Tenant
from subscriber.platforms import PLATFORMS
from subscriber.store import ChannelFact, Inbox, Submission
from subscriber.tokens import Verifier

logger = logging.getLogger(__name__)


class Gate(NamedTuple):
    """Who may deliver for a platform: genuine tokens of these zones, under these rules."""

    verifier: Verifier
    zones: frozenset[str]
    rules: DeliveryRules

    def authenticate(self, authorization: str | None) -> Claims:
        """Raises ``InvalidToken``, ``Forbidden`` or ``KeysUnavailable``."""
        claims = self.verifier.verify(authorization, self.zones)
        self.rules.admit(claims)
        return claims


class Kept(StrEnum):
    """What became of a delivery as a whole; each is acknowledged."""

    ACCEPTED = "accepted"  # at least one new notification
    DUPLICATE = "duplicate"  # nothing new in it
    DEAD_LETTER = "dead_letter"  # at least one part of it was set aside
    PROBE = "probe"  # it held nothing: an address is being tried


class Arrived(NamedTuple):
    """What a delivery holds for the store."""

    notifications: Sequence[Notification]
    dead_letters: Sequence[DeadLetter]
    facts: Sequence[ChannelFact] = ()


class Intake:
    """Takes authenticated deliveries of all platforms into one inbox. ``clock`` says when they were received."""

    def __init__(self, inbox: Inbox, gates: dict[str, Gate], clock: Callable[[], datetime]) -> None:
        self._inbox = inbox
        self._gates = gates
        self._clock = clock

    @property
    def platforms(self) -> frozenset[str]:
        """The platforms that may deliver here."""
        return frozenset(self._gates)

    def authenticate(self, platform: str, authorization: str | None) -> Claims:
        """Who delivers? Call it before reading the body. Raises as ``Gate.authenticate``."""
        return self._gates[platform].authenticate(authorization)

    def receive(self, claims: Claims, platform: str, headers: Mapping[str, str], body: bytes) -> Kept:
        """Store what an authenticated caller sent. ``headers`` has lower-case names.

        Raises ``Forbidden`` for tenants the caller may not write, ``Unavailable`` kinds if it could not be stored.
        """
        arrived = self._read(claims, platform, headers, body)
        return keep(self._inbox, arrived)

    def receive_later(
        self,
        claims: Claims,
        platform: str,
        headers: Mapping[str, str],
        body: bytes,
        then: Callable[[Kept | SubscriberError], None],
    ) -> Callable[[], None]:
        """The same without waiting for the store: ``then`` gets what became of it, or why it could not be stored.

        It is called exactly once, usually by the store's thread, and must not block. A store whose turn to write does
        not come calls nobody: call what this returns after 5 s or later, from a thread that may wait.
        Raises ``Forbidden``.
        """
        return keep_later(self._inbox, self._read(claims, platform, headers, body), then)

    def refuse(self, claims: Claims, platform: str, refusal: RefusedDelivery, length: str) -> None:
        """Remember a delivery that policy refuses unread, so that its loss is seen. ``length`` as declared."""
        letter = refusal_letter(Tenant(platform, claims.tenant), refusal, length, self._clock())
        self._inbox.add((), (letter,))

    def _read(self, claims: Claims, platform: str, headers: Mapping[str, str], body: bytes) -> Arrived:
        delivery = Delivery(platform=platform, headers=headers, body=body, received_at=self._clock())
        try:
            notifications = PLATFORMS[platform].decode(delivery)
        except MalformedDelivery as error:
            return Arrived((), self._letters(claims, delivery, error))
        return Arrived(self._permitted(claims, notifications), ())

    def _permitted(self, claims: Claims, notifications: list[Notification]) -> list[Notification]:
        listed = [notification.tenant.name for notification in notifications]
        allowed = self._gates[notifications[0].platform].rules.for_tenants(claims, listed)
        if len(allowed) == len(listed):
            return notifications
        return [notification for notification in notifications if notification.tenant.name in allowed]

    def _letters(self, claims: Claims, delivery: Delivery, error: MalformedDelivery) -> list[DeadLetter]:
        """What cannot be read, filed under each tenant it is for."""
        platform = delivery.platform
        tenants: Sequence[str] = (claims.tenant,)
        if error.tenants:
            tenants = self._gates[platform].rules.for_tenants(claims, error.tenants)
        return [
            DeadLetter(
                tenant=Tenant(platform, name),
                reason=error.reason,
                detail=error.detail[:DETAIL_CHARS],
                digest=_digest(delivery.body),
                body=delivery.body,
                buried_at=delivery.received_at,
            )
            for name in tenants
        ]


def keep(inbox: Inbox, arrived: Arrived) -> Kept:
    """Store it and wait. Raises ``Unavailable`` kinds."""
    return _kept(inbox.add(*arrived), arrived)


def keep_later(inbox: Inbox, arrived: Arrived, then: Callable[[Kept | SubscriberError], None]) -> Callable[[], None]:
    """Store it without waiting; see ``Intake.receive_later``."""
    submission = inbox.submit(*arrived)
    once = threading.Lock()

    def tell() -> None:
        if once.acquire(blocking=False):
            then(_outcome(submission, arrived))

    submission.when_done(tell)
    return tell


def refusal_letter(tenant: Tenant, refusal: RefusedDelivery, length: str, now: datetime) -> DeadLetter:
    """What remains of a delivery that was refused unread."""
    return DeadLetter(
        tenant=tenant,
        reason=refusal.reason,
        detail=refusal.detail[:DETAIL_CHARS],
        # Unread bodies can only be told apart by their size: alike ones share a row and raise its count.
        digest=_digest(length.encode()),
        body=None,
        buried_at=now,
    )


def _outcome(submission: Submission, arrived: Arrived) -> Kept | SubscriberError:
    try:
        return _kept(submission.receipts(), arrived)
    except SubscriberError as error:
        return error
    except Exception as error:  # the top of the store's thread: somebody waits for an answer, whatever happened
        extra = {"action": "unstored", "reason": type(error).__name__}
        logger.error("a delivery was not stored because of a bug:\n%s", place_of(error), extra=extra)
        return StoreUnavailable("the delivery could not be stored")


def _kept(receipts: list[Receipt], arrived: Arrived) -> Kept:
    outcomes = {receipt.outcome for receipt in receipts}
    if arrived.dead_letters or Outcome.CONFLICT in outcomes:
        return Kept.DEAD_LETTER
    return Kept.ACCEPTED if Outcome.NEW in outcomes else Kept.DUPLICATE


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
