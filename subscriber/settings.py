"""Settings: the only place that knows a variable's name.

``Settings.from_environ`` reads everything, resolves what depends on something else, and reports **all** problems
at once. Every field is declared once, with its variable, default and meaning; `settings` on the command line,
README and ``tests/test_docs.py`` read the same declarations. Secrets never appear in a ``repr`` or on a screen.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from subscriber.errors import SettingsError

BROKER_RETENTION_DAYS = 4  # the Message Broker tries that long (seed 001); keys must be remembered longer
MASK = "********"
NGROK = "ngrok"  # as PUBLIC_URL: the address changes with every start of the agent, so it is asked for

# Published by the platform's client libraries (reference, section 4), anchored and with the class spelled plainly.
TOPIC_PATTERN = re.compile(r"mdsp\.[a-z0-9_-]+\.[a-z0-9_-]+\.v[0-9]+\.(pubsub|postbox)\.[a-z0-9_.-]+")
TOPIC_MAX_CHARS = 255
TENANT_PATTERN = re.compile(r"[a-z][a-z0-9]{1,7}")  # the platform's rule for tenant names
PATH_PATTERN = re.compile(r"[A-Za-z0-9._~/-]+")  # the gateway enforces RFC 3986 strictly

DEFAULT_TOPICS = (
    "mdsp.core.assetmanagement.v1.pubsub.aspecttype.ext.notification",
    "mdsp.core.assetmanagement.v1.pubsub.assettype.ext.notification",
    "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification",
    "mdsp.core.eventmanagement.v1.pubsub.eventnotification",
    "mdsp.core.timeseries.v1.pubsub.data.ingest",
)
DEFAULT_PROVISIONING_TOPIC = "mdsp.core.provisioning.v1.pubsub.application.ext.notification"


class Variable(NamedTuple):
    """One environment variable: what README, `settings` and the parser know about a field."""

    name: str
    help: str
    secret: bool = False
    parse: Callable[[str], Any] = str


def setting(name: str, default: Any, help: str, *, secret: bool = False, parse: Callable[[str], Any] = str) -> Any:
    """Declare a field: variable, default and meaning in one place."""
    variable = Variable(name, help, secret, parse)
    return dataclasses.field(default=default, repr=not secret, metadata={"variable": variable})


def words(text: str) -> tuple[str, ...]:
    """Comma separated words; blanks around them do not count."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number") from None


def at_least(minimum: int) -> Callable[[str], int]:
    """A parser of whole numbers that refuses those below ``minimum``."""

    def parse(text: str) -> int:
        value = whole_number(text)
        if value < minimum:
            raise ValueError(f"must be at least {minimum}")
        return value

    return parse


def port_number(text: str) -> int:
    value = whole_number(text)
    if not 0 < value < 65536:
        raise ValueError("must be between 1 and 65535")
    return value


def flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("must be 0 or 1")
    return text == "1"


