"""Handing notifications on by HTTP: one signed POST each.

Documents: CloudEvents 1.0.2, HTTP binding in structured mode; Standard Webhooks 1.0 for signatures.
Receivers are reached as ``transport`` does it: proxies of the environment (HTTPS_PROXY, NO_PROXY) are honoured,
certificates always verified (private authorities by REQUESTS_CA_BUNDLE), redirects not followed.
"""

from __future__ import annotations

import binascii
import logging
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from standardwebhooks.webhooks import Webhook

from subscriber.errors import HandlerError, PlatformUnavailable, SettingsError, SinkUnavailable
from subscriber.model import Dead, Notification
from subscriber.routes import RunningAttempt
from subscriber.sinks.event import CONTENT_TYPE, PRUNED, cloud_event
from subscriber.transport import Transport

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0  # a receiver shall store and answer; longer work belongs behind its own queue
CONNECT_SECONDS = 5.0
SECRET_PREFIX = "whsec_"
SECRET_MIN_BYTES = 24  # Standard Webhooks: 24 to 64 random bytes

# Answers that speak about the receiver, not about the notification: 408 it was too slow to read, 410 it is gone (the
# standard's word for "stop sending": a held route does, and an operator sees it). 429 and 5xx are `transport`'s.
AWAY_STATUSES = (408, 410)


def forward(
    url: str,
    secret: str | None = None,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Forward:
    """Hand notifications to ``url`` as structured CloudEvents by POST, signed if there is a secret.

    ``secret`` is ``whsec_`` and base64, as Standard Webhooks writes it, or any other text, whose bytes are the key.
    ``timeout_seconds`` is the time for the receiver's whole answer. Raises ``SettingsError`` for what cannot be used.
    """
    problems = _url_problems(url)
    if problems:
        raise SettingsError(problems)
    return Forward(url, _signer(secret) if secret else None, timeout_seconds, clock)


class Forward:
    """A receiver's address as a sink and as a handler. May be used from many threads."""

    name = "forward"

    def __init__(
        self, url: str, signer: Webhook | None, timeout_seconds: float, clock: Callable[[], datetime]
    ) -> None:
        parts = urlsplit(url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._signer = signer
        self._clock = clock
        self._transport = Transport(
            f"{parts.scheme}://{parts.netloc}",
            connect_seconds=min(CONNECT_SECONDS, timeout_seconds),
            answer_seconds=timeout_seconds,
            pause=_never_repeat,
        )

    def __call__(self, notification: Notification, attempt: RunningAttempt) -> Dead | None:
        """As a handler."""
        return self.send(notification)

    def send(self, notification: Notification) -> Dead | None:
        """Returns None once the receiver answered 2xx; ``Dead`` if the body was pruned and cannot be handed on.

        Raises ``SinkUnavailable`` while the receiver is away: unreachable, too slow, an untrusted certificate, 408,
        410, 429, 5xx. Raises ``HandlerError`` if it answers anything else.
        """
        if notification.body is None:
            return PRUNED
        body = cloud_event(notification, notification.body)
        status = self._post(self._headers(notification.id, body), body)
        if status in AWAY_STATUSES:
            raise SinkUnavailable(f"the receiver answered {status}")
        if not 200 <= status < 300:
            raise HandlerError(f"the receiver answered {status}", reason="refused_by_receiver")
        return None

    def close(self) -> None:
        """Let go of all connections; a later ``send`` makes new ones."""
        self._transport.close()

    def _headers(self, id: str, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": CONTENT_TYPE, "webhook-id": id}
        if self._signer is not None:
            now = self._clock()
            headers["webhook-timestamp"] = str(int(now.timestamp()))
            headers["webhook-signature"] = self._signer.sign(id, now, body.decode())
        return headers

    def _post(self, headers: dict[str, str], body: bytes) -> int:
        """The status. A connection that broke is tried once more at once: receivers drop idle ones unannounced."""
        try:
            return self._transport.send("POST", self._path, headers, body).status
        except PlatformUnavailable as error:
            if error.reason != "unreachable":
                raise SinkUnavailable(error.detail) from error
        try:
            return self._transport.send("POST", self._path, headers, body).status
        except PlatformUnavailable as error:
            raise SinkUnavailable(error.detail) from error


def _url_problems(url: str) -> list[str]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ["forward: the address must begin with http:// or https:// and name a host"]
    if parts.username is not None or parts.password is not None:
        return ["forward: the address must not hold a user or password; receivers check the signature instead"]
    return []


def _signer(secret: str) -> Webhook:
    """Raises ``SettingsError``; its text never quotes the secret."""
    key = _key(secret)
    if not key:
        raise SettingsError([f"forward: the secret is not usable: after {SECRET_PREFIX} there must be base64"])
    if len(key) < SECRET_MIN_BYTES:
        logger.warning(
            "the secret that signs forwarded notifications is short: %d bytes, the standard wants %d",
            len(key),
            SECRET_MIN_BYTES,
            extra={"action": "weak_secret"},
        )
    return Webhook(key)


def _key(secret: str) -> bytes:
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    text = secret.removeprefix(SECRET_PREFIX)
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _never_repeat(seconds: float) -> bool:
    """The dispatcher decides about another attempt: it holds the route and probes once a minute."""
    return True
