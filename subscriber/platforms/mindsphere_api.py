"""MindSphere / Insights Hub: the platform APIs we call. Builds requests, reads answers, names refusals.

Pure: no I/O, no clock, no setting. Follows the published pages of the Technical Token Manager v3 (one token, list of
user tenants), of the Message Broker v4 (subscriptions) and of the gateway's address scheme. Secrets and tokens go
into requests and nowhere else: no error text holds one, and an :class:`ApiRequest` does not show its headers.

The platform's words and ours: ``id`` of a subscription → subscriber, ``versionId`` → version, ``uri`` → the webhook
address, a token's ``ten`` → the tenant that a call speaks for.
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64decode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson

from subscriber.errors import PlatformRefused
from subscriber.model import Params
from subscriber.platforms.api import ApiRequest, one_line, parsed, parsed_object, read_request, refused, unreadable

ENDPOINT = "notifications/mindsphere"  # our webhook's path, below whatever address reaches this service
TOKEN_MANAGER = "/api/technicaltokenmanager/v3"
PAGE_SIZE = 100  # the smaller of the two maxima that the documentation gives for one page (100 and 500)
TOKEN_CHARS = 65_536  # four times the header block that common servers accept: longer is no token
TOKEN_TEXT = re.compile(r"[A-Za-z0-9._~+/=-]+")  # RFC 6750, section 2.1: fit to stand in a header
TENANT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # wider than today's rule, the platform is moving
STATE_ROOT = "/api/"  # of everything that the gateway offers to applications

HOW_TO_RENEW = (
    "issue new ones for exactly this application and version in the cockpit (they expire after 365 days and at a "
    "handover; only Read and Write credentials work)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """This application as the platform knows it, with its credentials."""

    name: str
    version: str
    host_tenant: str
    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantPage:
    """One page of the user tenants. ``number`` counts from 0; totals are as this page says."""

    names: tuple[str, ...]
    number: int
    total_pages: int
    total_elements: int


@dataclass(frozen=True, slots=True)
class UnverifiedLifetime:
    """What a token says of itself, in seconds since 1970. Good for planning its renewal, never for trust."""

    issued_at: float | None
    expires_at: float


def webhook_uri(
    template: str, *, gateway: str, app: str, host: str, version: str, major: str, public: str = ""
) -> str:
    """The address that the broker shall deliver to. Places are filled once: values are never expanded again."""
    places = {
        "gateway": gateway,
        "app": app,
        "host": host,
        "version": version,
        "major": major,
        "endpoint": ENDPOINT,
        "public": public,
    }
    return re.sub(r"\{(\w+)\}", lambda place: places.get(place[1], place[0]), template)


def token_request(application: Application, user_tenant: str) -> ApiRequest:
    """Ask for a token that speaks for ``user_tenant`` (the host tenant itself included)."""
    credentials = f"{application.client_id}:{application.client_secret}".encode()
    body = {
        "appName": application.name,
        "appVersion": application.version,
        "hostTenant": application.host_tenant,
        "userTenant": user_tenant,
    }
    return ApiRequest(
        method="POST",
        path=f"{TOKEN_MANAGER}/oauth/token",
        headers={
            "X-SPACE-AUTH-KEY": "Basic " + b64encode(credentials).decode(),
            "Content-Type": "application/json",
            "Accept": "application/json",
        },
        body=orjson.dumps(body),
    )


def read_token(status: int, body: bytes, application: Application, user_tenant: str) -> str:
    """The access token. Raises ``PlatformRefused`` with the likely cause, ``PlatformUnavailable`` if unreadable."""
    if status != 200:
        reason, cause = _token_refusal(status, application, user_tenant)
        raise _refused(f"Token Manager, tenant {user_tenant}", status, body, reason, cause)
    token = parsed_object(body, "Token Manager").get("access_token")
    if not isinstance(token, str) or len(token) > TOKEN_CHARS or not TOKEN_TEXT.fullmatch(token):
        raise unreadable("Token Manager")
    return token


def _token_refusal(status: int, application: Application, user_tenant: str) -> tuple[str, str]:
    """Which status stands for which cause is not published; these are the causes the documentation knows of."""
    subject = f"{application.name} {application.version}"
    if status == 401:
        return "credentials_refused", f"wrong secret, or credentials revoked or expired: {HOW_TO_RENEW}"
    if status == 403 and user_tenant != application.host_tenant:
        return "tenant_refused", (
            f"{subject} is not provisioned to {user_tenant}, or host tenant {application.host_tenant} is a "
            "developer tenant, which gets no other tenant's tokens"
        )
    if status == 403:
        return "token_manager_refused", (
            f"Token Manager access is not granted to {subject} in the cockpit, or the credentials are of another "
            f"application or kind: {HOW_TO_RENEW}"
        )
    return "token_refused", "name, version or host tenant are not as registered in the cockpit"


def unverified_lifetime(token: str) -> UnverifiedLifetime | None:
    """``iat`` and ``exp`` of a JWT, read without any check; None if it names no usable ``exp``."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = orjson.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    if not isinstance(claims, dict):
        return None
    expires_at = _moment(claims.get("exp"))
    return None if expires_at is None else UnverifiedLifetime(_moment(claims.get("iat")), expires_at)


def _moment(value: object) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
    return float(value) if usable else None  # type: ignore[arg-type]


def user_tenants_request(page: int) -> ApiRequest:
    """One page of the tenants that this application is provisioned to. Needs the host tenant's token."""
    path = f"{TOKEN_MANAGER}/userTenants?page={page}&size={PAGE_SIZE}"
    return ApiRequest(method="GET", path=path, headers={"Accept": "application/json"}, body=None)


