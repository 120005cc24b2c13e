"""``/s``: collections of templates are looked for, created and used.

"SmartREST 1.0, registration process", "using SmartREST with multiple X-IDs", "built-in messages". The status is 200
whatever becomes of the rows; each wrong one has an error row. Rows 80 to 84 are at home elsewhere (assumed).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aiohttp import web

from emulator.clock import Clock
from emulator.cumulocity.access import Access
from emulator.cumulocity.changes import stamp
from emulator.cumulocity.directory import User
from emulator.cumulocity.errors import guarded, wrong_verb
from emulator.cumulocity.realtime.csv_dialect import (
    BAD_ARGUMENTS,
    BAD_ID,
    CALL_FAILED,
    CONTENT_TYPE,
    GROUP,
    MALFORMED,
    NO_TEMPLATE,
)
from emulator.cumulocity.realtime.door import read_text
from emulator.cumulocity.realtime.proxy import Failed, Proxy
from emulator.cumulocity.realtime.rows import Row, parsed, written
from emulator.cumulocity.realtime.template_store import TemplateStore
from emulator.cumulocity.realtime.templates import REQUEST, RESPONSE, ArgumentError, Collection, TemplateError
from emulator.knobs import Panel

SWITCH, FOUND, REFUSED = "15", "20", "41"
Part = tuple[str, list[Row]]  # an X-Id and its rows


class SmartRestApi:
    """Ordinary SmartREST, as far as real-time notifications need it."""

    def __init__(self, access: Access, templates: TemplateStore, proxy: Proxy, clock: Clock, panel: Panel) -> None:
        self._access = access
        self._templates = templates
        self._proxy = proxy
        self._clock = clock
        self._panel = panel

    def routes(self, base: str) -> list[web.RouteDef]:
        path = base + "/s{slash:/?}"
        return [web.post(path, guarded(self.post)), web.route("*", path, guarded(wrong_verb))]

    async def post(self, request: web.Request) -> web.StreamResponse:
        user = self._access.caller(request)
        x_id = request.headers.get("X-Id", "").strip()
        rows = list(parsed(await read_text(request)))
        if x_id and any(row.values[:1] in ((REQUEST,), (RESPONSE,)) for row in rows):
            said = [self._register(user, x_id, rows)]
        else:
            said = await self._use(user, x_id, rows, request.headers["Authorization"])
        body = ("\r\n" if self._panel.now.sr_crlf else "\n").join(said)
        return web.Response(body=body.encode(), headers={"Content-Type": CONTENT_TYPE})

    def _register(self, user: User, x_id: str, rows: Sequence[Row]) -> str:
        try:
            made = self._templates.register(user.tenant, x_id, [row.values for row in rows])
        except TemplateError as error:
            return written((REFUSED, str(error.line), str(error)))
        return written((FOUND, made.id))

    async def _use(self, user: User, x_id: str, rows: Sequence[Row], authorization: str) -> list[str]:
        """With rows 15 each answer is preceded by row 87, which says whose it is and how long."""
        said: list[str] = []
        for name, part in _parts(x_id, rows):
            found = self._templates.find(user.tenant, name)
            if found is None:
                said.append(NO_TEMPLATE)
            elif not part:
                said.append(written((FOUND, found.id)))
            else:
                lines = [line for row in part for line in await self._row(found, row, authorization)]
                said += [written((GROUP, str(len(lines)), name))] if lines and not x_id else []
                said += lines
        return said

    async def _row(self, found: Collection, row: Row, authorization: str) -> list[str]:
        line = str(row.line)
        if not row.values:
            return [written((MALFORMED, line, "malformed request"))]
        id, *arguments = row.values
        template = found.requests.get(id)
        if template is None:
            return [written((BAD_ID, line, "invalid message identifier"))]
        try:
            document = await self._proxy.call(template.request(arguments, stamp(self._clock.now())), authorization)
        except ArgumentError as error:
            return [written((BAD_ARGUMENTS, line, str(error)))]
        except Failed as error:
            return [written((CALL_FAILED, line, str(error.status)))]
        return [written((id, line, *values)) for id, *values in found.rows(document)]


def _parts(x_id: str, rows: Sequence[Row]) -> Iterator[Part]:
    """The header's X-Id with all rows, or each of the rows 15 with those behind it."""
    if x_id:
        yield x_id, list(rows)
        return
    current: Part = ("", [])
    for row in rows:
        if row.values[:1] == (SWITCH,):
            if current[0]:
                yield current
            current = (row.values[1] if len(row.values) == 2 else "?", [])
        else:
            current[1].append(row)
    yield current
