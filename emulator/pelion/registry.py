"""Accounts, applications and their keys: who may call, and whose channel an event belongs to.

The seed world: one account with the applications ``cellar`` and ``gates``, and a second account with ``mill``, each
application with one access key. A key belongs to one application, an application may hold several keys; channel,
subscriptions and commands belong to the application. Keys are random per state file, compared in constant time and
never logged. The form of a key follows the published examples: ``ak_1``, 43 characters of base64, 32 hexadecimal
digits, 32 letters and digits.

A person's login token is genuine too, but no key: the channel addresses answer it with 403.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import string
from collections.abc import Iterator
from dataclasses import dataclass, field

from aiohttp import web

from emulator.journal import Journal
from emulator.pelion.errors import Refusal

SEED = {"cellar": "acme", "gates": "acme", "mill": "borealis"}  # application → account
KEY_LIMIT = 2  # access keys of one application (vendor's page on access keys)
LETTERS = string.ascii_letters + string.digits
SCHEMA = """
CREATE TABLE IF NOT EXISTS pelion_accounts (
  name TEXT PRIMARY KEY, id TEXT NOT NULL, login_token TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pelion_keys (
  key TEXT PRIMARY KEY, serial INTEGER NOT NULL, application TEXT NOT NULL, account TEXT NOT NULL,
  revoked INTEGER NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    id: str  # 32 hexadecimal digits
    login_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Application:
    """A named client of an account. ``name`` is unique in the emulator: it is how verbs name its channel."""

    name: str
    account: str


@dataclass(frozen=True, slots=True)
class Key:
    value: str = field(repr=False)
    application: Application

    @property
    def id(self) -> str:
        """The key's own id, which stands inside it."""
        return self.value[47:79]

    @property
    def shown(self) -> str:
        """The key as listings show it, without its secret end."""
        return self.value[:79]


class RegistryError(ValueError):
    """A name or number of keys the account would not take."""


class Registry:
    """In memory for reading, in the state file for keeping."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.extend(SCHEMA)
        self._load()
        if not self._accounts:
            self._plant()

    def _load(self) -> None:
        db = self._journal.db
        rows = db.execute("SELECT name, id, login_token FROM pelion_accounts")
        self._accounts = {row[0]: Account(*row) for row in rows}
        self._keys: dict[str, Key] = {}  # good ones, oldest first
        rows = db.execute("SELECT key, application, account FROM pelion_keys WHERE NOT revoked ORDER BY serial")
        for key, application, account in rows:
            self._keys[key] = Key(key, Application(application, account))

    def _plant(self) -> None:
        with self._journal.transaction() as db:
            for name in dict.fromkeys(SEED.values()):
                db.execute(
                    "INSERT INTO pelion_accounts VALUES (?, ?, ?)",
                    (name, secrets.token_hex(16), secrets.token_urlsafe(32)),
                )
            self._load()
            for name, account in SEED.items():
                self.add_key(name, account)

    def reset(self) -> None:
        """Back to the seed applications; their first keys stay, revoked or not, so nobody must be told new ones."""
        with self._journal.transaction() as db:
            db.execute("DELETE FROM pelion_keys WHERE serial > ?", (len(SEED),))
            db.execute("UPDATE pelion_keys SET revoked = 0")
        self._load()

    # looking up

    def applications(self) -> list[Application]:
        """Those with a good key, in the order of their first one."""
        return list(dict.fromkeys(key.application for key in self._keys.values()))

    def application(self, name_or_key: str) -> Application | None:
        """By its name, or by one of its keys."""
        if name_or_key in self._keys:
            return self._keys[name_or_key].application
        return next((found for found in self.applications() if found.name == name_or_key), None)

    def of_account(self, account: str) -> Iterator[Application]:
        return (application for application in self.applications() if application.account == account)

    def keys(self, application: Application) -> list[str]:
        return [key.value for key in self._keys.values() if key.application == application]

    def account(self, name: str) -> Account:
        return self._accounts[name]

    def accounts(self) -> list[Account]:
        return list(self._accounts.values())

    # changing

    def add_key(self, application: str, account: str) -> Key:
        """One more key; the application comes into being with its first."""
        known = self.application(application)
        if account not in self._accounts or (known and known.account != account):
            raise RegistryError(f"no account {account[:40]!r} for this application")
        if known and len(self.keys(known)) >= KEY_LIMIT:
            raise RegistryError(f"an application holds at most {KEY_LIMIT} keys")
        key = Key(_new_key(self._accounts[account]), Application(application, account))
        self._journal.db.execute(
            "INSERT INTO pelion_keys SELECT ?, coalesce(max(serial), 0) + 1, ?, ?, 0 FROM pelion_keys",
            (key.value, application, account),
        )
        self._keys[key.value] = key
        return key

    def revoke(self, key: str) -> None:
        """The key proves nothing any more."""
        self._journal.db.execute("UPDATE pelion_keys SET revoked = 1 WHERE key = ?", (key,))
        self._keys.pop(key, None)

    # callers

    def caller(self, request: web.Request) -> Key:
        """The key of the ``Authorization`` header: 401 without a good one, 403 for a person's login token."""
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refusal(401, "the bearer key is missing")
        return self.key(value.strip())

    def key(self, value: str) -> Key:
        """The same for a key that came another way."""
        given = value.encode("utf-8", "replace")
        for key in self._keys.values():
            if hmac.compare_digest(key.value.encode(), given):
                return key
        for account in self._accounts.values():
            if hmac.compare_digest(account.login_token.encode(), given):
                raise Refusal(403, "this is a login token, not the key of an application")
        raise Refusal(401, "the key is not valid")


def _new_key(account: Account) -> str:
    middle = base64.b64encode(account.id.encode()).decode().rstrip("=")
    return f"ak_1{middle}{secrets.token_hex(16)}{''.join(secrets.choice(LETTERS) for _ in range(32))}"
