"""What the cockpits keep: tenants, applications with their credentials, who is provisioned.

The seed world: operator ``acmeop`` and developer ``acmedv``, both hosting ``alarmapi`` ``v1.4.2``, and the user
tenants ``custaa`` and ``custbb``. Secrets are random per state file; they are compared in constant time and never
logged. Client ids are ``{host}-{app}-{version}``, so a version has its own credentials.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase

from emulator.journal import Journal
from emulator.knobs import Panel

OPERATOR, DEVELOPER, USER = "operator", "developer", "user"
READ_WRITE, CUSTOM = "READ_WRITE", "CUSTOM"
SEED_HOST, SEED_DEVELOPER, SEED_USERS = "acmeop", "acmedv", ("custaa", "custbb")
SEED_APP, SEED_VERSION = "alarmapi", "v1.4.2"
VERSION_FORM = re.compile(r"v[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}(-[A-Za-z0-9]{1,20})?")
APP_FORM = re.compile(r"[a-z][a-z0-9]{0,19}")


class RegistryError(ValueError):
    """A name or registration the cockpit would not take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One version of an API application as registered with its hosting tenant."""

    name: str
    version: str
    host: str
    scopes: tuple[str, ...]  # what the application defines, in full: ``{app}.{scope}``
    broker_scopes: tuple[str, ...]  # the Message Broker scope mapping; empty = no permission to call
    endpoints: tuple[str, ...] = ("/**",)
    direct_url: str = ""  # empty = the emulator's --app
    credential_kind: str = READ_WRITE
    secret: str = field(repr=False)

    @property
    def client_id(self) -> str:
        return f"{self.host}-{self.name}-{self.version}"

    @property
    def major(self) -> str:
        return self.version.partition(".")[0]

    def serves(self, path: str) -> bool:
        """Is this path below the application registered? ``/**`` is everything."""
        return any(fnmatchcase(path, pattern.replace("**", "*")) for pattern in self.endpoints)


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A tenant's classic service credentials: good for tokens, never for the Message Broker."""

    client_id: str
    tenant: str
    secret: str = field(repr=False)


def new_application(name: str, version: str, host: str) -> Application:
    """A registration with the usual scopes, broker calls allowed with ``{app}.notify``."""
    if not APP_FORM.fullmatch(name) or not VERSION_FORM.fullmatch(version):
        raise RegistryError(f"not an application name and version: {name!r} {version!r}")
    scopes = tuple(f"{name}.{scope}" for scope in ("default", "notify", "read", "operate"))
    return Application(
        name=name,
        version=version,
        host=host,
        scopes=scopes,
        broker_scopes=(f"{name}.notify",),
        secret=secrets.token_urlsafe(24),
    )


class Registry:
    """In memory for reading, in the state file for keeping."""

    def __init__(self, journal: Journal, panel: Panel) -> None:
        self._journal = journal
        self._panel = panel
        db = journal.db
        self._tenants: dict[str, str] = dict(db.execute("SELECT name, kind FROM tenants"))
        self._applications: dict[str, Application] = {}  # by client id, oldest registration first
        for (document,) in db.execute("SELECT document FROM applications ORDER BY serial"):
            self._keep_in_memory(_from_document(document))
        rows = db.execute("SELECT client_id, tenant, secret FROM service_accounts")
        self._service_accounts = {row[0]: ServiceAccount(*row) for row in rows}
        self._provisioned: dict[tuple[str, str], set[str]] = {}
        for host, app, tenant in db.execute("SELECT host, app, tenant FROM provisioned"):
            self._provisioned.setdefault((host, app), set()).add(tenant)
        if not self._tenants:
            self._plant()

    def _plant(self) -> None:
        with self._journal.transaction():
            for host, kind in ((SEED_HOST, OPERATOR), (SEED_DEVELOPER, DEVELOPER)):
                self._add_tenants([host], kind)
                self.register(new_application(SEED_APP, SEED_VERSION, host))
                self._add_service_account(host)
            self.provision(self.default_application(), SEED_USERS)

    def reset(self) -> None:
        """Back to the seed world; its credentials stay, so nobody must be told new ones."""
        with self._journal.transaction() as db:
            db.execute("DELETE FROM provisioned")
            db.execute("DELETE FROM tenants WHERE kind = ?", (USER,))
            self._provisioned.clear()
            self._tenants = {name: kind for name, kind in self._tenants.items() if kind != USER}
            db.execute("DELETE FROM applications")
            secrets_kept = {id: application.secret for id, application in self._applications.items()}
            self._applications.clear()
            for host in (SEED_HOST, SEED_DEVELOPER):
                planted = new_application(SEED_APP, SEED_VERSION, host)
                self.register(replace(planted, secret=secrets_kept[planted.client_id]))
            self.provision(self.default_application(), SEED_USERS)

    # tenants

    def kind(self, tenant: str) -> str | None:
        return self._tenants.get(tenant)

    def zone_exists(self, zone: str) -> bool:
        return zone == "core" or zone in self._tenants

    def _add_tenants(self, names: Iterable[str], kind: str) -> None:
        rows = [(name, kind) for name in names]
        self._journal.db.executemany("INSERT OR IGNORE INTO tenants VALUES (?, ?)", rows)
        for name, _ in rows:
            self._tenants.setdefault(name, kind)

    def check_tenant_name(self, name: str) -> None:
        if not re.fullmatch(self._panel.now.tenant_pattern, name):
            raise RegistryError(f"not a tenant name: {name[:40]!r}")

    # applications

    def register(self, application: Application) -> None:
        """A new registration, or a changed one under the same client id."""
        with self._journal.transaction() as db:
            db.execute(
                "INSERT INTO applications SELECT ?, coalesce(max(serial), 0) + 1, ? FROM applications"
                " WHERE true ON CONFLICT (client_id) DO UPDATE SET document = excluded.document",
                (application.client_id, json.dumps(asdict(application))),
            )
        self._keep_in_memory(application)

    def _keep_in_memory(self, application: Application) -> None:
        self._applications[application.client_id] = application

    def applications(self) -> list[Application]:
        return list(self._applications.values())

    def application(self, client_id: str) -> Application | None:
        return self._applications.get(client_id)

    def default_application(self) -> Application:
        """The operator's seed application: whom verbs mean when they do not say."""
        return self._applications[f"{SEED_HOST}-{SEED_APP}-{SEED_VERSION}"]

    def hosted(self, name: str, host: str, version: str) -> Application | None:
        """The registration a gateway path means; of several in one major version the latest."""
        form = self._panel.now.gw_version_form
        for application in reversed(self._applications.values()):
            if (application.name, application.host) != (name, host):
                continue
            if version == application.major and form in ("major", "both"):
                return application
            if version == application.version and form in ("full", "both"):
                return application
        return None

    # credentials

    def authenticate(self, client_id: str, secret: str) -> Application | ServiceAccount | None:
        """Who holds these credentials; None for wrong ones, after the same comparison either way."""
        holder = self._applications.get(client_id) or self._service_accounts.get(client_id)
        expected = holder.secret if holder else "no such client"
        genuine = hmac.compare_digest(expected.encode(), secret.encode("utf-8", "replace"))
        return holder if genuine else None

    def service_account(self, tenant: str) -> ServiceAccount | None:
        return self._service_accounts.get(f"{tenant}-service")

    def _add_service_account(self, tenant: str) -> None:
        account = ServiceAccount(f"{tenant}-service", tenant, secrets.token_urlsafe(24))
        self._service_accounts[account.client_id] = account
        self._journal.db.execute(
            "INSERT INTO service_accounts VALUES (?, ?, ?)",
            (account.client_id, account.tenant, account.secret),
        )

    # provisioning

    def user_tenants(self, application: Application) -> list[str]:
        return sorted(self._provisioned.get((application.host, application.name), ()))

    def may_act_for(self, application: Application, tenant: str) -> bool:
        """Its own tenant always; another one only where the operator provisioned it."""
        if tenant == application.host:
            return True
        return tenant in self._provisioned.get((application.host, application.name), ())

    def provision(self, application: Application, tenants: Iterable[str]) -> list[str]:
        """The tenants for which this was news; all names are checked before the first is added."""
        known = self._provisioned.setdefault((application.host, application.name), set())
        fresh = [tenant for tenant in dict.fromkeys(tenants) if tenant not in known]
        for tenant in fresh:
            self.check_tenant_name(tenant)
            if self._tenants.get(tenant, USER) != USER or tenant == "core":
                raise RegistryError(f"{tenant} is not a user tenant")
        with self._journal.transaction() as db:
            self._add_tenants(fresh, USER)
            db.executemany(
                "INSERT INTO provisioned VALUES (?, ?, ?)",
                [(application.host, application.name, tenant) for tenant in fresh],
            )
        known.update(fresh)
        return fresh

    def deprovision(self, application: Application, tenants: Iterable[str]) -> list[str]:
        """The tenants that were provisioned until now."""
        known = self._provisioned.get((application.host, application.name), set())
        leaving = [tenant for tenant in dict.fromkeys(tenants) if tenant in known]
        self._journal.db.executemany(
            "DELETE FROM provisioned WHERE host = ? AND app = ? AND tenant = ?",
            [(application.host, application.name, tenant) for tenant in leaving],
        )
        known.difference_update(leaving)
        return leaving


def _from_document(document: str) -> Application:
    members = json.loads(document)
    for name in ("scopes", "broker_scopes", "endpoints"):
        members[name] = tuple(members[name])
    return Application(**members)
