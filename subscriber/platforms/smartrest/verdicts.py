"""What an answer means for the conversation: its event, and why where that is not as asked.

No document says how a real-time endpoint refuses rows 80 to 84. Read here as: an error row whose platform call may
work later is a failure that passes; any other one says that the session, or a channel, is not accepted.
"""

from __future__ import annotations

from typing import NamedTuple

from subscriber.errors import PlatformRefused, PlatformUnavailable, SubscriberError
from subscriber.platforms.smartrest.messages import CLIENT_ID, NO_TEMPLATE, Contents, Policy, Refusal
from subscriber.platforms.smartrest.transitions import Event, State

PASSING = frozenset({408, 429, 500, 502, 503, 504})  # the same may succeed later; so may what comes above these
NOT_OURS = frozenset({401, 403})  # about who asks, not about what is asked
UNKNOWN_CLIENT = "402::"  # beginning of the Bayeux error for a session that is not there


class Verdict(NamedTuple):
    event: Event
    failure: SubscriberError | None = None
    refused: bool = False  # what was asked for is not accepted: asking for less may be


def of_status(state: State, status: int, retry_after_seconds: int | None) -> Verdict | None:
    """An answer that is none of the protocol's; None for one that is to be read."""
    if 200 <= status < 300:
        return None
    detail = f"{state}: HTTP status {status}"
    if status in PASSING or status < 300 or status > 501:
        failure = PlatformUnavailable(detail, reason="unavailable", retry_after_seconds=retry_after_seconds)
        return Verdict(Event.FAILED, failure, refused=status == 500 and state is State.HANDSHAKE)
    if status in NOT_OURS:
        reason = "credentials_refused" if status == 401 else "access_refused"
        return Verdict(Event.FAILED, PlatformRefused(detail, reason=reason, upstream_status=status))
    refusal = PlatformRefused(detail, upstream_status=status)
    event = Event.GONE if state in (State.CONNECT, State.DISCONNECT) else Event.FAILED
    return Verdict(event, refusal, refused=True)


def of_contents(state: State, made: Contents) -> Verdict:
    """An answer on a notification endpoint."""
    policy = made.advice.policy if made.advice else None
    if policy is Policy.NONE:
        return Verdict(Event.NONE, PlatformRefused("advice: do not reconnect", reason="stopped", upstream_status=200))
    if state is State.HANDSHAKE:
        return _of_handshake(made)
    if policy is Policy.HANDSHAKE:
        return Verdict(Event.GONE)
    if made.refusals:
        return _of_refusal(made.refusals[0])
    if _is_strange(state, made):
        return Verdict(Event.FAILED, PlatformUnavailable(f"{state}: not an answer of it", reason="unreadable_answer"))
    return Verdict(Event.DONE)


def client_id(made: Contents) -> str:
    """The id that a handshake granted; empty if the answer is none to a handshake."""
    if len(made.lone) != 1 or made.rows or made.broken or made.refusals:
        return ""
    return made.lone[0] if CLIENT_ID.fullmatch(made.lone[0]) else ""


def _is_strange(state: State, made: Contents) -> bool:
    """A proxy's page, perhaps: nothing of the protocol, or what nobody says to a subscription."""
    known = made.rows or made.advice or made.batch
    return bool(made.broken or made.lone) and not (known and state is State.CONNECT)


def _of_handshake(made: Contents) -> Verdict:
    if client_id(made):
        return Verdict(Event.DONE)
    refusal = _of_refusal(made.refusals[0]) if made.refusals else None
    if refusal is not None and refusal.event is Event.MISSING:
        return refusal
    unreadable = PlatformUnavailable("handshake: the answer is no client id", reason="unreadable_answer")
    return Verdict(Event.FAILED, refusal and refusal.failure or unreadable, refused=True)


def _of_refusal(refusal: Refusal) -> Verdict:
    detail = f"row {refusal.id} {refusal.detail}".rstrip()
    if refusal.id == NO_TEMPLATE:
        missing = PlatformRefused(f"{detail}: no templates", reason="no_template", upstream_status=200)
        return Verdict(Event.MISSING, missing)
    if UNKNOWN_CLIENT in refusal.detail:
        return Verdict(Event.GONE)
    if refusal.upstream_status in PASSING:
        return Verdict(Event.FAILED, PlatformUnavailable(detail, reason="row_failed"))
    return Verdict(
        Event.GONE,
        PlatformRefused(detail, reason="row_refused", upstream_status=refusal.upstream_status or 200),
        refused=True,
    )
