"""Where the RabbitMQ broker is, how it is reached, and what its library's errors mean.

TLS is always verified, with the authorities that outbound HTTP trusts: REQUESTS_CA_BUNDLE, else those that come with
the HTTP library. What follows a ``?`` in the address is not read: elsewhere it is a way to turn verification off.
Errors name host, port, virtual host and user, never the password.

Documents: the RabbitMQ URI specification; AMQP 0-9-1, section 1.7 (reply codes).
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import requests
from pika import ConnectionParameters, PlainCredentials, SSLOptions
from pika.exceptions import (
    AuthenticationError,
    ChannelClosed,
    ConnectionClosed,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from subscriber.errors import SettingsError

CONNECT_SECONDS = 3.0  # less than a publication waits, so that it sees how the attempt ends
HEARTBEAT_SECONDS = 30  # a broker that vanished without a word is noticed within a minute
PORTS = {"amqp": 5672, "amqps": 5671}
TEXT_CHARS = 200  # of a broker's own words
PRECONDITION_FAILED = 406
REFUSED = (403, 530)  # access-refused, not-allowed


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why nothing can be published."""

    detail: str
    cause: BaseException | None = None
    lasting: bool = False  # only a person can end it: nobody needs to wait for the next try


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """One address, ready to be connected to. Reads the trusted authorities once."""

    host: str
    port: int
    virtual_host: str
    user: str
    password: str = field(repr=False)
    tls: ssl.SSLContext | None = None  # None: in the clear, as ``amqp`` says

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> Broker:
        """``amqp(s)://user:password@host:port/vhost``. Raises ``SettingsError``, which never quotes the address."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise SettingsError(["publish: the address cannot be read"]) from None
        if parts.scheme not in PORTS or not parts.hostname:
            raise SettingsError(["publish: the address must begin with amqp:// or amqps:// and name a host"])
        return cls(
            host=parts.hostname,
            port=port or PORTS[parts.scheme],
            virtual_host=unquote(parts.path.removeprefix("/")) or "/",
            user=unquote(parts.username or "guest"),
            password=unquote(parts.password or "guest"),
            tls=_trusting_context(url) if parts.scheme == "amqps" else None,
        )

    def parameters(self) -> ConnectionParameters:
        """For one attempt to connect, of at most ``CONNECT_SECONDS`` for each of the host's addresses."""
        return ConnectionParameters(
            host=self.host,
            port=self.port,
            virtual_host=self.virtual_host,
            credentials=PlainCredentials(self.user, self.password),
            ssl_options=SSLOptions(self.tls, self.host) if self.tls else None,
            heartbeat=HEARTBEAT_SECONDS,
            connection_attempts=1,
            socket_timeout=CONNECT_SECONDS,
            stack_timeout=CONNECT_SECONDS,
            client_properties={"connection_name": f"notification subscriber {socket.gethostname()}:{os.getpid()}"},
        )

    def why_not_open(self, error: BaseException) -> Trouble:
        """What kept a connection from opening. Of the library's texts only the broker's own words are passed on."""
        root = _root(error)
        if isinstance(root, ssl.SSLCertVerificationError):
            return Trouble(f"the certificate of {self} cannot be trusted", error, lasting=True)
        if isinstance(root, (ProbableAuthenticationError, AuthenticationError)):
            return Trouble(f"{self} refuses user {self.user!r} or its password", error, lasting=True)
        if isinstance(root, ProbableAccessDeniedError) or is_refusal(root):
            return Trouble(
                f"{self} does not let user {self.user!r} into the virtual host {self.virtual_host!r}: "
                "does it exist, and may the user?",
                error,
                lasting=True,
            )
        if isinstance(root, socket.gaierror):
            return Trouble(f"no host of this name: {self}", error)
        return Trouble(f"cannot reach {self}", error)

    def why_closed(self, error: BaseException) -> Trouble:
        """What ended an open connection."""
        return Trouble(f"the connection to {self} broke{said(error)}", error)


def said(error: BaseException) -> str:
    """The broker's own words, to be appended; empty if it had none."""
    if isinstance(error, (ChannelClosed, ConnectionClosed)) and error.reply_text:
        return f": {error.reply_text[:TEXT_CHARS]}"
    return ""


def is_refusal(error: BaseException) -> bool:
    """Did the broker close because the user may not do this?"""
    return isinstance(error, (ChannelClosed, ConnectionClosed)) and error.reply_code in REFUSED


def is_failed_precondition(error: BaseException) -> bool:
    """Did the broker close because something is not as it was said to be?"""
    return isinstance(error, ChannelClosed) and error.reply_code == PRECONDITION_FAILED


def _trusting_context(url: str) -> ssl.SSLContext:
    """Raises ``SettingsError`` if the private authorities cannot be read."""
    found = requests.Session().merge_environment_settings(url, {}, None, None, None)["verify"]
    path = found if isinstance(found, str) else DEFAULT_CA_BUNDLE_PATH
    try:
        if os.path.isdir(path):
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError([f"publish: {path}, which REQUESTS_CA_BUNDLE names, cannot be read"]) from error


def _root(error: BaseException) -> BaseException:
    """The library wraps an error once for each stage of connecting, each time under another name."""
    inner: object = error
    while isinstance(inner, BaseException):
        error = inner
        several: Sequence[object] = getattr(error, "exceptions", ())
        inner = several[-1] if several else getattr(error, "exception", error.args[0] if error.args else None)
    return error
