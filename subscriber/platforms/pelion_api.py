"""Pelion Device Management's REST calls, and how its answers read: channels, subscriptions, the account.

Pure: no I/O, no clock. Follows the public API contract of Device Management (April 2020), sections on notifications,
subscriptions and accounts, and "Setting a notification channel". All calls are made with the application's access key
as bearer, which whoever sends them adds: neither requests nor errors here hold one.

The platform's words and ours: CALLBACK and WEB_SOCKET, its delivery mechanisms, are the modes ``callback`` and
``websocket`` here; what it calls a presubscription is a rule. A registration always asks for every flag of the
serialization: an id and a time on each item make most of deduplication exact. A callback's registration is replaced
by the next; a WebSocket's is not, so another program's flags stay until that channel is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

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
from subscriber.platforms.pelion.rules import CALLBACK, WEBSOCKET, Presubscription

MECHANISMS = {"CALLBACK": CALLBACK, "WEB_SOCKET": WEBSOCKET}  # others (LONG_POLLING) keep the platform's own word
FLAGS = ("include_uid", "include_timestamp", "include_original_ep", "deregistrations_as_object")
SERIALIZATION = {"type": "v2", "cfg": dict.fromkeys(FLAGS, True)}
SENT = (True, "true")  # the contract's examples quote booleans, its clients do not
NOTIFICATION = "/v2/notification"
CONNECT_PATH = f"{NOTIFICATION}/websocket-connect"
SUBSCRIPTIONS = "/v2/subscriptions"
PROTOCOL, KEY_PREFIX = "wss", "pelion_"  # subprotocols of a WebSocket; the second one carries the key


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A callback as the platform has it. ``complete``: with every flag of the serialization."""

    url: str
    headers: Mapping[str, str] = field(repr=False)  # hold the secret
    complete: bool


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A WebSocket channel that stands. ``created``: it did not before. ``complete``: as above."""

    created: bool
    complete: bool


@dataclass(frozen=True, slots=True)
class Account:
    """Whose application a key is. ``tier`` is empty where the platform does not say."""

    id: str
    tier: str


def bearer(key: str) -> str:
    """The value of the header ``Authorization``."""
    return f"Bearer {key}"


def protocols(key: str) -> tuple[str, str]:
    """The subprotocols that present the key where no header ``Authorization`` can be sent."""
    return PROTOCOL, KEY_PREFIX + key


# Channels.


def channel_request() -> ApiRequest:
    """Which kind of channel the application has."""
    return _get(f"{NOTIFICATION}/channel")


def read_channel(status: int, body: bytes) -> str:
    """Its mode, or the platform's own word for a kind that is none of ours; empty if there is none."""
    if status == 404:
        return ""
    mechanism = _object(status, body, "channel").get("delivery_mechanism")
    if not isinstance(mechanism, str) or not mechanism:
        raise unreadable("channel")
    return MECHANISMS.get(mechanism, one_line(mechanism))


def callback_request(url: str, headers: Mapping[str, str]) -> ApiRequest:
    """Register a callback, or replace the one that is there. The platform calls ``url`` before it answers."""
    body = {"url": url, "headers": dict(headers), "serialization": SERIALIZATION}
    return _put(f"{NOTIFICATION}/callback", body)


def read_registered(status: int, body: bytes) -> None:
    """Returns if the callback is registered (204)."""
    if status not in (200, 201, 204):
        raise _refusal("callback", status, body, UNVERIFIED)


def registration_request() -> ApiRequest:
    """The callback as it is registered."""
    return _get(f"{NOTIFICATION}/callback")


def read_registration(status: int, body: bytes) -> Registration | None:
    """None if there is no callback."""
    if status == 404:
        return None
    document = _object(status, body, "callback")
    url, headers = document.get("url"), document.get("headers") or {}
    if not isinstance(url, str) or not isinstance(headers, dict):
        raise unreadable("callback")
    named = {str(name): str(value) for name, value in headers.items()}
    return Registration(url=url, headers=named, complete=_complete(document))


def websocket_request() -> ApiRequest:
    """Register a WebSocket channel; nothing happens to one that is there."""
    return _put(f"{NOTIFICATION}/websocket", {"serialization": SERIALIZATION})


def enrolled_request() -> ApiRequest:
    """The WebSocket channel as it stands; 404 if there is none."""
    return _get(f"{NOTIFICATION}/websocket")


