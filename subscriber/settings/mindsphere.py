"""The MindSphere / Insights Hub side of the settings: read, resolved and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from subscriber.settings.declaring import declared, read, setting
from subscriber.settings.parsers import at_least, http_url, json_pointer, words

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


def read_mindsphere(
    environ: Mapping[str, str], origins: dict[str, str], problems: list[str]
) -> tuple[MindSphereSettings | None, list[str]]:
    """The settings, None where no credentials are set, and warnings; ``problems`` and ``origins`` are added to."""
    values = read(MindSphereSettings, environ, origins, problems)
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
