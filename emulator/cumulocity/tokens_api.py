"""``/notification2/token`` and ``/notification2/unsubscribe``.

Core OpenAPI specification, Tokens; verifying one is in the vendor's Java client only. Documents write unsubscribing
with and without a slash at the end, so both are served; that it asks for the role is assumed.
"""

from __future__ import annotations

from aiohttp import web

from emulator.cumulocity.access import Access
from emulator.cumulocity.directory import NOTIFICATION_ROLE, User
from emulator.cumulocity.endpoint import available, check_sharing
from emulator.cumulocity.errors import (
    Handler,
    Refused,
    forbidden,
    guarded,
    read_object,
    unprocessable,
    wrong_verb,
)
from emulator.cumulocity.members import ERRORS, flag, named
from emulator.cumulocity.messaging import Messaging, UnknownConsumer
from emulator.cumulocity.rules import Rules
from emulator.cumulocity.tokens import (
    NAMESPACE,
    NOTIFICATION,
    TYPE_FORM,
    BadToken,
    Grant,
    NotificationTokens,
    grant_of,
)
from emulator.faults import Faults
from emulator.knobs import Panel

DEFAULT_MINUTES, MAX_MINUTES = 1440, 10_000_000


class TokensApi:
    """Every call asks for the role of Notification 2.0, but verifying, which asks for a caller only."""

    def __init__(
        self,
        access: Access,
        rules: Rules,
        tokens: NotificationTokens,
        messaging: Messaging,
        faults: Faults,
        panel: Panel,
    ) -> None:
        self._access = access
        self._rules = rules
        self._tokens = tokens
        self._messaging = messaging
        self._faults = faults
        self._panel = panel

    def routes(self, base: str) -> list[web.RouteDef]:
        calls: list[tuple[str, str, Handler]] = [
            ("POST", "/token", self.create),
            ("GET", "/token", self.verify),
            ("POST", "/unsubscribe", self.unsubscribe),
            ("POST", "/unsubscribe/", self.unsubscribe),
            *(("*", path, wrong_verb) for path in ("/token", "/unsubscribe", "/unsubscribe/")),
        ]
        return [web.route(verb, f"{base}/notification2{path}", guarded(call)) for verb, path, call in calls]

    def _caller(self, request: web.Request) -> User:
        available(self._panel, self._faults)
        return self._access.caller(request, NOTIFICATION_ROLE)

    async def create(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request)
        members = await read_object(request)
        kind = members.get("type") or NOTIFICATION
        if not isinstance(kind, str) or not TYPE_FORM.fullmatch(kind):
            raise unprocessable(ERRORS, "type is a word")
        grant = Grant(
            tenant=caller.tenant,
            namespace=NAMESPACE if kind == NOTIFICATION else kind,
            subscription=named(members.get("subscription"), "subscription"),
            subscriber=named(members.get("subscriber"), "subscriber"),
            shared=flag(members, "shared", False),
            volatile=flag(members, "nonPersistent", False),
        )
        check_sharing(self._panel, self._rules, grant)
        token = self._tokens.mint(grant, _minutes(members), signed=flag(members, "signed", True))
        if self._panel.now.n2_consumer_created_by == "token":
            self._messaging.topics.make(grant)
        return web.json_response({"token": token})

    async def verify(self, request: web.Request) -> web.StreamResponse:
        """The claims; 422 for a token that is none of ours or over (assumed)."""
        self._access.caller(request)
        try:
            return web.json_response(self._tokens.claims(request.query.get("token", "")))
        except BadToken as error:
            raise unprocessable(ERRORS, "the token is not valid") from error

    async def unsubscribe(self, request: web.Request) -> web.StreamResponse:
        """End the consumer a token names, expired or not. For one that is no more the platform fails (observed)."""
        caller = self._caller(request)
        try:
            grant = grant_of(self._tokens.claims(request.query.get("token", ""), expired_too=True))
        except BadToken as error:
            raise unprocessable(ERRORS, "the token is not valid") from error
        if grant.tenant != caller.tenant:
            raise forbidden()
        try:
            self._messaging.unsubscribe(grant)
        except UnknownConsumer as error:
            status = int(self._panel.now.n2_unsubscribe_missing)
            if status != 200:
                raise Refused(status, f"{ERRORS}/Error", "topic or subscriber not found") from error
        return web.json_response({"result": "DONE"})


def _minutes(members: dict[str, object]) -> int:
    value = members.get("expiresInMinutes")
    value = DEFAULT_MINUTES if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= MAX_MINUTES:
        raise unprocessable(ERRORS, "expiresInMinutes is a number of minutes from 1")
    return int(value)
