"""The routing table: which handler gets which notification, and what handlers and sinks look like.

Written down here once for teams and for the dispatcher; ``subscriber.handlers`` hands the names on. Nothing here runs
a handler: the table only answers questions. Patterns are those of ``fnmatch``, upper and lower case differ.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from types import ModuleType
from typing import Any, NoReturn, Protocol, cast, runtime_checkable

from subscriber.errors import HandlerError, SettingsError
from subscriber.model import CUMULOCITY, Dead, Done, Lane, Notification, Params, Retry, Tenant
from subscriber.settings import Settings
from subscriber.store import Cursor

Answer = Done | Retry | Dead | None  # None is Done()

HANDLER = "handler"  # the handler's own name among the sinks of a row: no sink may be called so
KNOWN_TOPICS = 1024  # (platform, topic) pairs whose routes are remembered; four platforms know some dozens
IN_ORDER = frozenset({CUMULOCITY})  # platforms that promise the order of each device: what a route keeps by default


class PlatformClient(Protocol):
    """Reads a platform's APIs in the name of one tenant: most notifications are hints, this fetches the state."""

    def get(self, path: str, params: Params | None = None) -> Any:
        """The parsed JSON at ``path`` below the platform's gateway, None for an empty answer.

        ``path`` starts with /api/ (MindSphere) or / (Cumulocity) and carries no query; ``params`` become one, a list
        repeats its name. Retries and waits for up to some minutes while the lease is renewed. Answers above 1 MiB are
        refused: ask in pages.

        Raises ``PlatformRefused`` (its ``upstream_status`` is 404 where the thing is gone), ``PlatformUnavailable``
        when asking later may help, ``HandlerError`` where this notification's platform has no client or its tenant
        has left (``tenant_left``), and ``ValueError`` for a path that leads elsewhere. A handler may let all of them
        pass: then the notification is tried again.
        """


class NoClient:
    """Stands where a handler has no client: asking is its error, and says why."""

    def __init__(self, why: str, reason: str) -> None:
        self._why = why
        self._reason = reason

    def get(self, path: str, params: Params | None = None) -> Any:
        raise HandlerError(f"attempt.platform.get: {self._why}", reason=self._reason)


class NoCursor:
    """Stands where a handler has no transaction: whatever is asked of it is the handler's error, and says why."""

    def __getattr__(self, name: str) -> NoReturn:
        raise HandlerError("attempt.cursor: only a route with transactional=True has one", reason="no_cursor")


NO_CLIENT = NoClient("this notification's platform is off here, or has no API to read from", "no_platform_client")
NO_NETWORK = NoClient(
    "a transactional route reads no platform, as nobody else could write while it waits for the network",
    "no_network_in_transaction",
)
NO_CURSOR = cast(Cursor, NoCursor())
PlatformClients = Callable[[Tenant], PlatformClient]


@dataclass(slots=True, eq=False)
class RunningAttempt:
    """The attempt as its handler sees it."""

    number: int  # from 1; a held attempt does not count
    lease_until: datetime  # moves on while the handler runs; past it, the notification may run elsewhere
    platform: PlatformClient = NO_CLIENT  # speaks for the notification's tenant; refuses on transactional routes
    cursor: Cursor = NO_CURSOR  # on transactional routes; what it writes stays only if the handler is done


class Handler(Protocol):
    """Does the work for one notification, on a thread of its own.

    It may run more than once for the same notification (``Notification.id`` stays the same), and ``payload`` is None
    once the body was pruned, which only a replay can meet. ``SinkUnavailable`` holds the whole route and costs no
    attempt; every other exception costs one and is tried again.

    On a transactional route, what it writes with ``attempt.cursor`` is committed together with the end of its
    attempt if it returns None or ``Done``, and undone otherwise. There it has 2 s on SQLite and 60 s on PostgreSQL.
    """

    def __call__(self, notification: Notification, attempt: RunningAttempt, /) -> Answer: ...


@runtime_checkable
class Sink(Protocol):
    """Gets every routed notification, beside its handler."""

    @property
    def name(self) -> str:
        """Remembered in rows as done: keep it short, unique, and the same over restarts."""

    def send(self, notification: Notification) -> Dead | None:
        """Hand it over: None if that is done, ``Dead`` if it never can be.

        Raises ``SinkUnavailable`` while the receiver is away; other exceptions cost an attempt.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class Route:
    """One line of the table. All four patterns have to match; absent values are empty and match ``*``.

    ``ordered`` and ``latest_only`` exclude each other: one handles all that a source has to say, in turn, the other
    only the newest. A route that says neither is ordered where the platform promises order.
    """

    platform: str = "*"
    topic: str = "*"
    action: str = "*"
    channel: str = "*"
    handler: Handler
    ordered: bool | None = None  # a source's notifications one after another, as they arrived; None: see is_ordered
    latest_only: bool = False  # skip a notification when a newer one of its source is in
    transactional: bool = False  # the handler writes in the transaction that ends its attempt
    max_attempts: int | None = None  # None: MAX_ATTEMPTS

    @property
    def takes_whole_topic(self) -> bool:
        """Does it take every notification of the topics it matches?"""
        return self.action == "*" and self.channel == "*"

    def is_ordered(self, platform: str) -> bool:
        """Does it keep the order of this platform's notifications?"""
        if self.ordered is None:
            return platform in IN_ORDER and not self.latest_only
        return self.ordered

    def __str__(self) -> str:
        """For logs: the handler's name and what it gets."""
        handler = getattr(self.handler, "__qualname__", type(self.handler).__qualname__)
        return f"{handler}({self.platform}, {self.topic}, {self.action}, {self.channel})"


