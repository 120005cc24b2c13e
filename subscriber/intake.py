"""The one door: authenticate → decode → store → receipts.

Three rules it must never break: nothing is stored for a caller who did not prove who it is; nothing a proven caller
sent is dropped; nothing is acknowledged before it is stored. What raises here was not acknowledged and will come
again; what returns was committed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple

from subscriber.access import DeliveryRules
from subscriber.errors import MalformedDelivery, RefusedDelivery
from subscriber.model import DETAIL_CHARS, Claims, DeadLetter, Delivery, Notification, Outcome, Tenant
from subscriber.platforms import PLATFORMS
from subscriber.store import Inbox
from subscriber.tokens import Verifier


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

    def receive(self, claims: Claims, platform: str, headers: dict[str, str], body: bytes) -> Kept:
        """Store what an authenticated caller sent. ``headers`` has lower-case names.

        Raises ``Forbidden`` for tenants the caller may not write, ``Unavailable`` kinds if it could not be stored.
        """
        delivery = Delivery(platform=platform, headers=headers, body=body, received_at=self._clock())
        try:
            notifications = PLATFORMS[platform].decode(delivery)
        except MalformedDelivery as error:
            self._bury(claims, delivery, error)
            return Kept.DEAD_LETTER
        return self._accept(self._permitted(claims, notifications))

    def refuse(self, claims: Claims, platform: str, refusal: RefusedDelivery, length: str) -> None:
        """Remember a delivery that policy refuses unread, so that its loss is seen. ``length`` as declared."""
        letter = DeadLetter(
            tenant=Tenant(platform, claims.tenant),
            reason=refusal.reason,
            detail=refusal.detail[:DETAIL_CHARS],
            # Unread bodies can only be told apart by their size: alike ones share a row and raise its count.
            digest=_digest(length.encode()),
            body=None,
            buried_at=self._clock(),
        )
        self._inbox.add((), (letter,))

    def _permitted(self, claims: Claims, notifications: list[Notification]) -> list[Notification]:
        listed = [notification.tenant.name for notification in notifications]
        allowed = self._gates[notifications[0].platform].rules.for_tenants(claims, listed)
        if len(allowed) == len(listed):
            return notifications
        return [notification for notification in notifications if notification.tenant.name in allowed]

    def _accept(self, notifications: list[Notification]) -> Kept:
        outcomes = {receipt.outcome for receipt in self._inbox.add(notifications)}
        if Outcome.CONFLICT in outcomes:
            return Kept.DEAD_LETTER
        return Kept.ACCEPTED if Outcome.NEW in outcomes else Kept.DUPLICATE

    def _bury(self, claims: Claims, delivery: Delivery, error: MalformedDelivery) -> None:
        platform = delivery.platform
        tenants: Sequence[str] = (claims.tenant,)
        if error.tenants:
            tenants = self._gates[platform].rules.for_tenants(claims, error.tenants)
        letters = [
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
        self._inbox.add((), letters)


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
