"""The Message Broker's API: subscriptions, and publishing to postbox topics.

Follows "Receiving MindSphere Notifications" and the Message Broker samples and specification; both published base
paths (v4, v5) lead to one store. The tenant context is taken from the token and from nowhere else. Documents
disagree whether PUT or POST creates, so both do, and either can be refused by a knob.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable

from aiohttp import web

from emulator.faults import Faults
from emulator.identity import Claims
from emulator.journal import Journal
from emulator.knobs import Panel
from emulator.ledger import Ledger
from emulator.mindsphere import topics
from emulator.mindsphere.access import Access, broker_scopes
from emulator.mindsphere.addresses import Addresses
from emulator.mindsphere.errors import Handler, PlatformError, guarded, parse_object, read_body, wrong_verb
from emulator.mindsphere.gateway import Gateway
from emulator.mindsphere.publisher import Order, Publisher, wire_body
from emulator.mindsphere.registry import READ_WRITE, Application, Registry
from emulator.mindsphere.subscriptions import Key, Subscription, Subscriptions
from emulator.mindsphere.tokenmanager import fail_if_struck

LOG = logging.getLogger("emulator")
BODY_LIMIT = 1_048_576
NAME_FORM = re.compile(r"[A-Za-z0-9._~-]{1,64}")
URI_CHARS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,2048}")  # RFC 3986, bounded


class Broker:
    """``…/api/messagebroker/v4`` and ``v5``."""

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        registry: Registry,
        subscriptions: Subscriptions,
        publisher: Publisher,
        gateway: Gateway,
        access: Access,
        addresses: Addresses,
        faults: Faults,
        panel: Panel,
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._registry = registry
        self._subscriptions = subscriptions
        self._publisher = publisher
        self._gateway = gateway
        self._access = access
        self._addresses = addresses
        self._faults = faults
        self._panel = panel
        self.on_dropped: Callable[[int], None] = lambda subscription: None
        self.calls: Counter[tuple[str, int]] = Counter()  # by method and status, since the start or the last reset

    def routes(self) -> list[web.RouteDef]:
        subscription = "subscribers/{id}/versions/{version}/topics/{topic}"
        calls: list[tuple[str, str, Handler]] = [
            ("PUT", subscription, self.put),
            ("POST", subscription, self.put),
            ("GET", subscription, self.get),
            ("DELETE", subscription, self.delete),
            ("*", subscription, wrong_verb),
            ("POST", "topics/{topic}/sendmessage", self.send_message),
            ("*", "topics/{topic}/sendmessage", wrong_verb),
        ]
        return [
            web.route(method, f"{base}/api/messagebroker/{{api:v[45]}}/{path}", self._counted(guarded(handler)))
            for base in ("", "/gateway")
            for method, path, handler in calls
        ]

    def _counted(self, handler: Handler) -> Handler:
        """Rehearsals ask how often an application called, not only what came of it."""

        async def count(request: web.Request) -> web.StreamResponse:
            response = await handler(request)
            self.calls[request.method, response.status] += 1
            return response

        return count

    async def put(self, request: web.Request) -> web.StreamResponse:
        """Create (201) or change (200) a subscription; the answer repeats the body."""
        knobs = self._panel.now
        if not (knobs.mb_accept_put if request.method == "PUT" else knobs.mb_accept_post):
            raise PlatformError("methodNotAllowed", f"{request.method} is not allowed here")
        caller = self._caller(request, "write")
        key = self._key(request, caller)
        body = parse_object(await read_body(request, BODY_LIMIT))
        uri = self._registered_uri(body.get("uri"))
        self._check_topic_known(key.topic)
        new = self._subscriptions.get(key) is None
        if new and knobs.max_subscriptions and self._subscriptions.count(key.tenant) >= knobs.max_subscriptions:
            raise PlatformError("forbidden", f"the tenant has {knobs.max_subscriptions} subscriptions already")
        self._subscriptions.put(key, uri)
        return web.json_response({"uri": uri}, status=201 if new else 200)

    async def get(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request, "read")
        return web.json_response({"uri": self._existing(self._key(request, caller)).uri})

    async def delete(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request, "delete")
        self.remove(self._existing(self._key(request, caller)))
        return web.Response(status=204)

    def remove(self, subscription: Subscription) -> None:
        """Delete it, and by default what is pending for it."""
        with self._journal.transaction():
            self._subscriptions.delete(subscription)
            if self._panel.now.delete_drops_pending:
                self._ledger.drop(subscription.id)
                self.on_dropped(subscription.id)

    async def send_message(self, request: web.Request) -> web.StreamResponse:
        """Publish ``content`` in the caller's tenant context. Its place in the delivered body is assumed."""
        caller = self._caller(request, "send")
        topic = self._topic(request)
        if not topics.is_postbox(topic):
            raise PlatformError("invalidParameter", "applications publish to postbox topics only")
        body = parse_object(await read_body(request, BODY_LIMIT))
        if "content" not in body:
            raise PlatformError("invalidRequestBodyProperty", "content is missing")
        context = (caller.tenant,)
        message = wire_body(topic, context, {"content": body["content"]})
        await self._publisher.publish(Order(contexts=[context], topics=[topic], body=message))
        return web.Response(status=201)

    # checks, in the order a caller meets them

    def _caller(self, request: web.Request, operation: str) -> Claims:
        fail_if_struck(self._faults)
        caller = self._access.caller(request)
        application = self._registry.application(caller.client_id)
        if application is None or application.credential_kind != READ_WRITE:
            raise PlatformError("forbidden", "only tokens of Read and Write application credentials are accepted")
        scope = broker_scopes(self._panel).get(operation)
        if scope and scope not in caller.scopes:
            raise PlatformError("forbidden", f"the token lacks {scope}")
        if not self._registry.may_act_for(application, caller.tenant):
            raise PlatformError("forbidden", f"the application is not provisioned to {caller.tenant}")
        return caller

    def _topic(self, request: web.Request) -> str:
        topic = request.match_info["topic"]
        if not topics.valid(topic, strict=self._panel.now.topic_strict):
            raise PlatformError("invalidParameter", "the topic does not follow the naming convention")
        return topic

    def _key(self, request: web.Request, caller: Claims) -> Key:
        id, version = request.match_info["id"], request.match_info["version"]
        if not NAME_FORM.fullmatch(id) or not NAME_FORM.fullmatch(version):
            raise PlatformError("invalidParameter", "subscriber name or version has characters it cannot have")
        topic = self._topic(request)
        if self._panel.now.mb_bind_client and not _is(self._registry.application(caller.client_id), id, version):
            raise PlatformError("forbidden", "this subscriber is not the caller's application and version")
        return Key(caller.tenant, topic, id, version)

    def _existing(self, key: Key) -> Subscription:
        subscription = self._subscriptions.get(key)
        if subscription is None:
            raise PlatformError("noMatch", "no such subscription")
        return subscription

    def _check_topic_known(self, topic: str) -> None:
        known = topic in topics.TOPICS.values() or topics.is_postbox(topic)
        if known:
            return
        if self._panel.now.mb_unknown_topic == "404":
            raise PlatformError("noMatch", "no such topic")
        LOG.warning("action=unknown_topic_accepted topic=%s", topic)

    def _registered_uri(self, uri: object) -> str:
        """A gateway address of a registered application's endpoint, else 400."""
        if not isinstance(uri, str) or not URI_CHARS.fullmatch(uri):
            raise PlatformError("invalidRequestBodyProperty", "uri must be a URI")
        http_allowed = self._panel.now.uri_allow_http_loopback and self._addresses.loopback
        if not uri.startswith("https://") and not (uri.startswith("http://") and http_allowed):
            raise PlatformError("invalidRequestBodyProperty", "uri must be an https URI")
        path = self._addresses.gateway_path(uri)
        if path is None or self._gateway.resolve(path) is None:
            raise PlatformError(
                "invalidRequestBodyProperty",
                "uri must be the gateway URI of a registered application's endpoint",
            )
        return uri


def _is(application: Application | None, name: str, version: str) -> bool:
    return application is not None and (application.name, application.version) == (name, version)
