"""Which conversation of Cumulocity real-time a channel is: the values that whoever knows the tenants hands over.

No I/O. A conversation is one X-Id at one address of the platform; its session has one client, so it runs in one
instance only.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from subscriber.channels import Place
from subscriber.model import SMARTREST, Tenant
from subscriber.platforms.cumulocity_api import ServiceUser
from subscriber.platforms.smartrest.realtime import Realtime

SESSION, ROWS, COVERAGE, RESTART = "session", "rows", "coverage", "restart"  # what is remembered of each


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One conversation, and who holds it."""

    base_url: str  # of the platform's REST API: http:// or https://, no slash at its end
    user: ServiceUser  # of the tenant; its password is for the next request
    realtime: Realtime

    @property
    def place(self) -> Place:
        return place_of(self.realtime)

    @property
    def wiring(self) -> Hashable:
        return self.base_url, self.realtime

    @property
    def exclusive(self) -> bool:
        return True


def place_of(realtime: Realtime) -> Place:
    """A tenant may use an X-Id at several addresses, so the address tells them apart."""
    return Place(Tenant(SMARTREST, realtime.tenant), realtime.x_id, realtime.path)


def fact_name(place: Place, what: str) -> str:
    """Under which name of the channel's facts this is remembered."""
    return f"{place.name} {what}"
