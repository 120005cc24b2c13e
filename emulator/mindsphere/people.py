"""People of the emulated tenants, their tokens, and the sessions that a gateway keeps for them.

Each tenant has the same three, so that every answer of an application can be seen: one who operates, one who reads,
one without a role. A person's token is issued by the tenant's own zone and names the person (``user_id``,
``user_name``, ``email``); which scopes a role gives is the application's business. Its other claims are assumed.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from emulator.mindsphere.access import Access
from emulator.mindsphere.registry import Application

SESSIONS_KEPT = 1000  # signed-in browsers; the least recently used goes first
SESSION_S = 12 * 3600.0  # a working day
ROLES = {"operator": ("default", "read", "operate"), "reader": ("default", "read"), "visitor": ()}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of a tenant, with a role in an application."""

    tenant: str
    role: str

    @property
    def name(self) -> str:
        return f"{self.role}@{self.tenant}.example"

    @property
    def id(self) -> str:
        """The same in every run."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, self.name))

    def scopes(self, application: Application) -> list[str]:
        return [scope for word in ROLES[self.role] if (scope := f"{application.name}.{word}") in application.scopes]


def people_of(tenant: str) -> list[Person]:
    return [Person(tenant, role) for role in ROLES]


@dataclass(slots=True)
class Session:
    """One signed-in browser, at one application of one tenant."""

    person: Person
    application: Application
    ends_at: float  # real seconds
    xsrf: str = field(default_factory=lambda: str(uuid.uuid4()), repr=False)
    token: str = field(default="", repr=False)
    renew_at: float = 0.0


class Sessions:
    """In memory: whoever is signed in when the emulator ends signs in again."""

    def __init__(self, access: Access, wall: Callable[[], float] = time.time) -> None:
        self._access = access
        self._wall = wall
        self._kept: OrderedDict[str, Session] = OrderedDict()

    def open(self, person: Person, application: Application) -> tuple[str, Session]:
        """A new session, and the secret that stands for it."""
        id = secrets.token_urlsafe(24)
        session = self._kept[id] = Session(person, application, self._wall() + SESSION_S)
        if len(self._kept) > SESSIONS_KEPT:
            self._kept.popitem(last=False)
        return id, session

    def find(self, id: str) -> Session | None:
        session = self._kept.get(id)
        if session is None or session.ends_at <= self._wall():
            self._kept.pop(id, None)
            return None
        self._kept.move_to_end(id)
        return session

    def close(self, id: str) -> None:
        self._kept.pop(id, None)

    def token(self, session: Session) -> str:
        """The person's token, renewed in time: an application never meets one that is about to end."""
        now = self._wall()
        if session.renew_at <= now:
            person, application = session.person, session.application
            scopes = person.scopes(application)
            session.token, lifetime_s = self._access.person_token(
                application, person.tenant, person.id, person.name, scopes
            )
            session.renew_at = now + lifetime_s / 2
        return session.token
