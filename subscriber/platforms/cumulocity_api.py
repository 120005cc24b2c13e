"""Cumulocity: the platform APIs we call. Builds requests, reads answers, names refusals.

Pure: no I/O, no clock, no setting. Follows the core OpenAPI specification (Notification 2.0: subscriptions and
tokens; the current application's subscriptions) and "Microservice SDK, general aspects". Passwords and tokens go into
requests and nowhere else: no error text holds one, and an :class:`ApiRequest` does not show its headers.

The platform's words and ours: a stored subscription is a :class:`Rule` here, since it forwards one source's messages
and says nothing about who reads; ``subscription``, its name, is the channel; ``subscriber`` names the consumer. There
is no changing a rule: it is deleted and made again.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from subscriber.errors import PlatformRefused
from subscriber.model import Params
from subscriber.platforms.api import (
    JSON,
    ApiRequest,
    one_line,
    parsed,
    parsed_object,
    read_request,
    refused,
    unreadable,
)

MO, TENANT = "mo", "tenant"  # contexts: one managed object, everything of a tenant
ANY = "*"
ROLE = "ROLE_NOTIFICATION_2_ADMIN"
SUBSCRIPTIONS = "/notification2/subscriptions"
PAGE_SIZE = 1_000  # half the documented maximum: with 2,000 rules an answer may pass what the transport reads
TENANT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
TOKEN_TEXT = re.compile(r"[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]*")  # a JWT, signed or not
TOKEN_CHARS = 65_536
LITERAL = re.compile(r"(?:type eq )?'((?:[^']|'')*)'")

HOW_TO_GRANT = (
    f"{ROLE} is missing: list it in the manifest's requiredRoles, or give the user permission type Notification 2 "
    "with level ADMIN"
)
NO_SERVICE = (
    "the messaging service seems to be disabled: it is on by default from release 10.13 (dedicated and self-hosted "
    "instances: from 10.11, once enabled)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUser:
    """Who speaks for this application in one tenant."""

    tenant: str
    name: str  # without the tenant
    password: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """HTTP Basic, with the tenant before the name."""
        return "Basic " + b64encode(f"{self.tenant}/{self.name}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What one subscription of the platform forwards. Sorted tuples, so that equal rules are equal values."""

    name: str
    source: str = ""  # id of a managed object; empty: context tenant
    apis: tuple[str, ...] = ()  # empty: all
    types: tuple[str, ...] = ()  # empty: all
    fragments: tuple[str, ...] = ()  # custom fragments that are kept; empty: messages are left as they are
    non_persistent: bool = False

    @property
    def context(self) -> str:
        return MO if self.source else TENANT

    @property
    def place(self) -> tuple[str, str, bool]:
        """What the platform tells rules apart by; that persistence belongs to it is not documented."""
        return self.name, self.source, self.non_persistent


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule the platform has."""

    id: str
    rule: Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Which consumer a token is for, and what the token shall be."""

    subscription: str
    subscriber: str
    shared: bool = False
    non_persistent: bool = False
    expires_in_minutes: int = 1440
    type: str = "notification"
    signed: bool = True


def type_filter_of(types: Sequence[str]) -> str:
    """``'a' or 'b'``; empty without types."""
    return " or ".join("'" + one.replace("'", "''") + "'" for one in types)


def types_of(type_filter: str) -> tuple[str, ...]:
    """The types that a filter lets through: a bare word, or quoted ones joined by ``or``.

    Raises ``ValueError`` for anything else: only ``or`` is supported. A quote within quotes is doubled (assumed).
    """
    if "'" not in type_filter:
        bare = type_filter.removeprefix("type eq ").strip()
        if not bare or re.search(r"\s(or|and|not|eq)\s", bare) or not bare.isprintable():
            raise ValueError("must be one type, or several in single quotes joined by or")
        return (bare,)
    found, at = [], 0
    while True:
        literal = LITERAL.match(type_filter, at)
        if literal is None or not literal[1]:
            raise ValueError("must be one type, or several in single quotes joined by or")
        found.append(literal[1].replace("''", "'"))
        if literal.end() == len(type_filter):
            return tuple(sorted(set(found)))
        at = literal.end() + len(" or ")
        if type_filter[literal.end() : at] != " or ":
            raise ValueError("must join types in single quotes by or, and by nothing else")


def tenants_request() -> ApiRequest:
    """Who has subscribed to the application. Needs the bootstrap user."""
    path = "/application/currentApplication/subscriptions"
    return ApiRequest(method="GET", path=path, headers=JSON, body=None)


