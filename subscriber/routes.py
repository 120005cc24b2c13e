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
from typing import Any, Protocol

from subscriber.errors import HandlerError, SettingsError
from subscriber.model import Dead, Done, Notification, Params, Retry, Tenant
from subscriber.settings import Settings

Answer = Done | Retry | Dead | None  # None is Done()

HANDLER = "handler"  # the handler's own name among the sinks of a row: no sink may be called so
KNOWN_TOPICS = 1024  # (platform, topic) pairs whose routes are remembered; four platforms know some dozens


class PlatformClient(Protocol):
    """Reads a platform's APIs in the name of one tenant: most notifications are hints, this fetches the state."""

    def get(self, path: str, params: Params | None = None) -> Any:
        """The parsed JSON at ``path`` below the platform's gateway, None for an empty answer.

        ``path`` starts with /api/ and carries no query; ``params`` become one, a list repeats its name. Retries and
        waits for up to some minutes while the lease is renewed. Answers above 1 MiB are refused: ask in pages.

        Raises ``PlatformRefused`` (its ``upstream_status`` is 404 where the thing is gone), ``PlatformUnavailable``
        when asking later may help, ``HandlerError`` where this notification's platform has no client or its tenant
        has left (``tenant_left``), and ``ValueError`` for a path that leads elsewhere. A handler may let all of them
        pass: then the notification is tried again.
        """


class NoClient:
    """Stands where a notification's platform has no client: asking is an error of the handler, and says so."""

    def get(self, path: str, params: Params | None = None) -> Any:
        detail = "attempt.platform.get: this notification's platform is off here, or has no API to read from"
        raise HandlerError(detail, reason="no_platform_client")


NO_CLIENT = NoClient()
PlatformClients = Callable[[Tenant], PlatformClient]


@dataclass(slots=True, eq=False)
class RunningAttempt:
    """The attempt as its handler sees it."""

    number: int  # from 1; a held attempt does not count
    lease_until: datetime  # moves on while the handler runs; past it, the notification may run elsewhere
    platform: PlatformClient = NO_CLIENT  # speaks for the notification's tenant


class Handler(Protocol):
    """Does the work for one notification, on a thread of its own.

    It may run more than once for the same notification (``Notification.id`` stays the same), and ``payload`` is None
    once the body was pruned, which only a replay can meet. ``SinkUnavailable`` holds the whole route and costs no
    attempt; every other exception costs one and is tried again.
    """

    def __call__(self, notification: Notification, attempt: RunningAttempt, /) -> Answer: ...


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
    """One line of the table. All four patterns have to match; absent values are empty and match ``*``."""

    platform: str = "*"
    topic: str = "*"
    action: str = "*"
    channel: str = "*"
    handler: Handler
    latest_only: bool = False  # skip a notification when a newer one of its source is in
    max_attempts: int | None = None  # None: MAX_ATTEMPTS

    @property
    def takes_whole_topic(self) -> bool:
        """Does it take every notification of the topics it matches?"""
        return self.action == "*" and self.channel == "*"

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

    def match(self, notification: Notification) -> Route | None:
        """The route of a notification, None if it has none."""
        for route in self.candidates(notification.platform, notification.topic):
            if route is None or _matches_rest(route, notification):
                return route
        return None

    def candidates(self, platform: str, topic: str) -> tuple[Route | None, ...]:
        """Every route that notifications of this topic may take, first match first; None stands for "no route"."""
        return self._of_topic(platform, topic)

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
    return found
