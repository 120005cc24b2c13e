"""Which consumer of Cumulocity Notification 2.0 a channel is: the values that whoever knows the tenants hands over.

No I/O. A consumer is a named cursor on a topic; the topic is made by the name of subscriptions and whether they are
persistent. An exclusive consumer admits one client. A shared one admits several and spreads sources over them; a
client that comes back under its name gets its own sources again, so each instance has a name that stays.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from subscriber.channels import Place
from subscriber.model import CUMULOCITY, Tenant
from subscriber.platforms.cumulocity_api import Grant, ServiceUser


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """One consumer, and who connects to it."""

    base_url: str  # of the platform's REST API: http:// or https://, no slash at its end
    user: ServiceUser  # of the tenant; its password is for the next connection, an open one does without
    grant: Grant
    client: str = ""  # this instance's name among the clients of a shared consumer

    @property
    def place(self) -> Place:
        """Every instance has the same one for an exclusive consumer: who takes over remembers what it had stored."""
        subscriber = self.grant.subscriber
        name = f"{subscriber}/{self.client}" if self.grant.shared else subscriber
        return Place(Tenant(CUMULOCITY, self.user.tenant), self.grant.subscription, name)

    @property
    def wiring(self) -> Hashable:
        grant = self.grant
        return self.base_url, self.client, grant.shared, grant.non_persistent, grant.type

    @property
    def exclusive(self) -> bool:
        return not self.grant.shared