class RoutingTable:
    """Built-in routes, then the team's: the first match wins, so that no table can shadow a built-in route."""

    def __init__(self, routes: Sequence[Route], built_in: Sequence[Route] = ()) -> None:
        self._routes = (*built_in, *routes)
        self._built_in = frozenset(built_in)
        self._of_topic = lru_cache(maxsize=KNOWN_TOPICS)(self._find_candidates)
        self._order_of_topic = lru_cache(maxsize=KNOWN_TOPICS)(self._find_order)

    def match(self, notification: Notification) -> Route | None:
        """The route of a notification, None if it has none."""
        for route in self.candidates(notification.platform, notification.topic):
            if route is None or _matches_rest(route, notification):
                return route
        return None

    def candidates(self, platform: str, topic: str) -> tuple[Route | None, ...]:
        """Every route that notifications of this topic may take, first match first; None stands for "no route"."""
        return self._of_topic(platform, topic)

    def ordered_over(self, lane: Lane) -> tuple[str, ...]:
        """The topic patterns over which a lane's rows keep their order, as ``Inbox.lease`` takes them.

        Those of the ordered routes that the lane's notifications may take; empty if there are none, and then the lane
        is not ordered. Which route a row takes is only known once it is leased, so rows of an ordered lane that go to
        another route keep the order as well, and wait for others of their source.
        """
        return self._order_of_topic(lane.tenant.platform, lane.topic)

    def is_built_in(self, route: Route | None) -> bool:
        return route in self._built_in

    def _find_candidates(self, platform: str, topic: str) -> tuple[Route | None, ...]:
        found: list[Route | None] = []
        for route in self._routes:
            if fnmatchcase(platform, route.platform) and fnmatchcase(topic, route.topic):
                found.append(route)
                if route.takes_whole_topic:
                    return tuple(found)
        return (*found, None)

    def _find_order(self, platform: str, topic: str) -> tuple[str, ...]:
        routes = self.candidates(platform, topic)
        patterns = [route.topic for route in routes if route is not None and route.is_ordered(platform)]
        return tuple(dict.fromkeys(patterns))


def _matches_rest(route: Route, notification: Notification) -> bool:
    return fnmatchcase(notification.action, route.action) and fnmatchcase(notification.channel, route.channel)


def load(path: str, settings: Settings) -> tuple[Route, ...]:
    """The team's routes at ``package.module:name``, a list of ``Route`` or a function of the settings that makes one.

    Raises ``SettingsError`` with everything that is wrong.
    """
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise SettingsError([f"HANDLERS is {path!r}: it must read package.module:name"])
    found = getattr(_import(module_name), name, None)
    if found is None:
        raise SettingsError([f"HANDLERS is {path!r}: module {module_name} has no {name!r}"])
    table = _call(found, path, settings) if callable(found) else found
    problems = _table_problems(table, path)
    if problems:
        raise SettingsError(problems)
    return tuple(table)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except SettingsError:
        raise
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise SettingsError([f"HANDLERS: there is no module {name!r}"]) from error
        raise SettingsError([f"HANDLERS: {name} imports {error.name!r}, which is not installed"]) from error
    except Exception as error:  # the team's code, as around a handler: anything may come out of it
        raise SettingsError([f"HANDLERS: importing {name} failed: {type(error).__name__}: {error}"]) from error


def _call(function: Callable[[Settings], Sequence[Route]], path: str, settings: Settings) -> Sequence[Route]:
    try:
        return function(settings)
    except SettingsError:
        raise
    except Exception as error:  # the team's code, as around a handler
        raise SettingsError([f"HANDLERS: calling {path} failed: {type(error).__name__}: {error}"]) from error


def _table_problems(table: object, path: str) -> list[str]:
    if not isinstance(table, (list, tuple)):
        return [f"HANDLERS: {path} gives a {type(table).__name__}; it must be a list of Route"]
    if not table:
        return [f"HANDLERS: {path} is an empty list: every notification would be dead as unrouted"]
    return [
        f"HANDLERS: entry {position} of {path}: {problem}"
        for position, route in enumerate(table, start=1)
        for problem in _route_problems(route)
    ]


def _route_problems(route: object) -> list[str]:
    if not isinstance(route, Route):
        return [f"a {type(route).__name__}, not a Route"]
    found = []
    for name in ("platform", "topic", "action", "channel"):
        if not isinstance(getattr(route, name), str):
            found.append(f"{name} must be a pattern (text)")
    if not callable(route.handler):
        found.append("its handler cannot be called")
    if route.max_attempts is not None and not (isinstance(route.max_attempts, int) and route.max_attempts >= 1):
        found.append("max_attempts must be a whole number from 1, or None")
    return [*found, *_promise_problems(route)]


def _promise_problems(route: Route) -> list[str]:
    """What is wrong with the promises a route makes, alone and together."""
    found = []
    if not isinstance(route.ordered, bool | None):
        found.append("ordered must be True, False or None")
    for name in ("latest_only", "transactional"):
        if not isinstance(getattr(route, name), bool):
            found.append(f"{name} must be True or False")
    if route.ordered and route.latest_only:
        found.append("ordered handles all of a source in turn, latest_only skips to its newest: choose one of them")
    if route.transactional and isinstance(route.handler, Sink):
        found.append("transactional, but its handler is a sink, which waits for the network: leave one of them out")
    return found
