"""Everything that can go wrong, typed once.

    SubscriberError              base; never raised itself
    ├── InvalidToken             401  the caller proves nothing
    ├── Forbidden                403  a good token that may not do this
    ├── RefusedDelivery          413/415 authenticated, yet refused by policy
    ├── MalformedDelivery        200  authenticated, yet not decodable: becomes a dead letter
    ├── UnreadableRequest        400/408 the body never arrived whole: nothing to keep, it may be sent again
    ├── Unavailable              503  the fault is ours, the platform shall come again
    │   ├── KeysUnavailable           a key server does not answer: we cannot tell yet
    │   ├── StoreBusy                 the store did not take the write in time
    │   ├── StoreUnavailable          the store cannot work now: disk full, locked, read-only, gone
    │   └── Overloaded                more bytes in flight than this process may hold
    ├── NotFound                 404  no such row, or not yours: the two look alike
    ├── NotReadable              409  a dead letter of which nothing more can be made
    ├── InvalidCursor            400  not a place in a list that this store has given
    ├── InvalidParameter         400  a query parameter that is unknown, doubled or not as described
    ├── LeaseLost                     the row is no longer this attempt's: another has it, or it was settled
    ├── OutOfTime                     a transactional handler took longer than its transaction may
    ├── PlatformRefused               a platform said no, and will say so again
    ├── PlatformUnavailable           a platform did not answer, or asked to come later
    ├── CredentialsOld                the application credentials end soon, or have ended
    ├── NoTunnel                      no address on the internet leads to this service's port
    ├── HandlerError                  a handler or sink failed at a notification: costs an attempt
    ├── SinkUnavailable               a receiver of ours is away: holds its route, costs no attempt
    ├── LockHeld                 409  another instance does this now
    ├── AlreadyRunning                another service holds the port or the database
    ├── SchemaOutdated                the database wants `migrate` (or a newer program)
    └── SettingsError                 the environment is wrong: all problems at once

Each error carries a ``reason``: a short stable slug for logs, metrics and tests. ``detail`` is for people;
it never holds a token, a secret or a payload. Library exceptions are translated once, at the module that owns
the library, always ``from`` the cause.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence

PLACE_FRAMES = 5  # of a traceback, the innermost


class SubscriberError(Exception):
    """Base of all errors this program raises on purpose. ``status`` is the HTTP answer where there is one."""

    reason = "error"
    status = 500
    retry_after_seconds: int | None = None

    def __init__(self, detail: str = "", *, reason: str | None = None) -> None:
        if type(self) is SubscriberError:
            raise TypeError("SubscriberError is abstract: raise one of its kinds")
        super().__init__(detail)
        self.detail = detail
        if reason is not None:
            self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class InvalidToken(SubscriberError):
    """The bearer token is missing, malformed, expired, badly signed or not from an issuer we accept."""

    reason = "token"
    status = 401


class Forbidden(SubscriberError):
    """The token is genuine, but its holder may not do this (scope, tenant, caller)."""

    reason = "forbidden"
    status = 403


class RefusedDelivery(SubscriberError):
    """An authenticated delivery that policy refuses before it is read: 413 too large, 415 encoded."""

    reason = "refused"

    def __init__(self, detail: str = "", *, reason: str, status: int) -> None:
        super().__init__(detail, reason=reason)
        self.status = status


class MalformedDelivery(SubscriberError):
    """An authenticated delivery that no codec can read. Codecs raise this or return; all else is a bug.

    ``tenants`` names those it is addressed to, where that much could be read.
    """

    reason = "malformed"
    status = 200
    tenants: Sequence[str] = ()


class UnreadableRequest(SubscriberError):
    """The request's body broke off (400) or came too slowly (408): what we have of it is not the delivery."""

    reason = "unreadable"

    def __init__(self, detail: str = "", *, reason: str, status: int) -> None:
        super().__init__(detail, reason=reason)
        self.status = status