def read_user_tenants(status: int, body: bytes) -> TenantPage:
    """A page of the list. Raises ``PlatformRefused``, ``PlatformUnavailable`` if unreadable."""
    if status != 200:
        cause = f"the list is given only to the host tenant's token of Read and Write credentials: {HOW_TO_RENEW}"
        raise _refused("list of user tenants", status, body, "tenant_list_refused", cause)
    document = parsed_object(body, "list of user tenants")
    page = document.get("page")
    entries = document.get("userTenants")
    if not isinstance(page, dict) or not isinstance(entries, list):
        raise unreadable("list of user tenants")
    return TenantPage(
        names=tuple(_tenant_name(entry) for entry in entries),
        number=_count(page.get("number")),
        total_pages=_count(page.get("totalPages")),
        total_elements=_count(page.get("totalElements")),
    )


def _tenant_name(entry: object) -> str:
    name = entry.get("id") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not TENANT_NAME.fullmatch(name):
        raise unreadable("list of user tenants")
    return name


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise unreadable("list of user tenants")
    return value


def subscription_path(broker_path: str, application: Application, topic: str) -> str:
    """Where the broker keeps the subscription of a topic; whose it is, the token says."""
    subscriber, version, name = (quote(part, safe="") for part in (application.name, application.version, topic))
    return f"{broker_path.rstrip('/')}/subscribers/{subscriber}/versions/{version}/topics/{name}"


def subscribe_request(path: str, uri: str, verb: str = "PUT") -> ApiRequest:
    """Create or change a subscription; the same again changes nothing. ``verb`` POST is the older spelling."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    return ApiRequest(method=verb, path=path, headers=headers, body=orjson.dumps({"uri": uri}))


def read_subscribed(status: int, body: bytes) -> None:
    """Returns if the subscription holds (200, 201). Raises ``PlatformRefused`` with the likely cause."""
    if status not in (200, 201):
        raise _broker_refusal(status, body)


def lookup_request(path: str) -> ApiRequest:
    """Read one subscription."""
    return ApiRequest(method="GET", path=path, headers={"Accept": "application/json"}, body=None)


def read_lookup(status: int, body: bytes) -> str | None:
    """The subscription's address, None where there is none (404). Raises like :func:`read_subscribed`."""
    if status == 404:
        return None
    if status != 200:
        raise _broker_refusal(status, body)
    uri = parsed_object(body, "Message Broker").get("uri")
    if not isinstance(uri, str):
        raise unreadable("Message Broker")
    return uri


def unsubscribe_request(path: str) -> ApiRequest:
    """Delete one subscription."""
    return ApiRequest(method="DELETE", path=path, headers={"Accept": "application/json"}, body=None)


def read_unsubscribed(status: int, body: bytes) -> None:
    """Returns if the subscription is gone (204, or 404: it was gone before). Raises ``PlatformRefused``."""
    if status not in (200, 204, 404):
        raise _broker_refusal(status, body)


def state_request(path: str, params: Params) -> ApiRequest:
    """Read anything the platform's APIs offer: what a hint points to. ``path`` starts with /api/, without a query.

    Raises ``ValueError`` for a path that leads elsewhere: parts of it often come from a notification, so it must not
    climb (``..``), reach another host or bring its own query. A list as parameter value repeats the parameter.
    """
    return read_request(path, params, STATE_ROOT)


def read_state(status: int, body: bytes, path: str) -> Any:
    """The parsed answer, None if it is empty (204). Raises ``PlatformRefused``, ``PlatformUnavailable``."""
    if status == 204:
        return None
    if status not in (200, 206):
        reason, cause = STATE_REFUSALS.get(status, ("platform_refused", "see the documentation of this API"))
        raise _refused(f"GET {path}", status, body, reason, cause)
    return parsed(body, f"GET {path}")


STATE_REFUSALS = {
    401: ("credentials_refused", f"the token is not accepted: {HOW_TO_RENEW}"),
    403: ("state_refused", "the application's token may not read this: which scopes does the API want?"),
    404: ("state_missing", "it does not exist in this tenant, or not any more"),
}

BROKER_REFUSALS = {
    400: ("subscription_invalid", "topic or webhook address is not accepted: is the endpoint a registered one?"),
    401: ("credentials_refused", f"the token is not accepted: {HOW_TO_RENEW}"),
    403: (
        "broker_refused",
        "only tokens of Read and Write credentials of exactly this application and version are accepted, and the "
        "tenant must have the Message Broker",
    ),
    404: ("topic_unknown", "the broker does not know this topic, or not under this path"),
    405: ("verb_refused", "neither PUT nor POST is accepted: check the broker's path"),
}


def _broker_refusal(status: int, body: bytes) -> PlatformRefused:
    reason, cause = BROKER_REFUSALS.get(status, ("platform_refused", "an answer the documentation does not list"))
    return _refused("Message Broker", status, body, reason, cause)


def error_text(body: bytes) -> str:
    """Code and message of the platform's error envelope on one line; empty if the body is none."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    errors = document.get("errors") if isinstance(document, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return ""
    words = [first[name] for name in ("code", "message") if isinstance(first.get(name), str)]
    return one_line(": ".join(words))


def _refused(who: str, status: int, body: bytes, reason: str, cause: str) -> PlatformRefused:
    return refused(who, status, error_text(body), reason, cause)