def read_tenants(status: int, body: bytes) -> tuple[ServiceUser, ...]:
    """The service user of each tenant. Raises ``PlatformRefused``, ``PlatformUnavailable`` if unreadable."""
    who = "list of subscribed tenants"
    if status != 200:
        cause = "it is given to the application's bootstrap user alone: check C8Y_BOOTSTRAP_TENANT, _USER, _PASSWORD"
        raise _refused(who, status, body, "credentials_refused" if status == 401 else "tenant_list_refused", cause)
    users = parsed_object(body, who).get("users")
    if not isinstance(users, list):
        raise unreadable(who)
    return tuple(_service_user(entry, who) for entry in users)


def _service_user(entry: object, who: str) -> ServiceUser:
    members = [entry.get(name) for name in ("tenant", "name", "password")] if isinstance(entry, dict) else []
    texts = [member for member in members if isinstance(member, str) and member]
    if len(texts) != 3 or not TENANT_NAME.fullmatch(texts[0]) or ":" in texts[1]:
        raise unreadable(who)
    return ServiceUser(tenant=texts[0], name=texts[1], password=texts[2])


def create_request(rule: Rule) -> ApiRequest:
    """Make a rule. The same again is answered 409."""
    body: dict[str, object] = {"context": rule.context, "subscription": rule.name}
    if rule.source:
        body["source"] = {"id": rule.source}
    chosen: dict[str, object] = {}
    if rule.apis:
        chosen["apis"] = rule.apis
    if rule.types:
        chosen["typeFilter"] = rule.types[0] if _plain(rule.types) else type_filter_of(rule.types)
    if chosen:
        body["subscriptionFilter"] = chosen
    if rule.fragments:
        body["fragmentsToCopy"] = rule.fragments
    if rule.non_persistent:
        body["nonPersistent"] = True
    return _post(SUBSCRIPTIONS, body)


def _plain(types: tuple[str, ...]) -> bool:
    return len(types) == 1 and re.fullmatch(r"\w+", types[0]) is not None


def read_created(status: int, body: bytes) -> bool:
    """True if it was made, False if there is one of this name, context and source (409). Raises as below."""
    if status in (200, 201):
        return True
    if status == 409:
        return False
    raise _refusal("subscription", RULE_REFUSALS, status, body)


def list_request(page: int, *, name: str = "", context: str = "", source: str = "") -> ApiRequest:
    """One page of the tenant's rules, from 1; parameters that are empty do not filter."""
    wanted = {"subscription": name, "context": context, "source": source}
    query = {parameter: value for parameter, value in wanted.items() if value}
    path = f"{SUBSCRIPTIONS}?{urlencode({**query, 'currentPage': page, 'pageSize': PAGE_SIZE})}"
    return ApiRequest(method="GET", path=path, headers=JSON, body=None)


def read_list(status: int, body: bytes) -> list[StoredRule]:
    """The rules of a page; past the last page there are none. Raises as below."""
    if status != 200:
        raise _refusal("list of subscriptions", RULE_REFUSALS, status, body)
    entries = parsed_object(body, "list of subscriptions").get("subscriptions")
    if not isinstance(entries, list):
        raise unreadable("list of subscriptions")
    return [_stored(entry) for entry in entries]


def _stored(entry: object) -> StoredRule:
    """Half of a filter may be null, and a type filter we cannot read equals no filter of ours."""
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str | int):
        raise unreadable("list of subscriptions")
    chosen = entry.get("subscriptionFilter")
    chosen = chosen if isinstance(chosen, dict) else {}
    source = entry.get("source")
    about_one = entry.get("context") == MO and isinstance(source, dict)
    rule = Rule(
        name=str(entry.get("subscription")),
        source=str(source.get("id")) if about_one and isinstance(source, dict) else "",
        apis=api_names(_words(chosen.get("apis"))),
        types=_types(chosen.get("typeFilter")),
        fragments=tuple(sorted(_words(entry.get("fragmentsToCopy")))),
        non_persistent=entry.get("nonPersistent") is True,
    )
    return StoredRule(str(entry["id"]), rule)


def api_names(names: Sequence[str]) -> tuple[str, ...]:
    """As rules hold them: each once, sorted; all of them is none."""
    return () if ANY in names else tuple(sorted(set(names)))


def _words(value: object) -> list[str]:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def _types(value: object) -> tuple[str, ...]:
    if not isinstance(value, str) or not value:
        return ()
    try:
        return types_of(value)
    except ValueError:
        return (value,)


def delete_request(id: str) -> ApiRequest:
    """Delete a rule by the platform's id."""
    return ApiRequest(method="DELETE", path=f"{SUBSCRIPTIONS}/{quote(id, safe='')}", headers=JSON, body=None)


def read_deleted(status: int, body: bytes) -> None:
    """Returns if it is gone (204, or 404: it was gone before). Raises as below."""
    if status not in (200, 204, 404):
        raise _refusal("subscription", RULE_REFUSALS, status, body)


