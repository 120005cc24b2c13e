"""Bayeux in JSON: the same sessions for clients that know nothing of SmartREST.

"Real-time notification API" and the public Bayeux protocol with its acknowledgement extension; errors are those of
the vendor's own patched server. A list of messages in, a list of replies out; a connect's queued notifications come
before its reply. WebSockets are not played, so they are not announced.
"""

from __future__ import annotations

import orjson
from aiohttp import web

from emulator.cumulocity.directory import User
from emulator.cumulocity.errors import Refused
from emulator.cumulocity.realtime.advice import NONE, UNKNOWN_CLIENT
from emulator.cumulocity.realtime.bayeux import Bayeux, Denied, NoChannel, UnknownClient
from emulator.cumulocity.realtime.connects import Connects, Form, Outcome
from emulator.cumulocity.realtime.poll import Ending
from emulator.cumulocity.realtime.reply import Reply
from emulator.cumulocity.realtime.sessions import Family, Session

CONTENT_TYPE = "application/json;charset=UTF-8"
TYPES = ("long-polling", "smartrest-long-polling")
HANDSHAKE, SUBSCRIBE, UNSUBSCRIBE, CONNECT, DISCONNECT = (
    f"/meta/{verb}" for verb in ("handshake", "subscribe", "unsubscribe", "connect", "disconnect")
)
MAX_HOLD_MS = 7_200_000  # a client may ask for two hours at most
MAX_MESSAGES = 10_000  # in one request: a client that subscribes again to everything
Message = dict[str, object]


class JsonDialect:
    """Bodies of JSON to the notification endpoints."""

    def __init__(self, bayeux: Bayeux, connects: Connects) -> None:
        self._bayeux = bayeux
        self._connects = connects

    async def answer(self, request: web.Request, user: User, family: Family, text: str) -> web.StreamResponse:
        messages = _messages(text)
        said: list[Message] = []
        asked: tuple[Session, Message] | None = None
        for message in messages:
            try:
                if message["channel"] == CONNECT:
                    asked = self._session(user, family, message), message
                else:
                    said.append(self._done(user, family, message))
            except UnknownClient:
                said.append(_unknown(message))
        if asked is None:
            return web.Response(body=orjson.dumps(said), headers={"Content-Type": CONTENT_TYPE})
        return await self._connect(Reply(request, CONTENT_TYPE), *asked, said)

    def _session(self, user: User, family: Family, message: Message) -> Session:
        return self._bayeux.session(user, family, str(message.get("clientId", "")))

    def _done(self, user: User, family: Family, message: Message) -> Message:
        if message["channel"] == HANDSHAKE:
            return self._handshake(user, family, message)
        session = self._session(user, family, message)
        if message["channel"] in (SUBSCRIBE, UNSUBSCRIBE):
            return self._subscription(user, session, message)
        if message["channel"] == DISCONNECT:
            self._bayeux.disconnect(session)
            return _reply(message)
        return _failure(_reply(message), "403:denied_by_security_policy:publish_denied")

    def _handshake(self, user: User, family: Family, message: Message) -> Message:
        reliable = _member(message, "ext").get("ack") is True
        session = self._bayeux.handshake(user, family, "", reliable=reliable)
        return {
            **_reply(message),
            "clientId": session.id,
            "version": "1.0",
            "minimumVersion": "1.0",
            "supportedConnectionTypes": TYPES,
            "ext": {"ack": True},
        }

    def _subscription(self, user: User, session: Session, message: Message) -> Message:
        """One channel or a list; the first that is wrong ends it."""
        asked = message.get("subscription")
        channels = asked if isinstance(asked, list) else [asked]
        if not channels or not all(isinstance(channel, str) and channel for channel in channels):
            return _failure(_reply(message), "403::subscription_missing")
        reply = {**_reply(message), "subscription": asked}
        for channel in map(str, channels):
            try:
                if message["channel"] == SUBSCRIBE:
                    self._bayeux.subscribe(session, channel, (), user.roles)
                else:
                    self._bayeux.sessions.unsubscribe(session, channel)
            except NoChannel:
                return _failure(reply, "403::subscription_invalid")
            except Denied:
                return _failure(reply, "403:denied_by_security_policy:subscribe_denied")
        return reply

    async def _connect(
        self, reply: Reply, session: Session, message: Message, said: list[Message]
    ) -> web.StreamResponse:
        confirmed = _member(message, "ext").get("ack")
        if session.reliable:
            self._bayeux.confirm(session, confirmed if isinstance(confirmed, int) else -1)
        hold_ms = _member(message, "advice").get("timeout")
        form = _form(session, message, said)
        if isinstance(hold_ms, int):
            hold_ms = min(max(hold_ms, 0), MAX_HOLD_MS)
            return await self._connects.answer(reply, session, form, hold_ms, told=True)
        return await self._connects.answer(reply, session, form)


def _form(session: Session, message: Message, said: list[Message]) -> Form:
    def form(outcome: Outcome | Ending) -> bytes:
        if outcome is Ending.CLOSED:
            return orjson.dumps([*said, {**_reply(message), "advice": {"reconnect": NONE}}])
        if isinstance(outcome, Ending):
            return b""
        if not outcome.known:
            return orjson.dumps([*said, _unknown(message)])
        reply = _reply(message)
        if outcome.advice is not None:
            reply["advice"] = outcome.advice.document()
        if session.reliable:
            reply["ext"] = {"ack": outcome.batch.number}
        return orjson.dumps([*said, *(parcel.message for parcel in outcome.batch.parcels), reply])

    return form


def _messages(text: str) -> list[Message]:
    """The request's messages; 400 if it is none, or a handshake has company."""
    try:
        found = orjson.loads(text)
    except ValueError as error:
        raise _bad("the body is not JSON") from error
    messages = found if isinstance(found, list) else [found]
    if not 0 < len(messages) <= MAX_MESSAGES:
        raise _bad("no message, or too many")
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("channel"), str):
            raise _bad("400::channel missing")
        if not isinstance(message.get("clientId", ""), str):
            raise _bad("a clientId is text")
    if len(messages) > 1 and any(message["channel"] == HANDSHAKE for message in messages):
        raise _bad("a handshake stands alone")
    return messages


def _bad(detail: str) -> Refused:
    return Refused(400, "realtime/Bad Request", detail)


def _member(message: Message, name: str) -> Message:
    found = message.get(name)
    return found if isinstance(found, dict) else {}


def _reply(message: Message) -> Message:
    return {"channel": message["channel"], **_kept(message, "id", "clientId"), "successful": True}


def _failure(reply: Message, error: str) -> Message:
    return {**reply, "successful": False, "error": error}


def _unknown(message: Message) -> Message:
    reply: Message = {"channel": message["channel"], "successful": False, "error": "402::Unknown client"}
    advice = {"advice": UNKNOWN_CLIENT.document()} if message["channel"] == CONNECT else {}
    return {**reply, **_kept(message, "id", "subscription"), **advice}


def _kept(message: Message, *names: str) -> Message:
    """What a reply repeats of its request."""
    return {name: message[name] for name in names if name in message}