def read_enrolled(status: int, body: bytes) -> Enrolled:
    """What the registration found: 201 a new channel, 200 one that was there, with the flags of then."""
    if status == 400:
        raise _refusal("WebSocket channel", status, body, OTHER_KIND)
    document = _object(status, body, "WebSocket channel")
    return Enrolled(created=status == 201, complete=status == 201 or _complete(document))


def delete_request(mode: str) -> ApiRequest:
    """Delete the channel of this mode, with all that waits in it."""
    return _bodiless("DELETE", f"{NOTIFICATION}/{mode}")


def read_deleted(status: int, body: bytes) -> None:
    """Returns if it is gone (204, or 404: it was gone before)."""
    if status not in (200, 204, 404):
        raise _refusal("channel", status, body)


def _complete(document: Mapping[str, Any]) -> bool:
    asked = document.get("serialization")
    flags = asked.get("cfg") if isinstance(asked, dict) else None
    return isinstance(flags, dict) and all(flags.get(name) in SENT for name in FLAGS)


# Subscriptions.


def rules_request() -> ApiRequest:
    """All presubscriptions of the application."""
    return _get(SUBSCRIPTIONS)


def read_rules(status: int, body: bytes) -> tuple[Presubscription, ...]:
    """In the platform's order, those of other programs with the same key included."""
    if status != 200:
        raise _refusal("presubscriptions", status, body)
    entries = parsed(body, "presubscriptions")
    if not isinstance(entries, list):
        raise unreadable("presubscriptions")
    return tuple(_rule(entry) for entry in entries)


def _rule(entry: object) -> Presubscription:
    if not isinstance(entry, dict):
        raise unreadable("presubscriptions")
    paths = entry.get("resource-path") or []
    if not isinstance(paths, list):
        raise unreadable("presubscriptions")
    return Presubscription(
        endpoint_name=str(entry.get("endpoint-name") or ""),
        endpoint_type=str(entry.get("endpoint-type") or ""),
        resource_paths=tuple(map(str, paths)),
    )


def put_rules_request(rules: Iterable[Presubscription]) -> ApiRequest:
    """Replace all presubscriptions by these."""
    return _put(SUBSCRIPTIONS, rules_document(rules))


def rules_document(rules: Iterable[Presubscription]) -> list[dict[str, Any]]:
    """Rules as the platform writes them: what is empty is left out, and then means everything."""
    found = []
    for rule in rules:
        members = {
            "endpoint-name": rule.endpoint_name,
            "endpoint-type": rule.endpoint_type,
            "resource-path": list(rule.resource_paths),
        }
        found.append({name: value for name, value in members.items() if value})
    return found


def read_put(status: int, body: bytes) -> None:
    """Returns if the presubscriptions are replaced (204)."""
    if status not in (200, 204):
        raise _refusal("presubscriptions", status, body, RULES_INVALID)


def subscribe_request(ep: str, path: str) -> ApiRequest:
    """Observe a resource, an instance or an object of a device."""
    return _bodiless("PUT", _resource(ep, path))


def read_subscribed(status: int, body: bytes) -> None:
    """Returns if it is observed (200) or will be (202: the channel brings the device's answer)."""
    if status not in (200, 202, 204):
        raise _refusal("subscription", status, body, NOT_OBSERVABLE)


def unsubscribe_request(ep: str, path: str) -> ApiRequest:
    """Observe it no longer."""
    return _bodiless("DELETE", _resource(ep, path))


def read_unsubscribed(status: int, body: bytes) -> None:
    """Returns if it is not observed (204, or 404: it was not before)."""
    if status not in (200, 204, 404):
        raise _refusal("subscription", status, body)


def observed_request(ep: str) -> ApiRequest:
    """What the application observes of a device."""
    return ApiRequest(method="GET", path=f"{SUBSCRIPTIONS}/{quote(ep, safe='')}", headers={}, body=None)


def read_observed(status: int, body: bytes) -> frozenset[str]:
    """Paths; none for a device that nobody observes, or that is unknown."""
    if status == 404:
        return frozenset()
    if status != 200:
        raise _refusal("subscriptions of a device", status, body)
    return frozenset(line.strip() for line in body.decode("utf-8", "replace").splitlines() if line.strip())


def _resource(ep: str, path: str) -> str:
    return f"{SUBSCRIPTIONS}/{quote(ep, safe='')}{quote(path, safe='/')}"


