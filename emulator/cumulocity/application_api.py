"""Who am I, and whose application: users, tenants, and the microservice's bootstrap addresses.

"Microservice SDK, general aspects", and the core OpenAPI specification: with bootstrap credentials a microservice
asks for the service users of the tenants that subscribed to it; the application's owner may read those credentials.
"""

from __future__ import annotations

from aiohttp import web

from emulator.cumulocity.access import Access
from emulator.cumulocity.directory import (
    APPLICATION,
    APPLICATION_ID,
    APPLICATION_ROLE,
    BOOTSTRAP,
    OWNER,
    SERVICE_ROLES,
    Directory,
)
from emulator.cumulocity.errors import Handler, answer, forbidden, guarded, not_found, wrong_verb


class ApplicationApi:
    """``/application/…``, ``/user/currentUser`` and ``/tenant/currentTenant``."""

    def __init__(self, access: Access, directory: Directory) -> None:
        self._access = access
        self._directory = directory

    def routes(self, base: str) -> list[web.RouteDef]:
        calls: list[tuple[str, Handler]] = [
            ("/application/currentApplication", self.current),
            ("/application/currentApplication/subscriptions", self.subscriptions),
            ("/application/applications/{id}/bootstrapUser", self.bootstrap_user),
            ("/user/currentUser", self.user),
            ("/tenant/currentTenant", self.tenant),
        ]
        found = [web.get(base + path, guarded(call)) for path, call in calls]
        return [*found, *(web.route("*", base + path, guarded(wrong_verb)) for path, _ in calls)]

    async def current(self, request: web.Request) -> web.StreamResponse:
        self._bootstrap(request)
        document = {
            "id": APPLICATION_ID,
            "name": APPLICATION,
            "key": f"{APPLICATION}-key",
            "type": "MICROSERVICE",
            "owner": {"tenant": {"id": OWNER}},
            "requiredRoles": sorted(SERVICE_ROLES),
        }
        return answer(document, "application")

    async def subscriptions(self, request: web.Request) -> web.StreamResponse:
        """The service users of every subscribed tenant, passwords included."""
        self._bootstrap(request)
        users = [
            {"tenant": user.tenant, "name": user.name, "password": user.password}
            for user in self._directory.service_users()
        ]
        return answer({"users": users}, "applicationusercollection")

    def _bootstrap(self, request: web.Request) -> None:
        """Only the application itself may ask about the application it is."""
        if self._access.caller(request).name != BOOTSTRAP:
            raise forbidden()

    async def bootstrap_user(self, request: web.Request) -> web.StreamResponse:
        caller = self._access.caller(request, APPLICATION_ROLE)
        if request.match_info["id"] != APPLICATION_ID or caller.tenant != OWNER:
            raise not_found("application", "the tenant owns no such application")
        user = self._directory.user(OWNER, BOOTSTRAP)
        return answer({"tenant": user.tenant, "name": user.name, "password": user.password}, "user")

    async def user(self, request: web.Request) -> web.StreamResponse:
        caller = self._access.caller(request)
        roles = [{"id": role, "name": role} for role in sorted(caller.roles)]
        return answer({"id": caller.name, "userName": caller.name, "effectiveRoles": roles}, "currentuser")

    async def tenant(self, request: web.Request) -> web.StreamResponse:
        caller = self._access.caller(request)
        return answer({"name": caller.tenant, "domainName": request.host}, "currenttenant")
