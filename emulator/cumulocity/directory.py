"""Tenants, users with their roles, and the application with its bootstrap and service users.

The seed world: tenant ``t123`` owns the microservice ``notification-hub``; it and ``t124`` have subscribed to it.
Each subscribed tenant has a service user for it; each tenant has a person ``admin`` with every role. Passwords are
random per state file, compared in constant time and never logged.

Follows "Microservice SDK, general aspects": bootstrap credentials list the service users of all subscribed tenants.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from emulator.journal import Journal

OWNER, SEED_TENANTS = "t123", ("t123", "t124")
APPLICATION, APPLICATION_ID = "notification-hub", "101"
ADMIN, SERVICE, BOOTSTRAP = "admin", f"service_{APPLICATION}", f"servicebootstrap_{APPLICATION}"
TENANT_FORM = re.compile(r"[a-z][a-z0-9]{1,29}")  # assumed; the platform's own are t and digits
NOTIFICATION_ROLE = "ROLE_NOTIFICATION_2_ADMIN"
DATA_ROLES = tuple(
    f"ROLE_{api}_{level}"
    for api in ("INVENTORY", "ALARM", "EVENT", "MEASUREMENT", "DEVICE_CONTROL")
    for level in ("READ", "ADMIN")
)
APPLICATION_ROLE = "ROLE_APPLICATION_MANAGEMENT_ADMIN"
SERVICE_ROLES = frozenset({NOTIFICATION_ROLE, *DATA_ROLES})  # the application's ``requiredRoles``
ALL_ROLES = SERVICE_ROLES | {APPLICATION_ROLE}

SCHEMA = """
CREATE TABLE IF NOT EXISTS c8y_users (
  tenant TEXT NOT NULL, name TEXT NOT NULL, password TEXT NOT NULL, roles TEXT NOT NULL,
  PRIMARY KEY (tenant, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS c8y_tenants (name TEXT PRIMARY KEY, subscribed INTEGER NOT NULL) WITHOUT ROWID
"""


class DirectoryError(ValueError):
    """A name the platform would not take, or does not know."""


@dataclass(frozen=True, slots=True)
class User:
    """Someone who may sign in to one tenant."""

    tenant: str
    name: str
    password: str = field(repr=False)
    roles: frozenset[str]


class Directory:
    """In memory for reading, in the state file for keeping."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.extend(SCHEMA)
        db = journal.db
        self._tenants: dict[str, bool] = {
            name: bool(subscribed) for name, subscribed in db.execute("SELECT name, subscribed FROM c8y_tenants")
        }
        self._users: dict[tuple[str, str], User] = {}
        for tenant, name, password, roles in db.execute("SELECT tenant, name, password, roles FROM c8y_users"):
            self._users[tenant, name] = User(tenant, name, password, frozenset(json.loads(roles)))
        if not self._tenants:
            self._plant()

    def _plant(self) -> None:
        with self._journal.transaction():
            self.keep_user(User(OWNER, BOOTSTRAP, _password(), frozenset()))
            self.subscribe(SEED_TENANTS)

    def reset(self) -> None:
        """Back to the seed world; its credentials stay."""
        gone = [tenant for tenant in self._tenants if tenant not in SEED_TENANTS]
        with self._journal.transaction() as db:
            for tenant in gone:
                db.execute("DELETE FROM c8y_tenants WHERE name = ?", (tenant,))
                db.execute("DELETE FROM c8y_users WHERE tenant = ?", (tenant,))
                del self._tenants[tenant]
            self._users = {key: user for key, user in self._users.items() if user.tenant in self._tenants}
            self.subscribe(SEED_TENANTS)
            for user in list(self._users.values()):
                self.keep_user(replace(user, roles=_seed_roles(user.name)))

    # tenants

    def exists(self, tenant: str) -> bool:
        return tenant in self._tenants

    def tenants(self) -> list[str]:
        return sorted(self._tenants)

    def subscribed(self) -> list[str]:
        """Tenants that have subscribed to the application."""
        return sorted(tenant for tenant, subscribed in self._tenants.items() if subscribed)

    def subscribe(self, tenants: Iterable[str]) -> list[str]:
        """Give the application to these tenants, made if need be. The answer: for whom it was news."""
        news = [tenant for tenant in dict.fromkeys(tenants) if not self._tenants.get(tenant)]
        for tenant in news:
            if not TENANT_FORM.fullmatch(tenant):
                raise DirectoryError(f"not a tenant id: {tenant[:40]!r}")
        with self._journal.transaction() as db:
            for tenant in news:
                self._tenants[tenant] = True
                db.execute("INSERT OR REPLACE INTO c8y_tenants VALUES (?, 1)", (tenant,))
                self._make_user(tenant, ADMIN)
                self._make_user(tenant, SERVICE)
        return news

    def unsubscribe(self, tenants: Iterable[str]) -> list[str]:
        """Take it away; the service user goes, the tenant stays. The answer: from whom it was taken."""
        gone = [tenant for tenant in dict.fromkeys(tenants) if self._tenants.get(tenant)]
        with self._journal.transaction() as db:
            for tenant in gone:
                self._tenants[tenant] = False
                db.execute("UPDATE c8y_tenants SET subscribed = 0 WHERE name = ?", (tenant,))
                db.execute("DELETE FROM c8y_users WHERE tenant = ? AND name = ?", (tenant, SERVICE))
                del self._users[tenant, SERVICE]
        return gone

    # users

    def _make_user(self, tenant: str, name: str) -> None:
        if (tenant, name) not in self._users:
            self.keep_user(User(tenant, name, _password(), _seed_roles(name)))

    def keep_user(self, user: User) -> None:
        """A new one, or a changed one of that name."""
        self._users[user.tenant, user.name] = user
        self._journal.db.execute(
            "INSERT OR REPLACE INTO c8y_users VALUES (?, ?, ?, ?)",
            (user.tenant, user.name, user.password, json.dumps(sorted(user.roles))),
        )

    def user(self, tenant: str, name: str) -> User:
        try:
            return self._users[tenant, name]
        except KeyError as error:
            raise DirectoryError(f"{tenant[:40]} has no user {name[:40]!r}") from error

    def service_users(self) -> list[User]:
        """One for each subscribed tenant."""
        return [self._users[tenant, SERVICE] for tenant in self.subscribed()]

    def rotate(self, tenants: Iterable[str]) -> None:
        """New passwords for these tenants' service users; the old ones stop working at once."""
        for tenant in tenants:
            self.keep_user(replace(self.user(tenant, SERVICE), password=_password()))

    def authenticate(self, login: str, password: str) -> User | None:
        """``login`` is ``tenant/name``; a bare name is looked for in the owner's tenant (assumed)."""
        tenant, slash, name = login.partition("/")
        user = self._users.get((tenant, name) if slash else (OWNER, login))
        expected = user.password if user else "no such user"
        genuine = hmac.compare_digest(expected.encode(), password.encode("utf-8", "replace"))
        return user if genuine else None


def _password() -> str:
    return secrets.token_urlsafe(18)


def _seed_roles(name: str) -> frozenset[str]:
    return {ADMIN: ALL_ROLES, SERVICE: SERVICE_ROLES}.get(name, frozenset())
