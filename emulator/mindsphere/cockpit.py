"""MindSphere's own control verbs: what its cockpits and its publishers do on the real platform."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from emulator.control import ControlError, Fields, Verb
from emulator.knobs import Panel
from emulator.mindsphere.platform import MindSphere
from emulator.mindsphere.publisher import Context, Order
from emulator.mindsphere.registry import (
    CUSTOM,
    READ_WRITE,
    SEED_HOST,
    Application,
    RegistryError,
    new_application,
)
from emulator.mindsphere.topics import MAX_EVENTS, WINDOWED, full_name, valid

MAX_MESSAGES = 2_000_000  # in one call
MAX_FACTS = 200_000  # in one call: a window is published in one go
MAX_TOKEN_LIFETIME_S = 86_400
PAGE_LIMIT = 5_000


class Cockpit:
    """``nudge`` tells the timekeeper that something new is planned."""

    def __init__(self, platform: MindSphere, panel: Panel, nudge: Callable[[], None]) -> None:
        self._platform = platform
        self._panel = panel
        self._nudge = nudge

    def verbs(self) -> dict[tuple[str, str], Verb]:
        return {
            ("POST", "/publish"): self.publish,
            ("POST", "/facts"): self.facts,
            ("GET", "/tenants"): self.tenants,
            ("POST", "/provision"): self.provision,
            ("POST", "/deprovision"): self.deprovision,
            ("GET", "/applications"): self.applications,
            ("POST", "/applications"): self.register,
            ("GET", "/service-credentials"): self.service_credentials,
            ("GET", "/subscriptions"): self.subscriptions,
            ("GET", "/calls"): self.calls,
            ("POST", "/rotate-keys"): self.rotate_keys,
            ("POST", "/tokens"): self.mint,
        }

    # publishing

    async def publish(self, fields: Fields) -> Mapping[str, object]:
        """Messages at once; the answer comes when they are committed."""
        order = self._order(fields)
        if order.messages > MAX_MESSAGES:
            raise ControlError(f"at most {MAX_MESSAGES} messages in one call")
        summary = await self._platform.publisher.publish(order)
        return {"messages": summary.messages, "published": summary.published}

    def _order(self, fields: Fields) -> Order:
        body = _body(fields)
        return Order(
            contexts=self._contexts(fields),
            topics=[self._topic(word) for word in fields.words("topic") or ["asset"]],
            count=fields.whole("count", 1, low=1, high=MAX_MESSAGES),
            items=fields.whole("items", 1, low=1, high=MAX_EVENTS),
            body=body,
            message_id=fields.text("message_id") if "message_id" in fields else None,
            duplicate=fields.number("duplicate", self._panel.now.duplicate_prob, high=1),
            reorder=fields.number("reorder", self._panel.now.reorder_prob, high=1),
        )

    def _contexts(self, fields: Fields) -> list[Context]:
        """One message per tenant, each in its own context; or one message in a context of several."""
        if "context" in fields:
            return [tuple(fields.words("context"))]
        tenants = fields.words("tenant") + fields.words("tenants")
        for tenant in tenants:
            if self._platform.registry.kind(tenant) is None:
                raise ControlError(f"there is no tenant {tenant[:40]!r}")
        return [(tenant,) for tenant in tenants or self._everybody()]

    def _everybody(self) -> list[str]:
        application = self._platform.registry.default_application()
        return [application.host, *self._platform.registry.user_tenants(application)]

    def _topic(self, word: str) -> str:
        topic = full_name(word)
        if not valid(topic, strict=self._panel.now.topic_strict):
            raise ControlError(f"not a topic: {word[:80]!r}")
        return topic

    async def facts(self, fields: Fields) -> Mapping[str, object]:
        """Events, or data that arrived: published together when the window closes."""
        topics = [self._topic(word) for word in fields.words("topic") or ["eventnotification"]]
        if not WINDOWED.issuperset(topics):
            raise ControlError("windows exist for eventnotification and timeseries")
        count, due_at = fields.whole("count", 1, low=1, high=MAX_FACTS), 0.0
        for context in self._contexts(fields):
            for topic in topics:
                due_at = self._platform.publisher.collect(context[0], topic, count)
        self._nudge()
        return {"window_closes_at": due_at}

    # tenants and applications

    async def tenants(self, fields: Fields) -> Mapping[str, object]:
        application = self._platform.registry.default_application()
        return {"host": application.host, "user_tenants": self._platform.registry.user_tenants(application)}

    async def provision(self, fields: Fields) -> Mapping[str, object]:
        """``quiet`` leaves out the notice on the provisioning topic."""
        application = self._application(fields)
        try:
            news = self._platform.provision(_tenants(fields), application=application)
        except RegistryError as error:
            raise ControlError(str(error)) from error
        if not fields.flag("quiet"):
            self._platform.publisher.announce("PROVISIONED", application, news)
        return {"provisioned": len(news), "unchanged": len(set(_tenants(fields))) - len(news)}

    async def deprovision(self, fields: Fields) -> Mapping[str, object]:
        application = self._application(fields)
        gone = self._platform.deprovision(_tenants(fields), application=application)
        if not fields.flag("quiet"):
            self._platform.publisher.announce("DEPROVISIONED", application, gone)
        return {"deprovisioned": len(gone), "unchanged": len(set(_tenants(fields))) - len(gone)}

    def _application(self, fields: Fields) -> Application:
        try:
            return self._platform.hosted_by(fields.text("host", SEED_HOST))
        except RegistryError as error:
            raise ControlError(str(error)) from error

    async def applications(self, fields: Fields) -> Mapping[str, object]:
        return {"applications": [_application_json(entry) for entry in self._platform.registry.applications()]}

    async def register(self, fields: Fields) -> Mapping[str, object]:
        """A new version, or changed settings of a known one; members left out stay as they are."""
        registry = self._platform.registry
        default = registry.default_application()
        name, host = fields.text("name", default.name), fields.text("host", default.host)
        version = fields.text("version", default.version)
        known = registry.application(f"{host}-{name}-{version}")
        try:
            application = known or new_application(name, version, host)
            self._platform.hosted_by(host)
        except RegistryError as error:
            raise ControlError(str(error)) from error
        changed = _changed(application, fields)
        registry.register(changed)
        return {**_application_json(changed), "client_secret": changed.secret}

    async def service_credentials(self, fields: Fields) -> Mapping[str, object]:
        """A tenant's classic credentials: the wrong kind for the Message Broker."""
        account = self._platform.registry.service_account(fields.text("tenant", SEED_HOST))
        if account is None:
            raise ControlError("that tenant has no service credentials")
        return {"client_id": account.client_id, "client_secret": account.secret}

    async def subscriptions(self, fields: Fields) -> Mapping[str, object]:
        """A listing the platform does not have, in pages."""
        limit = fields.whole("limit", 1000, low=1, high=PAGE_LIMIT)
        page = self._platform.subscriptions.page(fields.whole("after", 0, high=2**53), limit)
        items = [{"number": entry.id, **entry.key._asdict(), "uri": entry.uri} for entry in page]
        return {"items": items, "next": items[-1]["number"] if len(items) == limit else None}

    async def calls(self, fields: Fields) -> Mapping[str, object]:
        """How often the Message Broker was called, by method and status; counted in memory."""
        found: dict[str, dict[str, int]] = {}
        for (method, status), count in sorted(self._platform.broker.calls.items()):
            found.setdefault(method, {})[str(status)] = count
        return {"calls": found}

    # keys and tokens

    async def rotate_keys(self, fields: Fields) -> Mapping[str, object]:
        """Of the named zone, else of every zone that has keys."""
        zones = fields.words("zone") or self._platform.keys.zones() or ["core"]
        for zone in zones:
            if not self._platform.registry.zone_exists(zone):
                raise ControlError(f"there is no zone {zone[:40]!r}")
        return {"signing": {zone: self._platform.keys.rotate(zone) for zone in zones}}

    async def mint(self, fields: Fields) -> Mapping[str, object]:
        """Any token of this platform, e.g. a person's: ``user_name`` makes it one."""
        zone = fields.text("zone", "core")
        if not self._platform.registry.zone_exists(zone):
            raise ControlError(f"there is no zone {zone[:40]!r}")
        client = fields.text("client_id", "cockpit")
        claims: dict[str, object] = {
            "sub": client,
            "client_id": client,
            "cid": client,
            "azp": client,
            "scope": fields.words("scopes"),
            "ten": fields.text("tenant", SEED_HOST),
        }
        if "user_name" in fields:
            name = fields.text("user_name")
            claims |= {"user_name": name, "user_id": name, "email": name, "grant_type": "authorization_code"}
        lifetime = fields.whole("lifetime_s", 1800, low=1, high=MAX_TOKEN_LIFETIME_S)
        return {"access_token": self._platform.tokens.mint(zone, claims, lifetime)}


