"""The tenants that have subscribed to the application, each with the service user that speaks for us there.

The list is read when it is older than LIST_SECONDS, and at once when a password is refused: passwords rotate. One
thread reads, the others wait for what it gets. Passwords stay in memory: they are never stored, logged or shown.

Follows "Microservice SDK, general aspects" (bootstrap credentials, subscribed tenants); that passwords rotate is not
stated there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.platforms.cumulocity_api import ServiceUser

logger = logging.getLogger(__name__)

LIST_SECONDS = 10.0  # as often as the vendor's own SDK asks
FAILED_SECONDS = 5.0  # a list that could not be read is not asked for again before that
FORMER_USERS = 1_000  # of tenants that a list lacks: it may be wrong, and until then they are served on

ReadUsers = Callable[[], Sequence[ServiceUser]]


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of the list. ``number`` grows with each."""

    number: int
    users: Mapping[str, ServiceUser] = field(repr=False)  # by tenant
    until: float  # monotonic seconds: then it is old


class Directory:
    """Of one application. May be used from many threads. ``read_users`` raises ``PlatformRefused``,
    ``PlatformUnavailable``, and so do the methods."""

    def __init__(
        self,
        read_users: ReadUsers,
        *,
        close: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read_users = read_users
        self._monotonic = monotonic
        self._flight = threading.Lock()
        self._reading: Reading | None = None  # replaced whole, so readers need no lock
        self._former: OrderedDict[str, ServiceUser] = OrderedDict()
        self._futile: set[ServiceUser] = set()  # refused, and the list says the same: not asked for again at once
        self._failed_until = float("-inf")
        self._error: PlatformRefused | PlatformUnavailable | None = None
        self.close = close

    def reading(self) -> Reading:
        """The list, no older than LIST_SECONDS."""
        current = self._reading
        if current is None or self._monotonic() >= current.until:
            return self._read(current)
        return current

    def user(self, tenant: str) -> ServiceUser:
        """Who speaks for us there, also if the last list lacks the tenant. The list is read if it was not yet.

        Raises ``PlatformRefused`` for a tenant that no list had.
        """
        found = self.known(tenant) or self.reading().users.get(tenant)
        if found is None:
            detail = f"no credentials for {tenant}: the list of tenants that subscribed to the application lacks it"
            raise PlatformRefused(detail, reason="tenant_unknown", upstream_status=401)
        return found

    def known(self, tenant: str) -> ServiceUser | None:
        """The same without asking anybody; None for a tenant that no list had."""
        current = self._reading
        return (current.users.get(tenant) if current else None) or self._former.get(tenant)

    def instead_of(self, refused: ServiceUser) -> ServiceUser | None:
        """Another password for a user whose own was refused, None if the list knows none."""
        current = self._reading
        if current is not None and current.users.get(refused.tenant) == refused:
            if refused in self._futile:
                return None
            current = self._read(current)
        found = None if current is None else current.users.get(refused.tenant)
        if found == refused:
            self._futile.add(refused)
        return None if found == refused else found

    def _read(self, seen: Reading | None) -> Reading:
        """Read the list, unless another thread has done so since ``seen``."""
        with self._flight:
            current = self._reading
            if current is not None and current is not seen:
                return current
            if self._error is not None and self._monotonic() < self._failed_until:
                raise self._error.with_traceback(None)  # raised many times: a traceback must not grow each time
            try:
                users = {user.tenant: user for user in self._read_users()}
            except (PlatformRefused, PlatformUnavailable) as error:
                self._error, self._failed_until = error, self._monotonic() + FAILED_SECONDS
                logger.warning("no list of tenants", extra={"action": "tenants_unread", "reason": error.reason})
                raise
            return self._take(users, current)

    def _take(self, users: dict[str, ServiceUser], last: Reading | None) -> Reading:
        self._remember_former({} if last is None else last.users, users)
        aged = last is None or self._monotonic() >= last.until
        self._futile.intersection_update(() if aged else users.values())
        self._error = None
        number = 1 if last is None else last.number + 1
        self._reading = Reading(number, users, self._monotonic() + LIST_SECONDS)
        return self._reading

    def _remember_former(self, last: Mapping[str, ServiceUser], users: Mapping[str, ServiceUser]) -> None:
        for tenant in users:
            self._former.pop(tenant, None)
        for tenant, user in last.items():
            if tenant not in users:
                self._former[tenant] = user
        while len(self._former) > FORMER_USERS:
            self._former.popitem(last=False)