def probe_request() -> ApiRequest:
    """Asks for nothing but the answer: credentials, role and service show in its status."""
    return ApiRequest(method="GET", path=f"{SUBSCRIPTIONS}?pageSize=1", headers=JSON, body=None)


def token_request(grant: Grant) -> ApiRequest:
    """Ask for a token. Tokens of one consumer are interchangeable, so asking again is harmless."""
    body = {
        "subscription": grant.subscription,
        "subscriber": grant.subscriber,
        "expiresInMinutes": grant.expires_in_minutes,
        "type": grant.type,
        "signed": grant.signed,
        "shared": grant.shared,
        "nonPersistent": grant.non_persistent,
    }
    return _post("/notification2/token", body)


def read_token(status: int, body: bytes) -> str:
    """The token. Raises as below."""
    if status != 200:
        raise _refusal("token", TOKEN_REFUSALS, status, body)
    token = parsed_object(body, "token").get("token")
    if not isinstance(token, str) or len(token) > TOKEN_CHARS or not TOKEN_TEXT.fullmatch(token):
        raise unreadable("token")
    return token


def unsubscribe_request(token: str) -> ApiRequest:
    """Remove the consumer that a token is for, with what the platform keeps for it."""
    path = f"/notification2/unsubscribe?{urlencode({'token': token})}"
    return ApiRequest(method="POST", path=path, headers={**JSON, "Content-Type": "application/json"}, body=b"{}")


def read_unsubscribed(status: int, body: bytes) -> None:
    """Returns if it is gone or will be (200 DONE, 200 SCHEDULED, 404). Raises as below.

    For a consumer that is no more the platform answers 500, which the transport tells.
    """
    if status not in (200, 204, 404):
        raise _refusal("unsubscribing", TOKEN_REFUSALS, status, body)


def state_request(path: str, params: Params) -> ApiRequest:
    """Read anything of a tenant. Raises ``ValueError`` for a path that leads elsewhere."""
    return read_request(path, params)


def read_state(status: int, body: bytes, path: str) -> Any:
    """The parsed answer, None if it is empty (204). Raises ``PlatformRefused``, ``PlatformUnavailable``."""
    if status == 204:
        return None
    if status not in (200, 206):
        raise _refusal(f"GET {path}", STATE_REFUSALS, status, body)
    return parsed(body, f"GET {path}")


CREDENTIALS = (
    "credentials_refused",
    "the service user's name or password is not accepted: was the password changed, or the application taken from "
    "the tenant?",
)
ROLE_MISSING = ("role_missing", HOW_TO_GRANT)
SERVICE_DISABLED = ("messaging_disabled", NO_SERVICE)
RULE_REFUSALS = {
    401: CREDENTIALS,
    403: ROLE_MISSING,
    404: SERVICE_DISABLED,
    422: (
        "subscription_invalid",
        "name, filter or source is not accepted: older releases take no measurements or operations of a whole tenant",
    ),
}
TOKEN_REFUSALS = {
    401: CREDENTIALS,
    403: ROLE_MISSING,
    404: SERVICE_DISABLED,
    422: (
        "token_invalid",
        "names or options are not accepted: shared tokens exist from release 10.16, and some releases give them only "
        "for subscriptions of the context mo",
    ),
}
STATE_REFUSALS = {
    401: CREDENTIALS,
    403: ("state_refused", "the service user may not read this: which role does the API want in requiredRoles?"),
    404: ("state_missing", "it does not exist in this tenant, or not any more"),
}
SOURCE_UNKNOWN = ("source_unknown", "the tenant has no managed object of this id, or not any more")
UNLISTED = ("platform_refused", "an answer the documentation does not list")


def _post(path: str, body: dict[str, object]) -> ApiRequest:
    headers = {**JSON, "Content-Type": "application/json"}
    return ApiRequest(method="POST", path=path, headers=headers, body=orjson.dumps(body))


def _refusal(who: str, causes: dict[int, tuple[str, str]], status: int, body: bytes) -> PlatformRefused:
    """A 404 for a missing device differs from that of a missing service by its words alone."""
    reason, cause = causes.get(status, UNLISTED)
    if status == 404 and causes is RULE_REFUSALS and error_text(body).startswith("inventory/"):
        reason, cause = SOURCE_UNKNOWN
    return _refused(who, status, body, reason, cause)


def _refused(who: str, status: int, body: bytes, reason: str, cause: str) -> PlatformRefused:
    return refused(who, status, error_text(body), reason, cause)


def error_text(body: bytes) -> str:
    """Error and message of the platform's envelope on one line; empty if the body is none."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(document, dict):
        return ""
    words = [document[name] for name in ("error", "message") if isinstance(document.get(name), str)]
    return one_line(": ".join(words))