# The account, and anything else.


def account_request() -> ApiRequest:
    """The account of the key's application."""
    return _get("/v3/accounts/me")


def read_account(status: int, body: bytes) -> Account:
    """Its id and tier: 0 is the free one, 1 a commercial account."""
    document = _object(status, body, "account")
    id, tier = document.get("id"), document.get("tier")
    if not isinstance(id, str) or not id:
        raise unreadable("account")
    return Account(one_line(id), one_line(str(tier)) if isinstance(tier, str | int) else "")


def state_request(path: str, params: Params) -> ApiRequest:
    """Read anything of the account. Raises ``ValueError`` for a path that leads elsewhere."""
    return read_request(path, params)


def read_state(status: int, body: bytes, path: str) -> Any:
    """The parsed answer, None if it is empty (204). Raises ``PlatformRefused``, ``PlatformUnavailable``."""
    if status == 204:
        return None
    if status != 200:
        raise _refusal(f"GET {path}", status, body)
    return parsed(body, f"GET {path}")


KEY_REFUSED = "key_refused"  # reason: nothing can be done with this key before a person has acted
DEVICE_AWAY = "device_away"  # reason: the device is not connected, and told so by a status that means our platform
CHANNEL_KIND = "channel_kind"  # reason: the application has a channel of another kind
REFUSALS = {
    401: (KEY_REFUSED, "the access key is not valid, or not any more: is it the whole key, and was it revoked?"),
    403: (KEY_REFUSED, "this is no access key of an application, but a person's token or a key without this right"),
    404: ("state_missing", "it does not exist for this key's account, or not any more"),
}
UNVERIFIED = {
    400: (
        "callback_unverified",
        "Device Management called the address and got no 200: the service has to run, be reachable from the internet "
        "over https without a login or a redirect, and present a certificate that everybody trusts. Where that "
        "cannot be, use the mode websocket",
    ),
}
OTHER_KIND = {
    400: (
        CHANNEL_KIND,
        "the application has a channel of another kind, and may have one only. Whoever owns that one has to delete "
        "it, what waits in it is lost then; or give this service an application of its own",
    ),
}
RULES_INVALID = {
    400: ("rules_invalid", "a rule is not accepted: too many of them or of their paths, or a name that is too long"),
}
NOT_OBSERVABLE = {
    400: ("not_observable", "the path is not accepted for this device"),
    404: ("device_unknown", "no device of this id is registered in the account, or it has no such resource"),
}
UNLISTED = ("platform_refused", "an answer the documentation does not list")


def device_away(ep: str) -> PlatformRefused:
    """The service cannot reach the device (502), which a subscription needs."""
    detail = f"device {ep} is not connected: it is subscribed again when it registers"
    return PlatformRefused(detail, reason=DEVICE_AWAY, upstream_status=502)


def other_kind(kind: str) -> PlatformRefused:
    """The application has a channel of this kind, which is not the configured one."""
    reason, cause = OTHER_KIND[400]
    return PlatformRefused(f"there is a channel of the kind {kind}; {cause}", reason=reason, upstream_status=400)


def _refusal(
    who: str, status: int, body: bytes, more: Mapping[int, tuple[str, str]] | None = None
) -> PlatformRefused:
    reason, cause = {**REFUSALS, **(more or {})}.get(status, UNLISTED)
    return refused(who, status, error_text(body), reason, cause)


def error_text(body: bytes) -> str:
    """The message of the platform's error object on one line, or the bare word it says instead."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body[:64].decode("ascii", "replace").strip()
        return text if text.replace("_", "").isalpha() else ""
    found = document.get("message") if isinstance(document, dict) else None
    return one_line(found) if isinstance(found, str) else ""


def _object(status: int, body: bytes, who: str) -> dict[str, Any]:
    if status not in (200, 201):
        raise _refusal(who, status, body)
    return parsed_object(body or b"{}", who)


def _get(path: str) -> ApiRequest:
    return ApiRequest(method="GET", path=path, headers=JSON, body=None)


def _bodiless(method: str, path: str) -> ApiRequest:
    return ApiRequest(method=method, path=path, headers=JSON, body=None)


def _put(path: str, body: object) -> ApiRequest:
    headers = {**JSON, "Content-Type": "application/json"}
    return ApiRequest(method="PUT", path=path, headers=headers, body=orjson.dumps(body))
