"""Tokens that let us speak for a tenant, and calls made with them.

``TokenManager`` asks the platform's Technical Token Manager for a token per user tenant and keeps it while it is
good; ``Gateway`` sends a request in a tenant's name. Tokens stay in memory: they are never stored, logged or shown.
Nothing here verifies a token, they are not ours to judge (``tokens`` does that for those we receive). The platform's
words are in ``platforms.mindsphere_api``.

A token is renewed early, and earlier still by chance, so that processes which started together do not all ask in the
same second. While the Token Manager throttles, nobody here asks it, for any tenant; a token that has not ended yet
serves on meanwhile.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.model import Params
from subscriber.platforms.api import ApiRequest
from subscriber.platforms.mindsphere_api import (
    Application,
    read_state,
    read_token,
    state_request,
    token_request,
    unverified_lifetime,
)
from subscriber.settings import MindSphereSettings
from subscriber.transport import THROTTLED, Answer, Transport

logger = logging.getLogger(__name__)

RENEW_SECONDS = 60.0  # a token must outlive the call it is used for, with its repetitions
RENEW_SHARE = 0.1  # of its lifetime, if that is more: three minutes of the usual half hour
RENEW_AGAIN_SECONDS = 10.0  # a renewal that failed is tried so much later, as long as the old token lives
CALL_SECONDS = 30.0  # what an old token must still live to be used: one answer may take that long
REFUSAL_SECONDS = 30.0  # a refusal is final for a while: every topic of a tenant would ask again
MAX_TENANTS = 1_024  # tokens kept; at a few kilobytes each some megabytes


@dataclass(frozen=True, slots=True)
class _Known:
    """What the Token Manager said about a tenant, and until when (seconds since 1970) it is not asked again."""

    until: float
    token: str = field(default="", repr=False)
    expires_at: float = 0.0  # of the token, in seconds since 1970; 0 if it does not say
    error: PlatformRefused | PlatformUnavailable | None = None

    def result(self) -> str:
        if self.error is not None:
            raise self.error.with_traceback(None)  # raised many times: a traceback must not grow each time
        return self.token


class TokenManager:
    """Tokens of one application (so of one host tenant), one per user tenant. May be used from many threads."""

    def __init__(
        self,
        application: Application,
        transport: Transport,
        *,
        now: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        max_tenants: int = MAX_TENANTS,
    ) -> None:
        """``now`` yields seconds since 1970, ``jitter`` numbers from 0 up to 1.

        ``max_tenants`` tokens are kept, those used last.
        """
        self.application = application
        self._transport = transport
        self._now = now
        self._jitter = jitter
        self._throttled_until = 0.0  # seconds since 1970
        self._max_tenants = max_tenants
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()  # least recently used first
        self._flights: dict[str, Future[_Known]] = {}

    def token(self, user_tenant: str) -> str:
        """A token that is good for a while yet; whoever asks meanwhile shares one request.

        Raises ``PlatformRefused`` with the likely cause (kept for half a minute), ``PlatformUnavailable``.
        """
        with self._lock:
            known = self._known.get(user_tenant)
            if known is not None and self._now() < known.until:
                self._known.move_to_end(user_tenant)
                return known.result()
            flight = self._flights.get(user_tenant)
            ours = flight is None
            if flight is None:
                flight = self._flights[user_tenant] = Future()
        if ours:
            self._fly(user_tenant, flight)
        return flight.result().result()

    def drop(self, user_tenant: str, token: str) -> None:
        """Forget a token that an API refused, unless another thread has already replaced it."""
        with self._lock:
            known = self._known.get(user_tenant)
            if known is not None and known.token == token:
                del self._known[user_tenant]

    def _fly(self, user_tenant: str, flight: Future[_Known]) -> None:
        try:
            flight.set_result(self._ask(user_tenant))
        finally:
            flight.cancel()  # does nothing after a result; without one, nobody may wait forever
            with self._lock:
                del self._flights[user_tenant]
                if not flight.cancelled():
                    self._remember(user_tenant, flight.result())

    def _remember(self, user_tenant: str, known: _Known) -> None:
        self._known[user_tenant] = known
        self._known.move_to_end(user_tenant)
        while len(self._known) > self._max_tenants:
            self._known.popitem(last=False)

    def _ask(self, user_tenant: str) -> _Known:
        try:
            answer = self._send(token_request(self.application, user_tenant))
            token = read_token(answer.status, answer.body, self.application, user_tenant)
        except PlatformRefused as error:
            _log("token_refused", user_tenant, error.reason)
            return _Known(self._now() + REFUSAL_SECONDS, error=error)
        except PlatformUnavailable as error:
            _log("token_unavailable", user_tenant, error.reason)
            return self._without_new_token(user_tenant, error)
        return self._fresh(token)

    def _fresh(self, token: str) -> _Known:
        lifetime = unverified_lifetime(token)
        expires_at = 0.0 if lifetime is None else lifetime.expires_at
        return _Known(renew_at(token, self._now(), self._jitter()), token, expires_at)

    def _send(self, request: ApiRequest) -> Answer:
        """Ask, unless throttled: the limit is the application's, what one tenant's request was told holds for all."""
        left = math.ceil(self._throttled_until - self._now())
        if left > 0:
            detail = f"the Token Manager throttles this application for another {left} s"
            raise PlatformUnavailable(detail, reason=THROTTLED, retry_after_seconds=left)
        try:
            return self._transport.send(request.method, request.path, request.headers, request.body)
        except PlatformUnavailable as error:
            if error.reason == THROTTLED:
                self._throttled_until = self._now() + (error.retry_after_seconds or 0)
            raise

    def _without_new_token(self, user_tenant: str, error: PlatformUnavailable) -> _Known:
        """The old token while it lives, else the error, for as long as the Token Manager asked to be left alone."""
        now, asked_seconds = self._now(), error.retry_after_seconds or 0
        with self._lock:
            old = self._known.get(user_tenant)
        if old is not None and now + CALL_SECONDS < old.expires_at:
            again = now + max(RENEW_AGAIN_SECONDS, asked_seconds)
            return replace(old, until=min(again, old.expires_at - CALL_SECONDS))
        return _Known(now + asked_seconds, error=error)


class Gateway:
    """The platform's APIs, called in the name of a user tenant."""

    def __init__(self, tokens: TokenManager, transport: Transport) -> None:
        self.application = tokens.application
        self._tokens = tokens
        self._transport = transport

    def call(self, user_tenant: str, request: ApiRequest) -> Answer:
        """Send with the tenant's token. A 401 drops the token and the call is made once more with a new one.

        Raises what getting a token raises, and ``PlatformUnavailable``; any other answer is the caller's to read.
        """
        token = self._tokens.token(user_tenant)
        answer = self._send(request, token)
        if answer.status != 401:
            return answer
        self._tokens.drop(user_tenant, token)
        return self._send(request, self._tokens.token(user_tenant))

    def state(self, user_tenant: str, path: str, params: Params) -> Any:
        """What ``attempt.platform.get`` answers: see ``routes.PlatformClient``."""
        answer = self.call(user_tenant, state_request(path, params))
        return read_state(answer.status, answer.body, path)

    def probe(self, user_tenant: str) -> None:
        """Get a token for the tenant and do nothing with it. Raises as :meth:`TokenManager.token`."""
        self._tokens.token(user_tenant)

    def close(self) -> None:
        """Let go of all connections."""
        self._transport.close()

    def _send(self, request: ApiRequest, token: str) -> Answer:
        signed = replace(request, headers={**request.headers, "Authorization": f"Bearer {token}"})
        return self._transport.send(signed.method, signed.path, signed.headers, signed.body)


