"""Which route a notification takes, and what a table may not be."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from subscriber.errors import HandlerError, SettingsError
from subscriber.handlers import keep
from subscriber.model import CUMULOCITY, MINDSPHERE, PELION, Identity, Lane, Notification, Tenant
from subscriber.routes import NO_NETWORK, Route, RoutingTable, RunningAttempt, load
from subscriber.settings import Settings

ASSET = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"


def notification(
    platform: str = "mindsphere", topic: str = ASSET, action: str = "", channel: str = ""
) -> Notification:
    return Notification(
        tenant=Tenant(platform, "custaa"),
        key=b"\x01",
        identity=Identity.TIMED,
        topic=topic,
        action=action,
        channel=channel,
        received_at=datetime(2026, 3, 2, tzinfo=UTC),
        body=b"{}",
    )


@pytest.mark.parametrize(
    ("route", "matches"),
    [
        (Route(handler=keep), True),
        (Route(platform="mindsphere", handler=keep), True),
        (Route(platform="pelion", handler=keep), False),
        (Route(platform="MindSphere", handler=keep), False),
        (Route(topic="*.asset.*", handler=keep), True),
        (Route(topic="*.asset", handler=keep), False),
        (Route(topic="mdsp.core.*management.v[12].*", handler=keep), True),
        (Route(action="CREATE", handler=keep), True),
        (Route(action="create", handler=keep), False),
        (Route(action="?*", handler=keep), True),
        (Route(channel="", handler=keep), True),
        (Route(channel="?*", handler=keep), False),
    ],
)
def test_all_four_patterns_have_to_match(route: Route, matches: bool) -> None:
    assert RoutingTable([route]).match(notification(action="CREATE")) is (route if matches else None)


def test_the_first_match_wins() -> None:
    created, rest = Route(action="CREATE", handler=keep), Route(handler=keep)
    table = RoutingTable([created, rest])
    assert table.match(notification(action="CREATE")) is created
    assert table.match(notification(action="DELETE")) is rest
    assert RoutingTable([rest, created]).match(notification(action="CREATE")) is rest


def test_a_team_can_neither_replace_nor_shadow_a_built_in_route() -> None:
    built_in, greedy = Route(topic=ASSET, handler=keep), Route(handler=keep)
    table = RoutingTable([greedy, Route(topic=ASSET, handler=keep)], [built_in])
    assert table.match(notification()) is built_in
    assert table.match(notification(topic="other")) is greedy
    assert table.is_built_in(built_in) and not table.is_built_in(greedy) and not table.is_built_in(None)


def test_a_topic_has_as_candidates_all_routes_it_may_take_up_to_one_that_takes_everything() -> None:
    created = Route(topic="a*", action="CREATE", handler=keep)
    whole = Route(topic="a*", handler=keep)
    unreachable, elsewhere = Route(handler=keep), Route(platform="pelion", handler=keep)
    table = RoutingTable([elsewhere, created, whole, unreachable])
    assert table.candidates("mindsphere", "asset") == (created, whole)
    assert table.candidates("mindsphere", "b") == (unreachable,)
    assert RoutingTable([created]).candidates("mindsphere", "asset") == (created, None)


@pytest.mark.parametrize(
    ("route", "platforms"),
    [
        (Route(handler=keep), {CUMULOCITY}),
        (Route(ordered=True, handler=keep), {CUMULOCITY, MINDSPHERE, PELION}),
        (Route(ordered=False, handler=keep), set()),
        (Route(latest_only=True, handler=keep), set()),
        (Route(ordered=False, latest_only=True, handler=keep), set()),
    ],
)
def test_a_route_is_ordered_where_it_says_so_or_else_where_the_platform_promises_order(
    route: Route, platforms: set[str]
) -> None:
    known = (CUMULOCITY, MINDSPHERE, PELION)
    assert {platform for platform in known if route.is_ordered(platform)} == platforms


def test_a_lane_is_ordered_over_the_topics_of_the_ordered_routes_its_rows_may_take() -> None:
    table = RoutingTable(
        [
            Route(topic="alarms", action="CREATE", ordered=True, handler=keep),
            Route(topic="alarms", action="UPDATE", handler=keep),
            Route(topic="a*", action="DELETE", ordered=True, handler=keep),
            Route(topic="a*", channel="c", ordered=True, handler=keep),
            Route(topic="events", handler=keep),
            Route(platform=PELION, ordered=True, handler=keep),
        ]
    )

    def over(topic: str, platform: str = MINDSPHERE) -> tuple[str, ...]:
        return table.ordered_over(Lane(Tenant(platform, "custaa"), topic))

    assert over("alarms") == ("alarms", "a*"), "each pattern once"
    assert over("assets") == ("a*",)
    assert over("events") == over("else") == ()
    assert over("events", CUMULOCITY) == ("events",)
    assert over("else", PELION) == ("*",)


def test_a_route_reads_well_in_a_log() -> None:
    assert str(Route(platform="pelion", handler=keep)) == "keep(pelion, *, *, *)"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of a module whose source the test writes to ``tmp_path``."""
    name = "team_" + re.sub(r"\W", "_", tmp_path.name)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def write(tmp_path: Path, module: str, source: str) -> None:
    header = "from subscriber.handlers import Route, keep\n"
    (tmp_path / f"{module}.py").write_text(header + source)