def http_url(text: str) -> str:
    """An http(s) address without a trailing slash."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("must be an http:// or https:// address")
    return text.rstrip("/")


def public_address(text: str) -> str:
    """An http(s) address, or the word that stands for "ask the tunnel's agent"."""
    return text if text == NGROK else http_url(text)


def json_pointer(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("must be a JSON pointer, for example /provisioning/action")
    return text


@dataclass(frozen=True, kw_only=True)
class MindSphereSettings:
    """The MindSphere / Insights Hub side; exists only when application credentials are set."""

    region: str = setting("MDSP_REGION", "eu1", "region of the platform")
    domain: str = setting("MDSP_DOMAIN", "mindsphere.io", "domain of the platform")
    gateway_url: str = setting(
        "MDSP_GATEWAY_URL",
        "https://gateway.{region}.{domain}",
        "base of all platform APIs",
        parse=http_url,
    )
    piam_url: str = setting(
        "MDSP_PIAM_URL",
        "https://{tenant}.piam.{region}.{domain}",
        "identity server of a zone; issuer is it + /oauth/token, keys are it + /token_keys",
        parse=http_url,
    )
    client_id: str = setting(
        "MDSP_KEY_STORE_CLIENT_ID", "", "application credentials, Read and Write; absent = MindSphere off"
    )
    client_secret: str = setting("MDSP_KEY_STORE_CLIENT_SECRET", "", "secret of the same", secret=True)
    app: str = setting("MDSP_OS_VM_APP_NAME", "", "application name as registered, verbatim")
    version: str = setting("MDSP_OS_VM_APP_VERSION", "", "application version as registered, with its v")
    host_tenant: str = setting(
        "MDSP_HOST_TENANT", "", "tenant that hosts the application; derived from the client id if empty"
    )
    topics: tuple[str, ...] = setting(
        "MDSP_TOPICS",
        DEFAULT_TOPICS,
        "topics subscribed in every tenant, comma separated",
        parse=words,
    )
    required_scopes: tuple[str, ...] = setting(
        "MDSP_REQUIRED_SCOPES", ("{app}.notify",), "scopes that a delivery's token must all hold", parse=words
    )
    issuer_zones: tuple[str, ...] = setting(
        "MDSP_ISSUER_ZONES", ("core", "{host}"), "zones whose tokens may deliver", parse=words
    )
    trusted_tenants: tuple[str, ...] = setting(
        "MDSP_TRUSTED_TENANTS",
        ("core", "{host}"),
        "`ten` values that may deliver for any tenant",
        parse=words,
    )
    allowed_callers: tuple[str, ...] = setting(
        "MDSP_ALLOWED_CALLERS", (), "client ids that may deliver; empty = any but our own", parse=words
    )
    provisioning_topic: str = setting(
        "MDSP_PROVISIONING_TOPIC", DEFAULT_PROVISIONING_TOPIC, "topic that tells of provisioned tenants"
    )
    provisioning_tenant: str = setting(
        "MDSP_PROVISIONING_TENANT",
        "/provisioning/userTenant",
        "JSON pointer to the tenant in its notifications",
        parse=json_pointer,
    )
    provisioning_action: str = setting(
        "MDSP_PROVISIONING_ACTION",
        "/provisioning/action",
        "JSON pointer to the action in its notifications",
        parse=json_pointer,
    )
    uri_template: str = setting(
        "MDSP_URI_TEMPLATE",
        "{gateway}/api/{app}-{host}/{major}/{endpoint}",
        "webhook address given to the broker; also {version}, {public}",
    )
    broker_path: str = setting(
        "MDSP_BROKER_PATH", "/api/messagebroker/v4", "path of the Message Broker below the gateway"
    )
    tenant_poll_seconds: int = setting(
        "MDSP_TENANT_POLL_SECONDS", 900, "how often the list of user tenants is read", parse=at_least(10)
    )

    def issuer(self, zone: str) -> str:
        """The `iss` of tokens from that zone."""
        return self.piam_url.replace("{tenant}", zone) + "/oauth/token"

    def keys_url(self, zone: str) -> str:
        """Where the keys of that zone are published. Never taken from a token."""
        return self.piam_url.replace("{tenant}", zone) + "/token_keys"

    @property
    def major(self) -> str:
        """The first part of the version, as gateway addresses carry it: ``v1`` of ``v1.4.2``."""
        return self.version.split(".", 1)[0]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything the service can be told."""

    database_url: str = setting("DATABASE_URL", "sqlite:///var/subscriber.db", "where the inbox lives", secret=True)
    allow_ephemeral_sqlite: bool = setting(
        "ALLOW_EPHEMERAL_SQLITE", False, "1 = accept SQLite on Cloud Foundry's vanishing disk", parse=flag
    )
    host: str = setting("HOST", "127.0.0.1", "address to listen on (0.0.0.0 on Cloud Foundry)")
    port: int = setting("PORT", 8080, "port to listen on", parse=port_number)
    tls_cert_file: str = setting("TLS_CERT_FILE", "", "certificate chain for direct HTTPS (PEM)")
    tls_key_file: str = setting("TLS_KEY_FILE", "", "its private key (PEM)")
    max_body_bytes: int = setting(
        "MAX_BODY_BYTES", 10_485_760, "largest delivery accepted; larger, chunked too: 413", parse=at_least(1)
    )
    handlers: str = setting(
        "HANDLERS", "subscriber.handlers:routes", "import path of the routing table, or of a function of it"
    )
    forward_url: str = setting(
        "FORWARD_URL", "", "sink: each notification is posted there as a CloudEvent", parse=http_url
    )
    forward_secret: str = setting(
        "FORWARD_SECRET", "", "signs forwarded notifications (Standard Webhooks)", secret=True
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
    mindsphere: MindSphereSettings | None = None
    origins: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def horizon_days(self) -> int:
        """How long a key is remembered: longer than any platform may still send its notification again."""
        return BROKER_RETENTION_DAYS + self.horizon_margin_days

    @property
    def tls(self) -> bool:
        return bool(self.tls_cert_file)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read, resolve and check. Raises ``SettingsError`` with every problem found."""
        problems: list[str] = []
        origins: dict[str, str] = {}
        own = _read(cls, environ, origins, problems)
        if "VCAP_APPLICATION" in environ and origins["HOST"] == "default":
            own["host"], origins["HOST"] = "0.0.0.0", "Cloud Foundry"
        mindsphere, warnings = _read_mindsphere(environ, origins, problems)
        settings = cls(**own, mindsphere=mindsphere, origins=origins, warnings=tuple(warnings))
        problems += settings._contradictions(environ)
        if problems:
            raise SettingsError(problems)
        return settings

    def _contradictions(self, environ: Mapping[str, str]) -> list[str]:
        """Values that are fine alone and wrong together."""
        found = []
        if not self.database_url.startswith("sqlite:///"):
            found.append("DATABASE_URL must be sqlite:///path")
        elif "VCAP_APPLICATION" in environ and not self.allow_ephemeral_sqlite:
            found.append(
                "DATABASE_URL is SQLite, but Cloud Foundry's disk vanishes at every restart: bind a database, "
                "or set ALLOW_EPHEMERAL_SQLITE=1 to try things out"
            )
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            found.append("TLS_CERT_FILE and TLS_KEY_FILE go together: set both or none")
        if self.retry_max_seconds < self.retry_base_seconds:
            found.append("RETRY_MAX_SECONDS must not be below RETRY_BASE_SECONDS")
        if self.dead_retention_days < self.horizon_days:
            found.append(
                f"DEAD_RETENTION_DAYS must be at least {self.horizon_days}: forgetting a key while the platform "
                "may still send it again would handle it twice"
            )
        if self.mindsphere and "{public}" in self.mindsphere.uri_template and not self.public_url:
            found.append("MDSP_URI_TEMPLATE uses {public}: set PUBLIC_URL, to an address or to ngrok")
        if self.forward_secret and not self.forward_url:
            found.append("FORWARD_SECRET is set, but FORWARD_URL is not")
        return found

    def table(self) -> list[tuple[str, str, str, str]]:
        """(variable, value as shown, origin, meaning) of every setting; secrets masked."""
        rows = []
        groups = [self] if self.mindsphere is None else [self, self.mindsphere]
        for group in groups:
            for name, variable in declared(type(group)).items():
                value = getattr(group, name)
                rows.append((variable.name, _shown(value, variable), self.origins[variable.name], variable.help))
        return rows


def declared(kind: type) -> dict[str, Variable]:
    """Field name → variable, in the order of declaration."""
    fields = dataclasses.fields(kind)
    return {field.name: field.metadata["variable"] for field in fields if "variable" in field.metadata}


def default_of(kind: type, field_name: str) -> Any:
    """The declared default of a field, before anything is resolved."""
    return next(field.default for field in dataclasses.fields(kind) if field.name == field_name)


def _shown(value: Any, variable: Variable) -> str:
    if variable.secret:
        return MASK if value else ""
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return str(int(value))
    return str(value)


def _read(kind: type, environ: Mapping[str, str], origins: dict[str, str], problems: list[str]) -> dict[str, Any]:
    """The fields of ``kind`` as keyword arguments. An empty variable counts as absent."""
    values = {}
    for name, variable in declared(kind).items():
        text = environ.get(variable.name, "").strip()
        origins[variable.name] = "environment" if text else "default"
        values[name] = default_of(kind, name)
        if not text:
            continue
        try:
            values[name] = variable.parse(text)
        except ValueError as error:
            shown = "its value" if variable.secret else json.dumps(text)
            problems.append(f"{variable.name}: {shown} is not usable: {error}")
    return values


def _read_mindsphere(
    environ: Mapping[str, str], origins: dict[str, str], problems: list[str]
) -> tuple[MindSphereSettings | None, list[str]]:
    values = _read(MindSphereSettings, environ, origins, problems)
    if not values["client_id"]:
        if values["client_secret"]:
            problems.append("MDSP_KEY_STORE_CLIENT_SECRET is set, but MDSP_KEY_STORE_CLIENT_ID is not")
        return None, []
    for name in ("client_secret", "app", "version"):
        if not values[name]:
            problems.append(f"{declared(MindSphereSettings)[name].name} is needed beside MDSP_KEY_STORE_CLIENT_ID")
    values["host_tenant"] = _host_tenant(values, origins, problems)
    _resolve(values)
    problems += _mindsphere_problems(values)
    warnings = []
    if values["version"] and not values["version"].startswith("v"):
        warnings.append(
            f"MDSP_OS_VM_APP_VERSION is {values['version']!r}: API applications are registered with a leading v; "
            "use the registered string verbatim"
        )
    return MindSphereSettings(**values), warnings


def _host_tenant(values: dict[str, Any], origins: dict[str, str], problems: list[str]) -> str:
    """The hosting tenant. Client ids read `{host}-{app}-{version}`, so it survives a handover unattended."""
    said = str(values["host_tenant"])
    suffix = f"-{values['app']}-{values['version']}"
    derived = values["client_id"].removesuffix(suffix) if values["client_id"].endswith(suffix) else ""
    if said and derived and said != derived:
        problems.append(
            f"MDSP_HOST_TENANT is {said!r}, but the credentials belong to {derived!r}: after a handover the "
            "operator's credentials come with the operator's tenant; remove MDSP_HOST_TENANT"
        )
    if not said and derived:
        origins["MDSP_HOST_TENANT"] = "derived from MDSP_KEY_STORE_CLIENT_ID"
    if not said and not derived:
        problems.append(
            "MDSP_HOST_TENANT cannot be derived: MDSP_KEY_STORE_CLIENT_ID does not end with "
            f"{suffix!r}; check name and version, or set MDSP_HOST_TENANT"
        )
    return said or derived


def _resolve(values: dict[str, Any]) -> None:
    """Fill the places that name another setting. `{tenant}` of the identity server stays open."""
    region, domain = values["region"], values["domain"]
    for name in ("gateway_url", "piam_url"):
        values[name] = values[name].replace("{region}", region).replace("{domain}", domain)
    for name in ("required_scopes", "issuer_zones", "trusted_tenants"):
        values[name] = tuple(
            word.replace("{app}", values["app"]).replace("{host}", values["host_tenant"]) for word in values[name]
        )


def _mindsphere_problems(values: dict[str, Any]) -> list[str]:
    found = []
    for topic in (*values["topics"], values["provisioning_topic"]):
        if len(topic) > TOPIC_MAX_CHARS or not TOPIC_PATTERN.fullmatch(topic):
            found.append(
                f"topic {topic!r} breaks the naming convention mdsp.core.<publisher>.v<n>.<pubsub|postbox>.<name>"
            )
    if values["host_tenant"] and not TENANT_PATTERN.fullmatch(values["host_tenant"]):
        found.append(f"host tenant {values['host_tenant']!r} is not a tenant name (2-8 of a-z, 0-9)")
    if not PATH_PATTERN.fullmatch(values["broker_path"]) or not values["broker_path"].startswith("/"):
        found.append("MDSP_BROKER_PATH must be a path such as /api/messagebroker/v4")
    if "{tenant}" not in values["piam_url"]:
        found.append("MDSP_PIAM_URL must contain {tenant}: each zone has its own issuer")
    found += _template_problems(values["uri_template"])
    for name in ("required_scopes", "issuer_zones", "trusted_tenants"):
        if not values[name]:
            found.append(f"{declared(MindSphereSettings)[name].name} must not be empty")
    return found


def _template_problems(template: str) -> list[str]:
    known = {"gateway", "app", "host", "major", "version", "endpoint", "public"}
    unknown = set(re.findall(r"\{(\w*)\}", template)) - known
    found = [f"MDSP_URI_TEMPLATE: {{{name}}} is not a known place" for name in sorted(unknown)]
    if "{endpoint}" not in template:
        found.append("MDSP_URI_TEMPLATE must contain {endpoint}")
    return found