def application_of(settings: MindSphereSettings) -> Application:
    """The configured application with its credentials."""
    return Application(
        name=settings.app,
        version=settings.version,
        host_tenant=settings.host_tenant,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
    )


def open_gateway(
    settings: MindSphereSettings, *, stop: threading.Event, jitter: Callable[[], float] = random.random
) -> Gateway:
    """The gateway of the configured application; one per process, so that its tokens are shared.

    ``stop`` ends its waiting between attempts. ``close`` it at the end.
    """
    transport = Transport(settings.gateway_url, pause=stop.wait, jitter=jitter)
    return Gateway(TokenManager(application_of(settings), transport, jitter=jitter), transport)


def renew_at(token: str, now: float, jitter: float) -> float:
    """When to ask for the next token, in seconds since 1970; ``now`` if the token does not say when it ends.

    ``jitter``, from 0 up to 1, moves it up to as much earlier again as it is early anyway.
    """
    lifetime = unverified_lifetime(token)
    if lifetime is None:
        return now
    issued_at = now if lifetime.issued_at is None else lifetime.issued_at
    early = max(RENEW_SECONDS, RENEW_SHARE * (lifetime.expires_at - issued_at))
    return lifetime.expires_at - early * (1.0 + jitter)


def _log(action: str, user_tenant: str, reason: str) -> None:
    extra = {"action": action, "tenant": user_tenant, "reason": reason}
    logger.warning("no token for tenant %s", user_tenant, extra=extra)
