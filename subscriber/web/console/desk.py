"""What all pages of the console work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from flask import request

from subscriber.credentials import Credentials
from subscriber.metrics import Metrics
from subscriber.people import People
from subscriber.registrars import open_registrars
from subscriber.settings import Settings
from subscriber.store import Clock, Store
from subscriber.web.console.applying import Applying
from subscriber.web.console.orders import Form, read_form, refuse_cross_site
from subscriber.web.console.pages import Pages
from subscriber.web.console.places import Places
from subscriber.web.console.planning import Open, Planning
from subscriber.web.console.sight import Sight


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Desk:
    """One process's. ``clock`` is the wall's; ``open_registrars`` says how subscriptions are planned and made."""

    settings: Settings
    store: Store
    people: People
    metrics: Metrics
    credentials: Credentials | None = None
    clock: Clock = _utc_now
    open_registrars: Open = open_registrars
    pages: Pages = field(init=False)
    applying: Applying = field(init=False)
    planning: Planning = field(init=False)
    places: Places = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pages", Pages(self.clock))
        object.__setattr__(self, "places", Places(self.settings.shared_secret))
        applying = Applying(self.settings, self.store, self.open_registrars)
        planning = Planning(self.settings, self.store, self.open_registrars, self.clock)
        object.__setattr__(self, "applying", applying)
        object.__setattr__(self, "planning", planning)

    def sight(self) -> Sight:
        """What whoever asks may see. Raises ``InvalidToken``, ``Forbidden``, ``KeysUnavailable``, store errors."""
        return Sight(self.people.operator(request.headers.get("Authorization")), self.store)

    def order(self) -> tuple[Sight, Form]:
        """The same for a form that was sent, and what it says. Another site's is refused before anything is read."""
        refuse_cross_site(request.headers, request.host)
        sight = self.sight()
        return sight, read_form(request)
