"""Who is calling, and may they: HTTP Basic with ``tenant/user``, then the role an API asks for.

Follows the core OpenAPI specification. The tenant is the user's own; host names do not select one here.
"""

from __future__ import annotations

import base64
import binascii

from aiohttp import web

from emulator.cumulocity.directory import Directory, User
from emulator.cumulocity.errors import Refused, forbidden, unauthorized
from emulator.faults import Faults


class Access:
    """Every Cumulocity handler asks it first."""

    def __init__(self, directory: Directory, faults: Faults) -> None:
        self._directory = directory
        self._faults = faults

    def caller(self, request: web.Request, role: str | None = None) -> User:
        """The signed-in user who has ``role``, else 401 or 403; the fault ``c8y-5xx`` comes before both."""
        if self._faults.strikes("c8y-5xx"):
            raise Refused(500, "general/Internal Error", "the platform failed, as the fault c8y-5xx says")
        user = self._user(request)
        if role is not None and role not in user.roles:
            raise forbidden()
        return user

    def _user(self, request: web.Request) -> User:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise unauthorized()
        try:
            login, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (ValueError, binascii.Error) as error:
            raise unauthorized() from error
        user = self._directory.authenticate(login, password) if colon else None
        if user is None:
            raise unauthorized()
        return user
