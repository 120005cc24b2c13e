"""Settings: the only place that knows a variable's name.

``Settings.from_environ`` reads everything, resolves what depends on something else, and reports **all** problems
at once. Every field is declared once, with its variable, default and meaning; `settings` on the command line,
README and ``tests/test_docs.py`` read the same declarations. Secrets never appear in a ``repr`` or on a screen.

``declaring`` and ``parsers`` say what a setting is, ``bindings`` reads what a platform has bound, ``authority`` keeps
the certificates that come with it; each industrial platform has a module of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from subscriber.errors import SettingsError
from subscriber.platforms.smartrest.realtime import Realtime
from subscriber.settings import authority, bindings
from subscriber.settings.aliases import Alias, tenant_aliases
from subscriber.settings.cumulocity import CumulocitySettings, NamedSubscription, read_cumulocity
from subscriber.settings.declaring import DEFAULT, MASK, declared, default_of, read, setting, shown
from subscriber.settings.mindsphere import DEFAULT_TOPICS, MindSphereSettings, read_mindsphere
from subscriber.settings.parsers import (
    NGROK,
    SQLITE,
    amqp_address,
    at_least,
    database_address,
    exchange_name,
    flag,
    http_url,
    port_number,
    public_address,
)
from subscriber.settings.pelion import PelionChannel, PelionSettings, read_pelion
from subscriber.settings.realtime import realtime_conversations

__all__ = [
    "BROKER_RETENTION_DAYS",
    "DEFAULT_TOPICS",
    "MASK",
    "NGROK",
    "CumulocitySettings",
    "MindSphereSettings",
    "NamedSubscription",
    "PelionChannel",
    "PelionSettings",
    "Settings",
    "declared",
    "default_of",
]

UNNAMED_APP = "subscriber"  # where no platform names the application
BROKER_RETENTION_DAYS = 4  # the Message Broker tries that long (seed 001); keys must be remembered longer


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything the service can be told."""

    database_url: str = setting(
        "DATABASE_URL",
        f"{SQLITE}var/subscriber.db",
        "where the inbox lives, sqlite:///… or postgresql://…; unset = the PostgreSQL that is bound, if any",
        address=True,
        parse=database_address,
    )
    allow_ephemeral_sqlite: bool = setting(
        "ALLOW_EPHEMERAL_SQLITE", False, "1 = accept SQLite on Cloud Foundry's vanishing disk", parse=flag
    )
    host: str = setting("HOST", "127.0.0.1", "address to listen on (0.0.0.0 on Cloud Foundry)")
    port: int = setting("PORT", 8080, "port to listen on", parse=port_number)
    tls_cert_file: str = setting("TLS_CERT_FILE", "", "certificate chain for direct HTTPS (PEM)")
    tls_key_file: str = setting("TLS_KEY_FILE", "", "its private key (PEM)")
    tls_client_ca_file: str = setting(
        "TLS_CLIENT_CA_FILE",
        "",
        "authorities (PEM) whose client certificates are asked for, and demanded only on the Pelion route",
    )
    max_body_bytes: int = setting(
        "MAX_BODY_BYTES", 10_485_760, "largest delivery accepted; larger, chunked too: 413", parse=at_least(1)
    )
    handlers: str = setting(
        "HANDLERS", "subscriber.handlers:routes", "import path of the routing table, or of a function of it"
    )
    forward_url: str = setting(
        "FORWARD_URL", "", "sink: each notification is posted there as a CloudEvent", address=True, parse=http_url
    )
    forward_secret: str = setting(
        "FORWARD_SECRET", "", "signs forwarded notifications (Standard Webhooks)", secret=True
    )
    amqp_url: str = setting(
        "AMQP_URL",
        "",
        "sink: each notification is published there as a CloudEvent; unset = the RabbitMQ that is bound, if any",
        address=True,
        parse=amqp_address,
    )
    amqp_exchange: str = setting(
        "AMQP_EXCHANGE", "notifications", "exchange of that sink, and the name of its queue", parse=exchange_name
    )
    worker_threads: int = setting("WORKER_THREADS", 8, "handlers that run at once", parse=at_least(2))
    max_attempts: int = setting("MAX_ATTEMPTS", 12, "attempts before a notification is dead", parse=at_least(1))
    retry_base_seconds: int = setting(
        "RETRY_BASE_SECONDS", 5, "longest wait before the second attempt; doubles", parse=at_least(1)
    )
    retry_max_seconds: int = setting(
        "RETRY_MAX_SECONDS", 3600, "longest wait between two attempts", parse=at_least(1)
    )
    horizon_margin_days: int = setting(
        "HORIZON_MARGIN_DAYS",
        3,
        "days that keys outlive the platform's own retention",
        parse=at_least(1),
    )
    payload_retention_days: int = setting(
        "PAYLOAD_RETENTION_DAYS", 7, "days that a handled notification's body is kept", parse=at_least(0)
    )
    dead_retention_days: int = setting(
        "DEAD_RETENTION_DAYS", 90, "days that dead notifications and dead letters are kept", parse=at_least(1)
    )
    leaving_retention_days: int = setting(
        "LEAVING_RETENTION_DAYS", 30, "days that a departed tenant's data is kept", parse=at_least(0)
    )
    public_url: str = setting(
        "PUBLIC_URL",
        "",
        "this service's own address, {public} in MDSP_URI_TEMPLATE; `ngrok` = ask the agent",
        parse=public_address,
    )
    ngrok_api_url: str = setting(
        "NGROK_API_URL", "http://127.0.0.1:4040/api", "where the ngrok agent answers", parse=http_url
    )
    metrics_token: str = setting("METRICS_TOKEN", "", "bearer token that /metrics demands", secret=True)
    worker_metrics_port: int = setting(
        "WORKER_METRICS_PORT", 0, "port for the metrics of a separate worker; 0 = none", parse=at_least(0)
    )
    tenant_aliases: tuple[Alias, ...] = setting(
        "TENANT_ALIASES",
        (),
        'whose users may read a tenant of another platform: JSON such as `{"cumulocity/t1234":"custaa"}`',
        parse=tenant_aliases,
    )
    auth_issuer: str = setting(
        "AUTH_ISSUER", "", "`iss` of the tokens that read and operate; empty = those of MindSphere"
    )
    auth_keys_url: str = setting("AUTH_KEYS_URL", "", "where that issuer's keys are published", parse=http_url)
    auth_host_tenant: str = setting(
        "AUTH_HOST_TENANT", "", "tenant (`ten`) of that issuer whose operators look after everybody's notifications"
    )
    realtime: tuple[Realtime, ...] = setting(
        "C8Y_REALTIME",
        (),
        "Cumulocity real-time over SmartREST: JSON list of `tenant, path, x_id, channels, templates`",
        parse=realtime_conversations,
    )
    mindsphere: MindSphereSettings | None = None
    cumulocity: CumulocitySettings | None = None
    pelion: PelionSettings | None = None
    origins: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def horizon_days(self) -> int:
        """How long a key is remembered: longer than any platform may still send its notification again."""
        return BROKER_RETENTION_DAYS + self.horizon_margin_days

    @property
    def app_name(self) -> str:
        """What the scopes `{app}.read` and `{app}.operate` begin with."""
        if self.mindsphere is not None:
            return self.mindsphere.app
        return (self.cumulocity.application if self.cumulocity is not None else "") or UNNAMED_APP

    @property
    def shared_secret(self) -> str:
        """A secret that all processes of this installation know. Where no platform gives one, it is as good as the
        database's address: with a password in it, a secret; a path, none."""
        return self.mindsphere.client_secret if self.mindsphere is not None else self.database_url

    @property
    def tls(self) -> bool:
        return bool(self.tls_cert_file)

    @property
    def sqlite_path(self) -> str:
        """The SQLite file; empty on PostgreSQL."""
        return self.database_url.removeprefix(SQLITE) if self.database_url.startswith(SQLITE) else ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read, resolve and check. Raises ``SettingsError`` with every problem found.

        Certificates that a binding brings as text are written to a private file, for libpq wants files.
        """
        problems: list[str] = []
        origins: dict[str, str] = {}
        own = read(cls, environ, origins, problems)
        if "VCAP_APPLICATION" in environ and origins["HOST"] == DEFAULT:
            own["host"], origins["HOST"] = "0.0.0.0", "Cloud Foundry"
        _bind(own, environ, origins, problems)
        mindsphere, warnings = read_mindsphere(environ, origins, problems)
        settings = cls(
            **own,
            mindsphere=mindsphere,
            cumulocity=read_cumulocity(environ, origins, problems),
            pelion=read_pelion(environ, origins, problems),
            origins=origins,
            warnings=tuple(warnings),
        )
        problems += settings._contradictions(environ, problems)
        if problems:
            raise SettingsError(problems)
        return settings

    def _contradictions(self, environ: Mapping[str, str], known: Sequence[str]) -> list[str]:
        """Values that are fine alone and wrong together. ``known`` problems are not told again."""
        found = []
        chosen = not any(problem.startswith("DATABASE_URL") for problem in known)  # else SQLite is only what is left
        if chosen and self.sqlite_path and "VCAP_APPLICATION" in environ and not self.allow_ephemeral_sqlite:
            found.append(
                "DATABASE_URL is SQLite, but Cloud Foundry's disk vanishes at every restart: bind a PostgreSQL "
                "service, or set ALLOW_EPHEMERAL_SQLITE=1 to try things out"
            )
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            found.append("TLS_CERT_FILE and TLS_KEY_FILE go together: set both or none")
        if self.tls_client_ca_file and not self.tls_cert_file:
            found.append("TLS_CLIENT_CA_FILE is set, but TLS_CERT_FILE is not: a proxy that ends TLS checks clients")
        if self.tls_client_ca_file and self.pelion and self.pelion.subject_header:
            found.append("TLS_CLIENT_CA_FILE and PELION_SUBJECT_HEADER exclude each other: who ends TLS?")
        issuer = (self.auth_issuer, self.auth_keys_url, self.auth_host_tenant)
        if any(issuer) and not all(issuer):
            found.append("AUTH_ISSUER, AUTH_KEYS_URL and AUTH_HOST_TENANT go together: set all or none")
        if self.retry_max_seconds < self.retry_base_seconds:
            found.append("RETRY_MAX_SECONDS must not be below RETRY_BASE_SECONDS")
        if self.dead_retention_days < self.horizon_days:
            found.append(
                f"DEAD_RETENTION_DAYS must be at least {self.horizon_days}: forgetting a key while the platform "
                "may still send it again would handle it twice"
            )
        if self.mindsphere and "{public}" in self.mindsphere.uri_template and not self.public_url:
            found.append("MDSP_URI_TEMPLATE uses {public}: set PUBLIC_URL, to an address or to ngrok")
        if self.realtime and self.cumulocity is None and not any(one.startswith("C8Y_") for one in known):
            found.append("C8Y_REALTIME is set, but C8Y_BASEURL is not")
        if self.forward_secret and not self.forward_url:
            found.append("FORWARD_SECRET is set, but FORWARD_URL is not")
        return found

    def table(self) -> list[tuple[str, str, str, str]]:
        """(variable, value as shown, origin, meaning) of every setting; secrets masked."""
        rows = []
        for group in filter(None, (self, self.mindsphere, self.cumulocity, self.pelion)):
            for name, variable in declared(type(group)).items():
                value = getattr(group, name)
                rows.append((variable.name, shown(value, variable), self.origins[variable.name], variable.help))
        return rows


BOUND = {"database_url": bindings.POSTGRESQL, "amqp_url": bindings.RABBITMQ}


def _bind(own: dict[str, Any], environ: Mapping[str, str], origins: dict[str, str], problems: list[str]) -> None:
    """Where the environment says nothing, take the address of the service that is bound."""
    try:
        bound = bindings.parse(environ.get("VCAP_SERVICES", ""))
    except ValueError as error:
        problems.append(f"VCAP_SERVICES {error}")
        return
    for field, kind in BOUND.items():
        name = declared(Settings)[field].name
        if origins[name] != DEFAULT:
            continue
        try:
            binding = bindings.the_one(bound, kind)
            if binding is not None:
                own[field], origins[name] = _address(binding, kind), f"bound service {binding.name}"
        except ValueError as error:
            problems.append(f"{name} is not set, and {error}")


def _address(binding: bindings.Binding, kind: bindings.Kind) -> str:
    """Raises ``ValueError``."""
    address = bindings.address(binding, kind)
    certificates = bindings.certificates(binding)
    if kind is bindings.POSTGRESQL and certificates:
        return bindings.verified(address, authority.keep(certificates))
    return address
