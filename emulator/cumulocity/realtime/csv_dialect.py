"""SmartREST: Bayeux in rows 80 to 84.

Seed 003, and what the vendor's own clients send and expect: ``80,true`` for answers that are numbered (row 88) and
kept until they are confirmed, in the third value of 83. Rows of one request are handled in their order, a connect
last. The documents show advice and notifications without a line number, those clients want one: a knob. Error rows
for 80 to 84 are assumed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aiohttp import web

from emulator.cumulocity.directory import User
from emulator.cumulocity.realtime.advice import UNKNOWN_CLIENT, Advice
from emulator.cumulocity.realtime.bayeux import Bayeux, Denied, NoChannel, UnknownClient
from emulator.cumulocity.realtime.connects import Connects, Outcome
from emulator.cumulocity.realtime.poll import Ending
from emulator.cumulocity.realtime.reply import Reply
from emulator.cumulocity.realtime.rows import Row, parsed, written
from emulator.cumulocity.realtime.sessions import Family, Parcel, Session
from emulator.cumulocity.realtime.template_store import TemplateStore
from emulator.knobs import Panel

CONTENT_TYPE = "text/plain;charset=UTF-8"
NO_TEMPLATE = '40,"No template for this X-ID."'  # in quotes, as the platform's pages print it
HANDSHAKE, SUBSCRIBE, UNSUBSCRIBE, CONNECT, DISCONNECT = "80", "81", "82", "83", "84"
MALFORMED, BAD_ID, BAD_ARGUMENTS, CALL_FAILED, ADVICE, GROUP, BATCH = "42", "43", "45", "50", "86", "87", "88"
NUMBER = re.compile(r"-?\d{1,15}")


class Caller(NamedTuple):
    """Who is calling, at which endpoints, with which X-Id."""

    user: User
    family: Family
    x_id: str


class Refusal(Exception):
    """The row is answered with this error row."""

    def __init__(self, id: str, text: str) -> None:
        super().__init__(text)
        self.id = id
        self.text = text


class Asked(NamedTuple):
    """A connect, for when everything else of the request is done."""

    session: Session
    line: int


class CsvDialect:
    """Bodies of CSV to the notification endpoints."""

    def __init__(self, bayeux: Bayeux, connects: Connects, templates: TemplateStore, panel: Panel) -> None:
        self._bayeux = bayeux
        self._connects = connects
        self._templates = templates
        self._panel = panel

    async def answer(self, request: web.Request, caller: Caller, text: str) -> web.StreamResponse:
        if not self._known(caller, caller.x_id):
            return self._at_once([NO_TEMPLATE])
        said, asked = self._handled(caller, text)
        if asked is None:
            return self._at_once(said)
        session, line = asked
        return await self._connects.answer(
            Reply(request, CONTENT_TYPE),
            session,
            lambda outcome: self._body([*said, *self._rows(line, outcome)]),
        )

    def _handled(self, caller: Caller, text: str) -> tuple[list[str], Asked | None]:
        """What the rows are answered with, and the last connect among them."""
        said: list[str] = []
        asked = None
        for row in parsed(text):
            found = self._said(caller, row)
            if isinstance(found, Asked):
                asked = found
            else:
                said += found
        return said, asked

    def _at_once(self, rows: list[str]) -> web.Response:
        return web.Response(body=self._body(rows), headers={"Content-Type": CONTENT_TYPE})

    def _known(self, caller: Caller, x_id: str) -> bool:
        return self._templates.find(caller.user.tenant, x_id) is not None

    def _body(self, rows: Iterable[str]) -> bytes:
        return ("\r\n" if self._panel.now.sr_crlf else "\n").join(rows).encode()

    # in

    def _said(self, caller: Caller, row: Row) -> list[str] | Asked:
        try:
            return self._done(caller, row)
        except Refusal as error:
            return [written((error.id, str(row.line), error.text))]
        except UnknownClient:
            return self._unknown(row)

    def _done(self, caller: Caller, row: Row) -> list[str] | Asked:
        """What a row is answered with."""
        if not row.values:
            raise Refusal(MALFORMED, "malformed request")
        id, *arguments = row.values
        if id == HANDSHAKE:
            return [self._handshake(caller, arguments)]
        if id not in (SUBSCRIBE, UNSUBSCRIBE, CONNECT, DISCONNECT):
            raise Refusal(BAD_ID, "invalid message identifier")
        self._count(id, arguments)
        session = self._bayeux.session(caller.user, caller.family, arguments[0])
        if id == CONNECT:
            self._confirm(session, arguments[1:])
            return Asked(session, row.line)
        if id == SUBSCRIBE:
            return self._subscribe(caller, session, arguments[1], arguments[2:])
        if id == UNSUBSCRIBE:
            self._bayeux.sessions.unsubscribe(session, arguments[1])
        else:
            self._bayeux.disconnect(session)
        return []

    def _count(self, id: str, arguments: list[str]) -> None:
        most = {UNSUBSCRIBE: 2, CONNECT: 2 if self._panel.now.sr_reliable else 1, DISCONNECT: 1}.get(id)
        least = 1 if id in (CONNECT, DISCONNECT) else 2
        if len(arguments) < least or most is not None and len(arguments) > most:
            raise Refusal(BAD_ARGUMENTS, "wrong number of arguments")

    def _handshake(self, caller: Caller, arguments: list[str]) -> str:
        if len(arguments) > 1 or arguments and not self._panel.now.sr_reliable:
            raise Refusal(BAD_ARGUMENTS, "no arguments supported")
        if arguments and arguments[0] not in ("true", "false"):
            raise Refusal(BAD_ARGUMENTS, f"value is not a BOOLEAN: {arguments[0][:80]}")
        session = self._bayeux.handshake(caller.user, caller.family, caller.x_id, reliable=arguments == ["true"])
        return session.id

    def _subscribe(self, caller: Caller, session: Session, channel: str, x_ids: list[str]) -> list[str]:
        if not all(self._known(caller, x_id) for x_id in x_ids):
            return [NO_TEMPLATE]
        try:
            self._bayeux.subscribe(session, channel, tuple(x_ids), caller.user.roles)
        except NoChannel as error:
            raise Refusal(BAD_ARGUMENTS, f"value is not a channel: {channel[:80]}") from error
        except Denied as error:
            raise Refusal(CALL_FAILED, "403") from error
        return []

    def _confirm(self, session: Session, arguments: list[str]) -> None:
        if arguments and not NUMBER.fullmatch(arguments[0]):
            raise Refusal(BAD_ARGUMENTS, f"value is not a INTEGER: {arguments[0][:80]}")
        self._bayeux.confirm(session, int(arguments[0]) if arguments else 0)

    def _unknown(self, row: Row) -> list[str]:
        if row.values[0] == CONNECT or self._panel.now.sr_unknown_client_81 == "86":
            return [self._advice(row.line, UNKNOWN_CLIENT)]
        return [written((BAD_ARGUMENTS, str(row.line), "value is not a client id"))]

    # out

    def _rows(self, line: int, outcome: Outcome | Ending) -> Iterator[str]:
        """The answer to a connect in row ``line``."""
        if isinstance(outcome, Ending):
            return
        for parcel in outcome.batch.parcels:
            yield from self._formed(line, parcel)
        if outcome.advice is not None:
            yield self._advice(line, outcome.advice)
        if outcome.batch.number:
            yield written((BATCH, str(outcome.batch.number)))

    def _formed(self, line: int, parcel: Parcel) -> Iterator[str]:
        for group in parcel.groups:
            if parcel.marked:
                yield written((GROUP, str(len(group.rows)), group.x_id))
            for id, *values in group.rows:
                yield written((id, *self._line(line), *values))

    def _advice(self, line: int, advice: Advice) -> str:
        return written((ADVICE, *self._line(line), *advice.values()))

    def _line(self, line: int) -> tuple[str, ...]:
        return (str(line),) if self._panel.now.sr_line_numbers else ()