def _tenants(fields: Fields) -> list[str]:
    tenants = fields.words("tenants") + fields.words("tenant")
    if not tenants:
        raise ControlError("tenants are missing")
    return tenants


def _body(fields: Fields) -> bytes | None:
    """``body`` as text or JSON, or ``body_base64`` for bytes that are neither."""
    if "body_base64" in fields:
        try:
            return base64.b64decode(fields.text("body_base64"), validate=True)
        except (ValueError, binascii.Error) as error:
            raise ControlError("body_base64 is not base64") from error
    if "body" not in fields:
        return None
    body = fields.raw("body")
    return (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))).encode()


def _changed(application: Application, fields: Fields) -> Application:
    kind = fields.text("credential_kind", application.credential_kind)
    if kind not in (READ_WRITE, CUSTOM):
        raise ControlError(f"credential_kind is {READ_WRITE} or {CUSTOM}")
    return replace(
        application,
        broker_scopes=_listed(fields, "broker_scopes", application.broker_scopes),
        scopes=_listed(fields, "scopes", application.scopes),
        endpoints=_listed(fields, "endpoints", application.endpoints),
        direct_url=fields.text("direct_url", application.direct_url),
        credential_kind=kind,
    )


def _listed(fields: Fields, name: str, current: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(fields.words(name)) if name in fields else current


def _application_json(application: Application) -> dict[str, object]:
    return {
        "client_id": application.client_id,
        "name": application.name,
        "version": application.version,
        "host": application.host,
        "scopes": list(application.scopes),
        "broker_scopes": list(application.broker_scopes),
        "endpoints": list(application.endpoints),
        "direct_url": application.direct_url,
        "credential_kind": application.credential_kind,
    }
