"""Cumulocity's APIs, called in the name of a tenant: HTTP Basic as its service user.

A refused password is looked up anew and the call made once more, so a rotation costs nobody anything.
"""

from __future__ import annotations

from typing import Any

from subscriber.cumulocity.directory import Directory
from subscriber.model import Params
from subscriber.platforms.api import ApiRequest
from subscriber.platforms.cumulocity_api import ServiceUser, read_state, state_request
from subscriber.transport import Answer, Transport


class ServiceGateway:
    """May be used from many threads. Raises ``PlatformUnavailable``, and what ``Directory.user`` raises."""

    def __init__(self, directory: Directory, transport: Transport) -> None:
        self._directory = directory
        self._transport = transport

    def call(self, tenant: str, request: ApiRequest) -> Answer:
        """Send as the tenant's service user; any answer below 500 is the caller's to read."""
        user = self._directory.user(tenant)
        answer = self._send(user, request)
        if answer.status != 401:
            return answer
        other = self._directory.instead_of(user)
        return answer if other is None else self._send(other, request)

    def state(self, tenant: str, path: str, params: Params) -> Any:
        """What ``attempt.platform.get`` answers: see ``routes.PlatformClient``."""
        answer = self.call(tenant, state_request(path, params))
        return read_state(answer.status, answer.body, path)

    def close(self) -> None:
        """Let go of all connections."""
        self._transport.close()

    def _send(self, user: ServiceUser, request: ApiRequest) -> Answer:
        headers = {**request.headers, "Authorization": user.authorization}
        return self._transport.send(request.method, request.path, headers, request.body)
