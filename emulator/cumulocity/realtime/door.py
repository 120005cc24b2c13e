"""The notification endpoints: who is calling, and in which dialect.

Seed 003: every endpoint of the real-time API takes SmartREST too, and the header ``X-Id`` says which it is. Each has
an older name. JSON clients append the verb, or just a slash.
"""

from __future__ import annotations

from aiohttp import web

from emulator.cumulocity.access import Access
from emulator.cumulocity.errors import Handler, Refused, guarded, wrong_verb
from emulator.cumulocity.realtime.channels import OLD_AND_NEW
from emulator.cumulocity.realtime.csv_dialect import Caller, CsvDialect
from emulator.cumulocity.realtime.json_dialect import JsonDialect
from emulator.cumulocity.realtime.sessions import Family

BODY_LIMIT = 4_194_304  # subscriptions to 10,000 channels with long X-Ids
TAIL = "{verb:(?:/(?:handshake|subscribe|unsubscribe|connect|disconnect)?)?}"
JSON_TYPES = frozenset({"application/json", "text/json"})


class Door:
    """POST only."""

    def __init__(self, access: Access, csv: CsvDialect, json: JsonDialect) -> None:
        self._access = access
        self._csv = csv
        self._json = json

    def routes(self, base: str) -> list[web.RouteDef]:
        found = []
        for family, paths in OLD_AND_NEW.items():
            for path in paths:
                found.append(web.post(base + path + TAIL, guarded(self._handler(family))))
                found.append(web.route("*", base + path + TAIL, guarded(wrong_verb)))
        return found

    def _handler(self, family: Family) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            user = self._access.caller(request)
            x_id = request.headers.get("X-Id", "").strip()
            if x_id:
                return await self._csv.answer(request, Caller(user, family, x_id), await read_text(request))
            if request.content_type not in JSON_TYPES:
                raise Refused(400, "realtime/Bad Request", "without X-Id the body is application/json")
            return await self._json.answer(request, user, family, await read_text(request))

        return handler


async def read_text(request: web.Request) -> str:
    """The body, whatever its media type says; UTF-8."""
    chunks = bytearray()
    async for chunk in request.content.iter_any():
        chunks += chunk
        if len(chunks) > BODY_LIMIT:
            raise Refused(413, "general/Payload Too Large", f"the body exceeds {BODY_LIMIT} bytes")
    try:
        return chunks.decode()
    except UnicodeDecodeError as error:
        raise Refused(400, "general/Bad Request", "the body is not UTF-8") from error
