"""``/notification2/subscriptions``: rules made, listed and deleted; there is no way to change one.

Core OpenAPI specification, Subscriptions. What a refused body is told is assumed.
"""

from __future__ import annotations

from aiohttp import web

from emulator.clock import Clock
from emulator.cumulocity.access import Access
from emulator.cumulocity.directory import NOTIFICATION_ROLE, User
from emulator.cumulocity.endpoint import available
from emulator.cumulocity.errors import (
    Handler,
    Refused,
    answer,
    guarded,
    not_found,
    read_object,
    unprocessable,
    wrong_verb,
)
from emulator.cumulocity.filters import FilterError, apis_of, types_of
from emulator.cumulocity.inventory import Inventory
from emulator.cumulocity.members import ERRORS, flag, named, words
from emulator.cumulocity.paging import collection
from emulator.cumulocity.rules import MO, TENANT, Duplicate, Rule, Rules
from emulator.faults import Faults
from emulator.knobs import Panel

FILTER_LIMIT = 2000  # characters of a typeFilter; none is published
QUERY = {"context": "context", "source": "source", "subscription": "name", "typeFilter": "type_filter"}


class SubscriptionsApi:
    """Every call asks for the role of Notification 2.0."""

    def __init__(
        self, access: Access, inventory: Inventory, rules: Rules, clock: Clock, faults: Faults, panel: Panel
    ) -> None:
        self._access = access
        self._inventory = inventory
        self._rules = rules
        self._clock = clock
        self._faults = faults
        self._panel = panel

    def routes(self, base: str) -> list[web.RouteDef]:
        calls: list[tuple[str, str, Handler]] = [
            ("GET", "", self.links),
            ("POST", "/subscriptions", self.create),
            ("GET", "/subscriptions", self.select),
            ("DELETE", "/subscriptions", self.delete_several),
            ("*", "/subscriptions", wrong_verb),
            ("GET", "/subscriptions/{id}", self.get),
            ("DELETE", "/subscriptions/{id}", self.delete),
            ("*", "/subscriptions/{id}", wrong_verb),
        ]
        return [web.route(verb, f"{base}/notification2{path}", guarded(call)) for verb, path, call in calls]

    def _caller(self, request: web.Request) -> User:
        available(self._panel, self._faults)
        return self._access.caller(request, NOTIFICATION_ROLE)

    async def links(self, request: web.Request) -> web.StreamResponse:
        self._caller(request)
        self_link = f"{_base(request)}/notification2"
        listing = f"{self_link}/subscriptions"
        return answer(
            {
                "self": self_link,
                "notificationSubscriptions": {"self": listing, "subscriptions": None},
                "notificationSubscriptionsBySource": f"{listing}?source={{source}}",
                "notificationSubscriptionsByContext": f"{listing}?context={{context}}",
                "notificationSubscriptionsBySourceAndContext": f"{listing}?source={{source}}&context={{context}}",
            },
            "notificationapi",
        )

    async def create(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request)
        rule = self._rule(caller.tenant, await read_object(request))
        if rule.source and self._inventory.find(caller.tenant, rule.source) is None:
            raise not_found("inventory", "Finding device data from database failed")
        try:
            return self._shown(request, self._rules.add(rule), 201)
        except Duplicate as error:
            raise Refused(409, f"{ERRORS}/Duplicate", _duplicate_text(rule)) from error

    def _rule(self, tenant: str, members: dict[str, object]) -> Rule:
        context, name = members.get("context"), members.get("subscription")
        if context not in (MO, TENANT):
            raise unprocessable(ERRORS, "context is mo or tenant")
        source = _source(members)
        if (context == MO) != bool(source):
            raise unprocessable(ERRORS, "source.id is required in the context mo, and in no other")
        filter, chosen = _filter(members)
        copied = words(members.get("fragmentsToCopy"), "fragmentsToCopy")
        try:
            apis = apis_of(str(context), chosen, tenant_measurements=self._panel.now.n2_tenant_measurements)
            types = None if filter is None else types_of(filter)
        except FilterError as error:
            raise unprocessable(ERRORS, str(error)) from error
        return Rule(
            id="",
            tenant=tenant,
            context=str(context),
            name=named(name, "subscription"),
            source=source,
            volatile=flag(members, "nonPersistent", False),
            apis=apis,
            types=types,
            fragments=frozenset(copied or ()),
            named_apis=chosen,
            type_filter=filter,
            copied=copied,
            made_at=self._clock.now(),
        )

    def _shown(self, request: web.Request, rule: Rule, status: int = 200) -> web.Response:
        return answer(self._json(request, rule), "subscription", status)

    def _json(self, request: web.Request, rule: Rule) -> dict[str, object]:
        device = self._inventory.find(rule.tenant, rule.source) if rule.source else None
        return rule.as_json(_base(request), str(device.get("name", "")) if device else "")

    async def select(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request)
        given = {member: request.query[name] for name, member in QUERY.items() if request.query.get(name)}
        found = (
            self._json(request, rule)
            for rule in self._rules.all(caller.tenant)
            if all(getattr(rule, member) == value for member, value in given.items())
        )
        return answer(collection(request, "subscriptions", found), "subscriptioncollection")

    async def get(self, request: web.Request) -> web.StreamResponse:
        return self._shown(request, self._known(request))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        self._rules.remove([self._known(request)])
        return web.Response(status=204)

    def _known(self, request: web.Request) -> Rule:
        caller = self._caller(request)
        rule = self._rules.get(caller.tenant, request.match_info["id"])
        if rule is None:
            raise not_found(ERRORS, "Finding subscription from database failed")
        return rule

    async def delete_several(self, request: web.Request) -> web.StreamResponse:
        """All of a source, or of a tenant's context; whatever their names."""
        caller = self._caller(request)
        context, source = request.query.get("context"), request.query.get("source", "")
        if context not in (MO, TENANT, None) or (context is None and not source) or (context == MO and not source):
            raise unprocessable(ERRORS, "name the context tenant, or a source")
        at = self._rules.at(caller.tenant, context or MO, "" if context == TENANT else source)
        self._rules.remove(at)
        return web.Response(status=204)


def _base(request: web.Request) -> str:
    """The address the caller used, up to the interface."""
    return str(request.url.origin()) + request.path.partition("/notification2")[0]


def _duplicate_text(rule: Rule) -> str:
    where = f"source <'{rule.source}'>, context <'{rule.context}'> & subscription <'{rule.name}'>"
    return f"Subscription with {where} already exists!"


def _source(members: dict[str, object]) -> str:
    source = members.get("source")
    if source is None:
        return ""
    if not isinstance(source, dict) or not isinstance(source.get("id"), str | int):
        raise unprocessable(ERRORS, "source.id names a managed object")
    return str(source["id"])


def _filter(members: dict[str, object]) -> tuple[str | None, tuple[str, ...] | None]:
    """``typeFilter`` and ``apis``; null is absent."""
    filter = members.get("subscriptionFilter")
    if filter is None:
        return None, None
    if not isinstance(filter, dict):
        raise unprocessable(ERRORS, "subscriptionFilter is an object")
    type_filter = filter.get("typeFilter")
    if type_filter is not None and (not isinstance(type_filter, str) or len(type_filter) > FILTER_LIMIT):
        raise unprocessable(ERRORS, "typeFilter is a text")
    return type_filter, words(filter.get("apis"), "apis")
