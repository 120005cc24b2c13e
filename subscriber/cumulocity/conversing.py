"""Which conversations of Cumulocity real-time there shall be now: those configured, of tenants that we may speak for.

Made anew with each reading of the list of tenants, so passwords rotate without a restart. A tenant that one list
lacks is served on with the password it had. A tenant whose data was erased here is not served: its session would
bring what is not kept.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress

from subscriber.channels.conversations import Conversation, place_of
from subscriber.cumulocity.directory import Directory, Reading
from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.platforms.smartrest.realtime import Realtime
from subscriber.store import Registry, TenantState

logger = logging.getLogger(__name__)


class Conversing:
    """Call it for the conversations. Raises ``PlatformRefused``, ``PlatformUnavailable`` and store errors."""

    def __init__(self, base_url: str, realtime: Sequence[Realtime], directory: Directory, registry: Registry) -> None:
        self._base_url = base_url
        self._realtime = realtime
        self._directory = directory
        self._registry = registry
        self._seen: Reading | None = None
        self._conversations: tuple[Conversation, ...] = ()
        self._missing: frozenset[str] = frozenset()

    def __call__(self) -> Sequence[Conversation]:
        reading = self._directory.reading()
        if reading is not self._seen:
            self._conversations, self._seen = tuple(self._made()), reading
        return self._conversations

    def refused(self, conversation: Conversation) -> None:
        """The platform did not accept the password: the list is read again, if that may help."""
        with suppress(PlatformRefused, PlatformUnavailable):  # the directory has told
            self._directory.instead_of(conversation.user)

    def _made(self) -> list[Conversation]:
        tenants = {place_of(realtime).tenant for realtime in self._realtime}
        users = {tenant.name: self._directory.known(tenant.name) for tenant in tenants}
        gone = {tenant.name for tenant in tenants if self._registry.tenant_state(tenant) == TenantState.GONE}
        self._tell_missing(frozenset(name for name, user in users.items() if user is None))
        return [
            Conversation(base_url=self._base_url, user=user, realtime=realtime)
            for realtime in self._realtime
            if (user := users[realtime.tenant]) is not None and realtime.tenant not in gone
        ]

    def _tell_missing(self, missing: frozenset[str]) -> None:
        """Once for each tenant, as long as it is missing."""
        for name in sorted(missing - self._missing):
            extra = {"action": "tenant_unknown", "tenant": name}
            logger.warning("C8Y_REALTIME names %s, which the platform's list of tenants lacks", name, extra=extra)
        self._missing = missing