def refusal(path: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(path, Settings())
    return caught.value.problems


def test_the_shipped_table_is_loaded_by_default() -> None:
    assert load(Settings().handlers, Settings())[-1].handler is keep


def test_a_table_may_be_a_list_or_a_function_of_the_settings(tmp_path: Path, module: str) -> None:
    write(
        tmp_path,
        module,
        "table = [Route(handler=keep)]\n"
        "def routes(settings): return [Route(handler=keep, max_attempts=settings.max_attempts)]",
    )
    assert load(f"{module}:table", Settings())[0].max_attempts is None
    assert load(f"{module}:routes", Settings(max_attempts=7))[0].max_attempts == 7


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("routes = {}", "gives a dict; it must be a list of Route"),
        ("routes = Route(handler=keep)", "gives a Route; it must be a list of Route"),
        ("def routes(settings): pass", "gives a NoneType; it must be a list of Route"),
        ("routes = []", "is an empty list: every notification would be dead as unrouted"),
        ("routes = [keep]", "entry 1 of {path}: a function, not a Route"),
        ("routes = [Route(handler='keep')]", "entry 1 of {path}: its handler cannot be called"),
        ("routes = [Route(handler=keep, topic=None)]", "entry 1 of {path}: topic must be a pattern (text)"),
        ("routes = [Route(handler=keep, max_attempts=0)]", "max_attempts must be a whole number from 1, or None"),
        ("routes = [Route(handler=keep, ordered='yes')]", "ordered must be True, False or None"),
        ("routes = [Route(handler=keep, latest_only=None)]", "latest_only must be True or False"),
        ("routes = [Route(handler=keep, transactional=1)]", "transactional must be True or False"),
        ("routes = [Route(handler=keep, ordered=True, latest_only=True)]", "latest_only skips to its newest"),
        (
            "from subscriber.sinks import forward\n"
            "routes = [Route(handler=forward('https://example.com'), transactional=True)]",
            "its handler is a sink, which waits for the network",
        ),
        ("other = 1", "has no 'routes'"),
        ("routes = [Route(handler=keep, topics='x')]", "unexpected keyword argument 'topics'"),
        ("def routes(): return []", "calling {path} failed: TypeError"),
        ("import nowhere_to_be_found", "imports 'nowhere_to_be_found', which is not installed"),
        ("routes = [", "importing {module} failed: SyntaxError"),
    ],
)
def test_a_table_that_cannot_be_used_says_what_is_wrong(
    tmp_path: Path, module: str, source: str, problem: str
) -> None:
    write(tmp_path, module, source)
    path = f"{module}:routes"
    [told] = refusal(path)
    assert told.startswith("HANDLERS") and problem.format(path=path, module=module) in told


def test_all_problems_of_a_table_are_told_at_once(tmp_path: Path, module: str) -> None:
    write(tmp_path, module, "routes = [1, Route(handler=keep), Route(handler=2, max_attempts=-1)]")
    assert len(refusal(f"{module}:routes")) == 3


@pytest.mark.parametrize(
    "path", ["nowhere_to_be_found:routes", "subscriber.nowhere:routes", "routes", ":routes", "m:"]
)
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    [told] = refusal(path)
    assert told.startswith("HANDLERS")


def test_problems_that_a_table_raises_itself_are_passed_on(tmp_path: Path, module: str) -> None:
    write(tmp_path, module, "from subscriber.sinks import forward\nroutes = [Route(handler=forward('nowhere'))]")
    [told] = refusal(f"{module}:routes")
    assert told.startswith("forward:")


def test_the_attempt_shows_its_number_and_its_lease() -> None:
    until = datetime(2026, 3, 2, tzinfo=UTC)
    assert (RunningAttempt(2, until).number, RunningAttempt(2, until).lease_until) == (2, until)


def test_an_attempt_without_a_platform_says_so_only_when_asked() -> None:
    attempt = RunningAttempt(1, datetime(2026, 3, 2, tzinfo=UTC))
    with pytest.raises(HandlerError, match="no API to read from"):
        attempt.platform.get("/api/x")


def test_on_a_transactional_route_the_platform_says_why_it_is_not_read() -> None:
    attempt = RunningAttempt(1, datetime(2026, 3, 2, tzinfo=UTC), NO_NETWORK)
    with pytest.raises(HandlerError, match="a transactional route reads no platform") as caught:
        attempt.platform.get("/api/x")
    assert caught.value.reason == "no_network_in_transaction"


def test_elsewhere_the_cursor_says_which_routes_have_one() -> None:
    attempt = RunningAttempt(1, datetime(2026, 3, 2, tzinfo=UTC))
    with pytest.raises(HandlerError, match="transactional=True") as caught:
        attempt.cursor.execute("SELECT 1")
    assert caught.value.reason == "no_cursor"
