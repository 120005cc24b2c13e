"""Cumulocity's own control verbs: what its operators and its devices do on the real platform."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace

import orjson

from emulator.control import ControlError, Fields, Verb
from emulator.cumulocity.composer import PUBLISHED
from emulator.cumulocity.directory import SERVICE, DirectoryError
from emulator.cumulocity.documents import Document
from emulator.cumulocity.errors import Refused
from emulator.cumulocity.platform import Cumulocity

MAX_OBJECTS = 1_000_000  # in one call


class Cockpit:
    """``nudge`` tells the timekeeper that something new is planned."""

    def __init__(self, platform: Cumulocity, nudge: Callable[[], None]) -> None:
        self._platform = platform
        self._nudge = nudge

    def shared_verbs(self) -> dict[str, Verb]:
        """Those every platform has, by path; the tenants they are given are Cumulocity's."""
        return {"/publish": self.publish, "/provision": self.provision, "/deprovision": self.deprovision}

    def verbs(self) -> dict[tuple[str, str], Verb]:
        return {
            ("GET", "/cumulocity/tenants"): self.tenants,
            ("GET", "/cumulocity/topics"): self.topics,
            ("POST", "/cumulocity/users"): self.user,
            ("POST", "/cumulocity/rotate-service-users"): self.rotate,
        }

    async def publish(self, fields: Fields) -> Mapping[str, object]:
        """Objects at once, through the same parts as requests; the answer comes when they are committed."""
        apis = fields.words("topic") or ["alarms"]
        if unknown := [api for api in apis if api not in PUBLISHED]:
            raise ControlError(f"no API {unknown[0][:40]!r}; there are: {', '.join(PUBLISHED)}")
        tenants = self._known(fields) or self._platform.directory.subscribed()
        count = fields.whole("count", 1, low=1, high=MAX_OBJECTS)
        if count * len(apis) * len(tenants) > MAX_OBJECTS:
            raise ControlError(f"at most {MAX_OBJECTS} objects in one call")
        try:
            done = await self._platform.publish(tenants, apis, count, _body(fields))
        except Refused as error:
            raise ControlError(error.message) from error
        self._nudge()
        refused = {"refused": done.refused} if done.refused else {}
        return {"messages": done.messages, "published": done.published, **refused}

    def _known(self, fields: Fields) -> list[str]:
        tenants = fields.words("tenant") + fields.words("tenants")
        for tenant in tenants:
            if not self._platform.directory.exists(tenant):
                raise ControlError(f"there is no tenant {tenant[:40]!r} on cumulocity")
        return tenants

    # tenants and users

    async def tenants(self, fields: Fields) -> Mapping[str, object]:
        directory = self._platform.directory
        return {"tenants": directory.tenants(), "subscribed": directory.subscribed()}

    async def provision(self, fields: Fields) -> Mapping[str, object]:
        tenants = fields.words("tenant") + fields.words("tenants")
        try:
            news = self._platform.provision(tenants)
        except DirectoryError as error:
            raise ControlError(str(error)) from error
        return {"provisioned": len(news), "unchanged": len(set(tenants)) - len(news)}

    async def deprovision(self, fields: Fields) -> Mapping[str, object]:
        tenants = fields.words("tenant") + fields.words("tenants")
        gone = self._platform.deprovision(tenants)
        return {"deprovisioned": len(gone), "unchanged": len(set(tenants)) - len(gone)}

    async def user(self, fields: Fields) -> Mapping[str, object]:
        """A user's name and password; ``roles`` replaces what it may, e.g. an empty list."""
        directory = self._platform.directory
        try:
            user = directory.user(fields.text("tenant"), fields.text("name", SERVICE))
        except DirectoryError as error:
            raise ControlError(str(error)) from error
        if "roles" in fields:
            user = replace(user, roles=frozenset(fields.words("roles")))
            directory.keep_user(user)
        return {"tenant": user.tenant, "name": user.name, "password": user.password, "roles": sorted(user.roles)}

    async def rotate(self, fields: Fields) -> Mapping[str, object]:
        """New passwords for the service users of these tenants, else of all that subscribed."""
        tenants = self._known(fields) or self._platform.directory.subscribed()
        try:
            self._platform.directory.rotate(tenants)
        except DirectoryError as error:
            raise ControlError(str(error)) from error
        return {"rotated": len(tenants)}

    async def topics(self, fields: Fields) -> Mapping[str, object]:
        """Topics with their consumers, as the platform's own monitoring shows them."""
        items = [
            {
                **topic.key._asdict(),
                "bytes": topic.size,
                "consumers": [
                    {
                        "name": consumer.name,
                        "backlog": len(consumer.backlog),
                        "clients": len(consumer.clients),
                        "shares": consumer.shares(),
                    }
                    for consumer in topic.consumers.values()
                ],
            }
            for topic in self._platform.messaging.topics
        ]
        return {"items": items}


def _body(fields: Fields) -> Document | None:
    """``body`` as an object, or ``body_base64`` with one's JSON."""
    body = fields.raw("body")
    if "body_base64" in fields:
        try:
            body = orjson.loads(base64.b64decode(fields.text("body_base64"), validate=True))
        except ValueError as error:
            raise ControlError("body_base64 is not JSON in base64") from error
    if body is not None and not isinstance(body, dict):
        raise ControlError("the body is a JSON object here: it is posted to the platform's API")
    return body
