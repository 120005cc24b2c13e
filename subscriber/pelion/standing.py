"""What is remembered of a channel's registration, and what was lost when it turns out to be gone.

Registering again is answered differently for a channel that stood and one that was made anew. Whoever registers asks
here first whether it stood before, and says here what came of it; a channel that was made anew although it had stood
lost what waited in it. The queue is served in order, and nothing in it grows older than a day: so nothing is missing
from before the last notification that came, from more than a day before the channel was last seen, or from before it
was registered at all.

Follows "Setting a notification channel" (removal after 24 hours) and the public API contract (statuses 200 and 201).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import orjson

from subscriber.model import PELION, Tenant, from_millis, to_millis
from subscriber.platforms.pelion_api import Account
from subscriber.store import ChannelFact, Clock, Gap, RowFilter, Store

logger = logging.getLogger(__name__)

EVENT_LIFE = timedelta(hours=24)  # older events are dropped from a queue (vendor's page on notification channels)
SEEN, REGISTERED, ACCOUNT = "seen", "registered", "account"  # names of a channel's facts
LOST = "channel_removed"  # reason of a gap

Created = Callable[[Tenant, bool], None]


def unheard(tenant: Tenant, instead: bool) -> None:
    """Nobody wants to know."""


class Standing:
    """Of all channels. May be used from many threads; methods raise store errors.

    ``created`` is told of each channel that was made, and whether in the place of one that was gone: what it
    observes has to be asked for again.
    """

    def __init__(self, store: Store, clock: Clock, created: Created = unheard) -> None:
        self._store = store
        self._clock = clock
        self._created = created

    def before(self, tenant: Tenant) -> datetime | None:
        """When the channel was last seen; ask before registering. None: it did not stand, as far as we know."""
        return self._time(tenant, SEEN)

    def stands(self, tenant: Tenant) -> None:
        """It is there now."""
        self._put(tenant, {SEEN: _millis(self._clock())})

    def ended(self, tenant: Tenant) -> None:
        """It was deleted because we wanted that: nothing is missed."""
        self._put(tenant, {SEEN: b"", REGISTERED: b"", ACCOUNT: b""})

    def made(self, tenant: Tenant, before: datetime | None, heard_until: datetime | None = None) -> None:
        """It was made just now. ``heard_until``: when our connection to the one before ended, if there was one."""
        if before is not None:
            self._lost(tenant, before, heard_until)
        now = _millis(self._clock())
        self._put(tenant, {SEEN: now, REGISTERED: now, ACCOUNT: b""})
        self._created(tenant, before is not None)

    def _lost(self, tenant: Tenant, before: datetime, heard_until: datetime | None) -> None:
        now, newest = self._clock(), self._store.reports.rows(RowFilter(tenant=tenant), 1).rows
        known = [before - EVENT_LIFE, self._time(tenant, REGISTERED), heard_until]
        known += [row.notification.received_at for row in newest]
        lost_from = min(now, max(moment for moment in known if moment is not None))
        gap = Gap(
            tenant=tenant,
            platform=PELION,
            channel=tenant.name,
            lost_from=lost_from,
            lost_until=now,
            reason=LOST,
            noticed_at=now,
        )
        self._store.registry.add_gap(gap)
        logger.error(
            "the platform had removed the channel: what waited in it is lost, at most what came since %s",
            lost_from.isoformat(),
            extra={"action": "gap", "platform": PELION, "tenant": tenant.name, "reason": LOST},
        )

    def account(self, tenant: Tenant) -> Account | None:
        """Whose channel it was when it was made; None if that was not noted yet."""
        value = self._fact(tenant, ACCOUNT)
        if not value:
            return None
        id, tier = orjson.loads(value)
        return Account(id, tier)

    def note_account(self, tenant: Tenant, account: Account) -> None:
        """The channel's limits are those of this account as it is now."""
        self._put(tenant, {ACCOUNT: orjson.dumps((account.id, account.tier))})

    def _time(self, tenant: Tenant, name: str) -> datetime | None:
        value = self._fact(tenant, name)
        return from_millis(int(value)) if value else None

    def _fact(self, tenant: Tenant, name: str) -> bytes:
        return self._store.registry.channel_fact(tenant, tenant.name, name)

    def _put(self, tenant: Tenant, values: dict[str, bytes]) -> None:
        facts = [ChannelFact(tenant, tenant.name, name, value) for name, value in values.items()]
        self._store.inbox.add((), (), facts)


def _millis(moment: datetime) -> bytes:
    return str(to_millis(moment)).encode()
