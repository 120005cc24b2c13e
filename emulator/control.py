"""``/_control/…``: what a rehearsal needs and no platform offers. JSON in, JSON out.

Here is what concerns every platform: clock, faults, ledger, knobs, reset, credentials. A platform adds its own
verbs beside it (``mindsphere.cockpit``). It can mint tokens and hand out secrets, so it answers callers on
loopback only, and only under a loopback name: a web page in a browser of this machine must not reach it.
Errors are ``{"error":{"reason","detail"}}``.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from emulator.clock import Clock
from emulator.faults import NAMES, Fault, Faults
from emulator.knobs import KnobError, Panel
from emulator.ledger import Book
from emulator.timekeeper import STEP_S, Timekeeper

LOG = logging.getLogger("emulator")
BODY_LIMIT = 67_108_864  # the list of a large rehearsal's tenants, or the largest body to publish
PAGE_LIMIT = 5_000
PREFIX = "/_control"

Verb = Callable[["Fields"], Awaitable[Mapping[str, object]]]


class ControlError(Exception):
    """A request the control interface cannot follow."""

    def __init__(self, detail: str, *, reason: str = "misuse", status: int = 400) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason
        self.status = status


class Fields:
    """The members of a control request; every reader says what is wrong with a member."""

    def __init__(self, members: Mapping[str, object]) -> None:
        self._members = members

    def __contains__(self, name: str) -> bool:
        return self._members.get(name) is not None

    def names(self) -> list[str]:
        return list(self._members)

    def raw(self, name: str) -> object:
        return self._members.get(name)

    def text(self, name: str, default: str | None = None) -> str:
        value = self._members.get(name)
        value = default if value is None else value
        if not isinstance(value, str):
            raise ControlError(f"{name} must be text")
        return value

    def number(self, name: str, default: float | None = None, *, low: float = 0, high: float = 1e9) -> float:
        value = self._members.get(name)
        value = default if value is None else value
        if isinstance(value, str):  # query parameters are text
            value = _number_of(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ControlError(f"{name} must be a number from {low:g} to {high:g}")
        return float(value)

    def whole(self, name: str, default: int | None = None, *, low: int = 0, high: int = 10**9) -> int:
        value = self.number(name, default, low=low, high=high)
        if value != int(value):
            raise ControlError(f"{name} must be a whole number")
        return int(value)

    def flag(self, name: str) -> bool:
        value = self._members.get(name, False)
        if not isinstance(value, bool):
            raise ControlError(f"{name} must be true or false")
        return value

    def words(self, name: str) -> list[str]:
        """A list of texts; one text stands for a list of one; absent = empty."""
        value = self._members.get(name)
        value = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise ControlError(f"{name} must be a list of texts")
        return value


def _number_of(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def verb_routes(verbs: Mapping[tuple[str, str], Verb]) -> list[web.RouteDef]:
    """Routes for a table of (method, path below the prefix) → verb."""
    return [web.route(method, PREFIX + path, _handler(verb)) for (method, path), verb in verbs.items()]


def _handler(verb: Verb) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        members = await _members(request) if request.method != "GET" else dict(request.query)
        return web.json_response(await verb(Fields(members)))

    return answer


async def _members(request: web.Request) -> dict[str, object]:
    if request.content_type != "application/json":  # a cross-site form cannot send this without asking first
        raise ControlError("send application/json", status=415)
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise ControlError("the request is too large", status=413)
    try:
        members = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise ControlError("the request is not JSON") from error
    if not isinstance(members, dict):
        raise ControlError("the request is not a JSON object")
    return members


def control_error(error: ControlError) -> web.Response:
    return web.json_response({"error": {"reason": error.reason, "detail": error.detail}}, status=error.status)


def check_caller(request: web.Request, panel: Panel) -> None:
    """Callers beyond loopback, and loopback callers under a foreign name, are refused."""
    if panel.now.control_anywhere:
        return
    host = urlsplit(f"//{request.host}").hostname or ""
    if not _is_loopback(request.remote or "") or not _is_loopback(host):
        raise ControlError("the control interface answers on loopback only", reason="forbidden", status=403)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Control:
    """The verbs that concern every platform."""

    def __init__(
        self,
        clock: Clock,
        timekeeper: Timekeeper,
        faults: Faults,
        ledger: Book,
        panel: Panel,
        reset: Callable[[], Awaitable[None]],
        credentials: Callable[[str | None], Mapping[str, object]],
    ) -> None:
        self._clock = clock
        self._timekeeper = timekeeper
        self._faults = faults
        self._ledger = ledger
        self._panel = panel
        self._reset = reset
        self._credentials = credentials

    def verbs(self) -> dict[tuple[str, str], Verb]:
        return {
            ("GET", "/health"): self.health,
            ("GET", "/clock"): self.clock,
            ("POST", "/clock"): self.advance,
            ("GET", "/fault"): self.faults,
            ("POST", "/fault"): self.declare,
            ("GET", "/ledger"): self.ledger,
            ("GET", "/ledger/items"): self.items,
            ("GET", "/knobs"): self.knobs,
            ("POST", "/knobs"): self.turn,
            ("POST", "/reset"): self.reset,
            ("GET", "/credentials"): self.credentials,
        }

    async def health(self, fields: Fields) -> Mapping[str, object]:
        return {"status": "up"}

    async def clock(self, fields: Fields) -> Mapping[str, object]:
        return {"now": self._clock.now(), "still": self._clock.still}

    async def advance(self, fields: Fields) -> Mapping[str, object]:
        """Answers when everything due in the leap is done."""
        seconds = fields.number("advance", low=0, high=1e10)
        step_s = fields.number("step", STEP_S, low=STEP_S, high=1e10)
        return {"now": await self._timekeeper.advance(seconds, step_s), "still": self._clock.still}

    async def faults(self, fields: Fields) -> Mapping[str, object]:
        return {"faults": [_fault_json(fault) for fault in self._faults.active()]}

    async def declare(self, fields: Fields) -> Mapping[str, object]:
        name = fields.text("name")
        if name == "none":
            self._faults.clear()
        elif name not in NAMES:
            raise ControlError(f"there is no fault {name[:40]!r}; there are: none, {', '.join(NAMES)}")
        else:
            seconds = fields.number("for_s", high=1e10) if "for_s" in fields else None
            self._faults.declare(name, fields.number("probability", 1.0, high=1), seconds)
        self._timekeeper.nudge()
        return await self.faults(fields)

    async def ledger(self, fields: Fields) -> Mapping[str, object]:
        return self._ledger.totals.as_json()

    async def items(self, fields: Fields) -> Mapping[str, object]:
        """One page; ``next`` is the ``after`` of the following one, null at the end."""
        limit = fields.whole("limit", 1000, low=1, high=PAGE_LIMIT)
        items = self._ledger.items(fields.whole("after", 0, high=2**53), limit)
        return {"items": items, "next": items[-1]["number"] if len(items) == limit else None}

    async def knobs(self, fields: Fields) -> Mapping[str, object]:
        return {"knobs": self._panel.listing()}

    async def turn(self, fields: Fields) -> Mapping[str, object]:
        """Members are knobs by name, values as text or as JSON."""
        try:
            self._panel.turn({name: _word(fields.raw(name)) for name in fields.names()})
        except KnobError as error:
            raise ControlError(str(error)) from error
        return await self.knobs(fields)

    async def reset(self, fields: Fields) -> Mapping[str, object]:
        await self._reset()
        self._timekeeper.nudge()
        return {"reset": True}

    async def credentials(self, fields: Fields) -> Mapping[str, object]:
        return self._credentials(fields.text("tenant") if "tenant" in fields else None)


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _fault_json(fault: Fault) -> dict[str, object]:
    return {
        "name": fault.name,
        "probability": fault.probability,
        "starts_at": fault.starts_at,
        "ends_at": None if math.isinf(fault.ends_at) else fault.ends_at,
    }