class Unavailable(SubscriberError):
    """We cannot do it now; the same request may succeed later. Answered 503 with Retry-After."""

    reason = "unavailable"
    status = 503
    retry_after_seconds = 5


class KeysUnavailable(Unavailable):
    """No key to decide with: the key server failed and nothing fresh enough is held."""

    reason = "keys_unavailable"
    retry_after_seconds = 30


class StoreBusy(Unavailable):
    """The write waited longer than a request may wait."""

    reason = "store_busy"


class StoreUnavailable(Unavailable):
    """The store refuses work: disk full, locked by a stranger, read-only, damaged or unreachable."""

    reason = "store_unavailable"


class Overloaded(Unavailable):
    """This process holds as many request bytes as it may."""

    reason = "overloaded"
    retry_after_seconds = 2


class NotFound(SubscriberError):
    """There is no such thing for this caller: unknown and foreign are not told apart."""

    reason = "not_found"
    status = 404


class NotReadable(SubscriberError):
    """What was kept cannot be read again: without a body, or outside of the connection it came by."""

    reason = "not_readable"
    status = 409


class InvalidCursor(SubscriberError):
    """Where a list shall go on cannot be told from this text."""

    reason = "cursor"
    status = 400


class InvalidParameter(SubscriberError):
    """A question asked in a way that cannot be understood; the text names the parameter, never its value."""

    reason = "parameter"
    status = 400


class LeaseLost(SubscriberError):
    """The attempt holds its row no longer: its lease ran out and another has it, or it is settled."""

    reason = "lease_lost"


class OutOfTime(SubscriberError):
    """A handler kept its transaction open for too long: it was rolled back."""

    reason = "out_of_time"


class PlatformRefused(SubscriberError):
    """A platform answered no. ``upstream_status`` is its HTTP status.

    ``retry_after_seconds``: asking again sooner is of no use; None where nothing is known of that.
    """

    reason = "platform_refused"
    status = 502

    def __init__(
        self,
        detail: str = "",
        *,
        reason: str | None = None,
        upstream_status: int,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(detail, reason=reason)
        self.upstream_status = upstream_status
        self.retry_after_seconds = retry_after_seconds


class PlatformUnavailable(SubscriberError):
    """A platform did not answer in time, failed (5xx), or throttled us (429).

    ``retry_after_seconds`` is what it asked for, ``upstream_status`` its HTTP status; None where it said nothing.
    """

    reason = "platform_unavailable"
    status = 503

    def __init__(
        self,
        detail: str = "",
        *,
        reason: str | None = None,
        retry_after_seconds: int | None = None,
        upstream_status: int | None = None,
    ) -> None:
        super().__init__(detail, reason=reason)
        self.retry_after_seconds = retry_after_seconds
        self.upstream_status = upstream_status


class CredentialsOld(SubscriberError):
    """The application credentials are so old that they have to be issued anew now."""

    reason = "credentials_old"


class NoTunnel(SubscriberError):
    """The tunnel's agent does not answer, or knows no address, or too many, that lead to our port."""

    reason = "no_tunnel"


class HandlerError(SubscriberError):
    """A handler or sink failed at one notification and can name why. The attempt counts."""

    reason = "handler_error"


class SinkUnavailable(SubscriberError):
    """A receiver of ours is unreachable, throttles (429) or fails (5xx)."""

    reason = "sink_unavailable"
    status = 503


class LockHeld(SubscriberError):
    """Only one instance may do this at a time, and another one does it now."""

    reason = "lock_held"
    status = 409


class AlreadyRunning(SubscriberError):
    """Another service holds what only one may hold."""

    reason = "already_running"


class SchemaOutdated(SubscriberError):
    """The database's migrations and this program's do not fit."""

    reason = "schema_outdated"


class SettingsError(SubscriberError):
    """The settings cannot be used. ``problems`` has one sentence each, all of them."""

    reason = "settings"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


def place_of(error: BaseException) -> str:
    """Where a bug showed, without its own words: in those there may be a payload."""
    return "".join(traceback.format_tb(error.__traceback__, -PLACE_FRAMES))
