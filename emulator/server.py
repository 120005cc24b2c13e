"""Everything on one port: one aiohttp application for all platforms and for control.

``build_app`` is for whoever runs the emulator inside another process; ``serve`` is the command. State file, port
and certificate problems are told before anything is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from emulator.addressing import addressed
from emulator.clock import Anchor, Clock
from emulator.control import PREFIX, Control, ControlError, check_caller, control_error, verb_routes
from emulator.cumulocity.cockpit import Cockpit as CumulocityCockpit
from emulator.cumulocity.directory import OWNER, DirectoryError
from emulator.cumulocity.errors import Refused, refusal
from emulator.cumulocity.platform import PREFIXES, Cumulocity
from emulator.cumulocity.realtime.cockpit import Cockpit as RealtimeCockpit
from emulator.faults import Chance, Faults
from emulator.journal import Journal, StateError
from emulator.knobs import Knobs, Panel
from emulator.ledger import Books, Ledger
from emulator.mindsphere.cockpit import Cockpit
from emulator.mindsphere.errors import Handler, PlatformError, envelope
from emulator.mindsphere.platform import MindSphere
from emulator.mindsphere.registry import SEED_HOST, RegistryError
from emulator.pelion.cockpit import Cockpit as PelionCockpit
from emulator.pelion.platform import Pelion
from emulator.timekeeper import Timekeeper

LOG = logging.getLogger("emulator")
HANDLER_LIMIT = 16_777_216  # aiohttp's own bound for small bodies; larger ones are read with their own limits
SHUTDOWN_S = 2.0
HEADER_LIMIT = 65_536  # a token with many scopes outgrows aiohttp's 8 KiB


@dataclass(frozen=True, slots=True)
class Config:
    """How to start. ``app`` is the subscriber's own address, behind the gateway."""

    host: str = "127.0.0.1"
    port: int = 8090  # 0 = any free one
    state: Path = Path("var/emulator.db")
    app: str = "http://127.0.0.1:8080"
    seed: int = 1
    virtual: bool = False
    knobs: Knobs = field(default_factory=Knobs)


class Emulator:
    """The emulated world: state, time, platforms."""

    def __init__(self, config: Config) -> None:
        self.panel = Panel(config.knobs)
        _check_certificates(config.knobs)
        self.journal = Journal(config.state)
        self.clock = _clock(config, self.journal)
        chance = Chance(config.seed)
        self.faults = Faults(self.journal, self.clock, chance)
        self.ledger = Ledger(self.journal)
        self.mindsphere = MindSphere(
            self.journal, self.ledger, self.clock, self.faults, chance, self.panel, config.app
        )
        self.pelion = Pelion(self.journal, self.clock, self.faults, chance, self.panel)
        self.cumulocity = Cumulocity(self.journal, self.clock, self.faults, chance, self.panel)
        books = [self.ledger, self.cumulocity.book, self.pelion.queue, self.cumulocity.realtime.book]
        self.books = Books(books)
        self.timekeeper = Timekeeper(self.clock, [self.mindsphere, self.cumulocity, self.pelion])
        self.cumulocity.on_alarm(self.timekeeper.nudge)
        self.mindsphere.courier.on_alarm = self.timekeeper.nudge
        self.pelion.on_alarm(self.timekeeper.nudge)
        self._chance = chance

    def listening_at(self, url: str) -> None:
        """The address callers use; tokens and credentials name it."""
        self.mindsphere.addresses.public = url
        self.cumulocity.public = url
        self.pelion.public = url

    def routes(self) -> list[web.RouteDef]:
        control = Control(
            self.clock,
            self.timekeeper,
            self.faults,
            self.books,
            self.panel,
            self.reset,
            self.credentials,
        )
        cockpit = Cockpit(self.mindsphere, self.panel, self.timekeeper.nudge)
        pelion = PelionCockpit(self.pelion, self._chance, self.timekeeper.nudge)
        cumulocity = CumulocityCockpit(self.cumulocity, self.timekeeper.nudge)
        realtime = RealtimeCockpit(self.cumulocity.realtime.bayeux)
        verbs = {
            **control.verbs(),
            **cockpit.verbs(),
            **cumulocity.verbs(),
            **realtime.verbs(),
            **pelion.verbs(),
        }
        homes = {"mindsphere": cockpit.publish, "cumulocity": cumulocity.publish, "pelion": pelion.publish}
        verbs["POST", "/publish"] = addressed(homes)
        for path, mindsphere, other in (
            ("/provision", cockpit.provision, cumulocity.provision),
            ("/deprovision", cockpit.deprovision, cumulocity.deprovision),
        ):
            verbs["POST", path] = addressed({"mindsphere": mindsphere, "cumulocity": other})
        # MindSphere last: the paths of its gateway are the most general
        platforms = (self.cumulocity, self.pelion, self.mindsphere)
        return [*verb_routes(verbs), *(route for platform in platforms for route in platform.routes())]

    def credentials(self, tenant: str | None = None) -> Mapping[str, object]:
        """Every platform's; ``tenant`` chooses on its own platform (``cumulocity/t124``, bare = MindSphere)."""
        platform, slash, name = (tenant or SEED_HOST).rpartition("/")
        try:
            mindsphere = self.mindsphere.credentials(SEED_HOST if slash else name)
            cumulocity = self.cumulocity.credentials(name if platform == "cumulocity" else OWNER)
        except (RegistryError, DirectoryError) as error:
            raise ControlError(str(error)) from error
        return {"mindsphere": mindsphere, "cumulocity": cumulocity, "pelion": self.pelion.credentials()}

    async def reset(self) -> None:
        """The seed world again: no messages, subscriptions or faults. Keys, credentials and the clock stay."""
        await self.mindsphere.courier.stop()
        await self.pelion.stop()
        with self.journal.transaction() as db:
            self.ledger.clear()
            self.mindsphere.subscriptions.clear()
            self.mindsphere.broker.calls.clear()
            db.execute("DELETE FROM facts")
            self.faults.clear()
            self.mindsphere.registry.reset()
            self.pelion.clear()
        self.panel.restore()
        self.cumulocity.reset()
        self.mindsphere.courier.start()
        self.pelion.start()

    async def goodbye(self, app: web.Application) -> None:
        """Before connections are cut: say so where a platform has a word for it."""
        self.cumulocity.close_sockets()
        await self.pelion.farewell()

    async def running(self, app: web.Application) -> AsyncIterator[None]:
        """An aiohttp cleanup context: everything that runs beside the requests."""
        await self.mindsphere.start()
        self.pelion.start()
        ticking = asyncio.create_task(self.timekeeper.run())
        yield
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
        await self.pelion.stop()
        await self.mindsphere.stop()
        self.cumulocity.stop()
        self.ledger.flush()
        self.journal.close()


