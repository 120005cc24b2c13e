"""Which consumers there shall be now: each configured name in each tenant that is served.

Made anew with each reading of the list, so tenants come and go and passwords rotate without a restart. A tenant that
one list lacks is served on with the password it had; one that has left, or was erased here, is not.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from contextlib import suppress

from subscriber.channels.consumers import Consumer
from subscriber.cumulocity.directory import Directory, Reading
from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.model import CUMULOCITY, Tenant
from subscriber.platforms.cumulocity_api import Grant, ServiceUser
from subscriber.registration.roster import judge
from subscriber.settings import CumulocitySettings
from subscriber.store import Registry

OTHER_CHARACTERS = re.compile(r"[^a-zA-Z0-9]")
CLIENT_CHARS = 128  # nothing is documented; two names of hosts


class Wanted:
    """Call it for the consumers. Raises ``PlatformRefused``, ``PlatformUnavailable`` and store errors.

    ``host`` names this machine: where the platform gives instances no number, it has to do.
    """

    def __init__(
        self, settings: CumulocitySettings, directory: Directory, registry: Registry, host: str = socket.gethostname()
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._registry = registry
        self._client = client_name(settings, host)
        self._seen: Reading | None = None
        self._consumers: tuple[Consumer, ...] = ()

    def __call__(self) -> Sequence[Consumer]:
        reading = self._directory.reading()
        if reading is not self._seen:
            self._consumers, self._seen = tuple(self._made(reading)), reading
        return self._consumers

    def refused(self, consumer: Consumer) -> None:
        """The platform did not accept the consumer's password: the list is read again, if that may help."""
        with suppress(PlatformRefused, PlatformUnavailable):  # the directory has told
            self._directory.instead_of(consumer.user)

    def _made(self, reading: Reading) -> list[Consumer]:
        listed = [Tenant(CUMULOCITY, name) for name in reading.users]
        served = judge(self._registry.roster(CUMULOCITY), listed, False, None).served
        users = [user for tenant in served if (user := self._directory.known(tenant.name)) is not None]
        return [self._consumer(user, named.grant) for user in users for named in self._settings.subscriptions]

    def _consumer(self, user: ServiceUser, grant: Grant) -> Consumer:
        return Consumer(
            base_url=self._settings.base_url,
            user=user,
            grant=grant,
            client=self._client if grant.shared else "",
        )


def client_name(settings: CumulocitySettings, host: str) -> str:
    """This instance's name among the clients of a shared consumer: the same after a restart, another's never.

    The application's name and the instance's number, else the host's name: then one worker a host.
    """
    own = OTHER_CHARACTERS.sub("", settings.application) or "client"
    return (own + OTHER_CHARACTERS.sub("", settings.instance or host))[:CLIENT_CHARS]