def _check_certificates(knobs: Knobs) -> None:
    if knobs.app_ca_file:
        try:
            ssl.create_default_context(cafile=knobs.app_ca_file)
        except OSError as error:
            raise StateError(f"EMU_APP_CA_FILE: cannot read {knobs.app_ca_file}: {error}") from error


def _clock(config: Config, journal: Journal) -> Clock:
    kept = journal.recall("clock")
    resume = Anchor(*kept) if isinstance(kept, list) else None
    rate = 0.0 if config.virtual else config.knobs.time_scale
    return Clock(
        rate,
        resume=resume,
        on_change=lambda anchor: journal.remember("clock", [anchor.emulator, anchor.wall, anchor.rate]),
    )


def build_app(config: Config) -> tuple[web.Application, Emulator]:
    """The application and its world. Tell the world its address (``listening_at``) before the first request."""
    emulator = Emulator(config)
    app = web.Application(client_max_size=HANDLER_LIMIT, middlewares=[_errors(emulator.panel)])
    app.add_routes(emulator.routes())
    app.cleanup_ctx.append(emulator.running)
    app.on_shutdown.append(emulator.goodbye)
    return app, emulator


def _errors(panel: Panel) -> Middleware:
    """Refusals in the shape of the interface that was asked."""

    @web.middleware
    async def shape(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if request.path.startswith(PREFIX):
                return await _shape_control(request, handler, panel)
            return await handler(request)
        except web.HTTPNotFound:
            if request.path.startswith(f"{PREFIXES[0]}/"):
                return refusal(Refused(404, "general/Not Found", "there is nothing at this address"))
            return envelope(PlatformError("noMatch", "there is nothing at this address"))
        except web.HTTPMethodNotAllowed as error:
            response = envelope(PlatformError("methodNotAllowed", f"{error.method} is not allowed here"))
            response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
            return response

    return shape


async def _shape_control(request: web.Request, handler: Handler, panel: Panel) -> web.StreamResponse:
    try:
        check_caller(request, panel)
        return await handler(request)
    except ControlError as error:
        return control_error(error)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        detail = f"there is no {request.method} {request.path}"
        return control_error(ControlError(detail, reason="not_found", status=404))
    except web.HTTPException:
        raise
    except Exception as error:  # top of a request's task
        LOG.exception("action=control_failed path=%s", request.path)
        return control_error(ControlError(type(error).__name__, reason="bug", status=500))


class PortError(Exception):
    """The port cannot be had."""


async def serve(config: Config, announce: Callable[[str], None]) -> None:
    """Until SIGTERM or SIGINT. ``announce`` is told the address once callers are served."""
    listener = _listen(config)
    with contextlib.closing(listener):
        app, emulator = build_app(config)
        url = _address(config.host, listener.getsockname()[1])
        emulator.listening_at(url)  # before anything is signed or delivered
        runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=SHUTDOWN_S,
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
        )
        stop = _stop_signal()
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            announce(url)
            await stop.wait()
        finally:
            await runner.cleanup()


def _listen(config: Config) -> socket.socket:
    """The port before the state file: a second start must not touch anything."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=1024)
    except OSError as error:
        raise PortError(f"cannot listen on {config.host}:{config.port}: {error.strerror}") from error


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _address(host: str, port: int) -> str:
    name = "127.0.0.1" if host in ("0.0.0.0", "::", "localhost") else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
