"""Single rules and consumers, against a small platform whose answers the test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from subscriber.cumulocity.directory import Directory
from subscriber.cumulocity.gateway import ServiceGateway
from subscriber.cumulocity.notifications import Notifications
from subscriber.cumulocity.plan import of_consumer, of_rule
from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.platforms.cumulocity_api import Grant, Rule, ServiceUser
from subscriber.registration.patience import Patience
from subscriber.registration.plan import Keep, Subscribe, Unsubscribe
from subscriber.transport import Transport
from tests.cumulocity.conftest import T123

RULE = Rule(name="cold", apis=("alarms",))
GRANT = Grant(subscription="cold", subscriber="ingest")


class SmallPlatform:
    """Keeps rules by id; ``replies`` puts an answer in the place of a path's own."""

    def __init__(self) -> None:
        self.rules: dict[str, dict[str, Any]] = {}
        self.replies: dict[str, tuple[int, Any]] = {}
        self.page_size = 2  # short pages, as with filters that are applied late
        self.calls: list[tuple[str, str]] = []
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        self.server = server
        self.url = f"http://127.0.0.1:{server.server_port}"

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        self.calls.append((method, path))
        if path in self.replies:
            return self.replies[path]
        if path == "/notification2/token":
            return 200, {"token": "e30.e30.x"}
        if path == "/notification2/unsubscribe":
            return 200, {"result": "DONE"}
        if method == "POST":
            return self._create(body)
        if method == "DELETE":
            return (204, None) if self.rules.pop(path.rpartition("/")[2], None) else (404, {})
        start = (int(query["currentPage"][0]) - 1) * self.page_size
        return 200, {"subscriptions": list(self.rules.values())[start : start + self.page_size]}

    def _create(self, body: Any) -> tuple[int, Any]:
        if any(self._place(rule) == self._place(body) for rule in self.rules.values()):
            return 409, {"error": "reliable-notification/Duplicate", "message": "already exists"}
        id = str(len(self.calls))
        self.rules[id] = {"id": id, **body}
        return 201, self.rules[id]

    def _place(self, rule: dict[str, Any]) -> tuple[Any, ...]:
        return rule["subscription"], rule["context"], rule.get("source", {}).get("id")


def _handler(platform: SmallPlatform) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = orjson.loads(self.rfile.read(length)) if length else None
            status, reply = platform.answer(self.command, self.path, body)
            content = b"" if reply is None else orjson.dumps(reply)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def platform() -> Iterator[SmallPlatform]:
    platform = SmallPlatform()
    thread = threading.Thread(target=platform.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield platform
    platform.server.shutdown()
    platform.server.server_close()
    thread.join(5)


def notifications_at(platform: SmallPlatform, *, replacing: bool = False) -> Notifications:
    directory = Directory(lambda: (ServiceUser(tenant="t123", name="hub", password="p"),))
    gateway = ServiceGateway(directory, Transport(platform.url, attempts=1))
    return Notifications(gateway, Patience(lambda seconds: True, lambda: 0.0), replacing=replacing)


@pytest.fixture
def notifications(platform: SmallPlatform) -> Iterator[Notifications]:
    made = notifications_at(platform)
    yield made
    made.close()


def device(number: int) -> Rule:
    return Rule(name="cold", source=str(number), apis=("events",))


def test_all_pages_are_read_until_one_is_empty(platform: SmallPlatform, notifications: Notifications) -> None:
    rules = [device(number) for number in range(5)]
    for rule in rules:
        notifications.perform(Subscribe(of_rule(T123, rule), "new"))
    assert [stored.rule for stored in notifications.rules(T123, "cold")] == rules


def test_rules_of_other_names_are_not_ours_whatever_the_platform_filters(
    platform: SmallPlatform, notifications: Notifications
) -> None:
    notifications.perform(Subscribe(of_rule(T123, Rule(name="warm")), "new"))
    assert notifications.rules(T123, "cold") == []


def test_making_a_rule_twice_finds_it(platform: SmallPlatform, notifications: Notifications) -> None:
    for _ in range(2):
        assert not notifications.perform(Subscribe(of_rule(T123, RULE), "new"))
    assert len(platform.rules) == 1


def test_a_rule_that_was_lost_counts_as_repaired(platform: SmallPlatform, notifications: Notifications) -> None:
    assert notifications.perform(Subscribe(of_rule(T123, RULE), "lost"))


def test_a_rule_with_other_filters_stays_unless_it_is_to_be_replaced(
    platform: SmallPlatform, notifications: Notifications
) -> None:
    notifications.perform(Subscribe(of_rule(T123, RULE), "new"))
    changed = Subscribe(of_rule(T123, Rule(name="cold", apis=("events",))), "differs")
    with pytest.raises(PlatformRefused, match="lost") as caught:
        notifications.perform(changed)
    assert caught.value.reason == "differs"
    replacing = notifications_at(platform, replacing=True)
    replacing.perform(changed)
    replacing.close()
    assert [rule["subscriptionFilter"] for rule in platform.rules.values()] == [{"apis": ["events"]}]


def test_a_twin_of_the_other_persistence_is_named_where_the_platform_takes_only_one(
    platform: SmallPlatform, notifications: Notifications
) -> None:
    notifications.perform(Subscribe(of_rule(T123, RULE), "new"))
    with pytest.raises(PlatformRefused, match="nonPersistent") as caught:
        notifications.perform(Subscribe(of_rule(T123, Rule(name="cold", non_persistent=True)), "new"))
    assert caught.value.reason == "subscription_exists"


def test_what_is_kept_costs_no_call(platform: SmallPlatform, notifications: Notifications) -> None:
    notifications.perform(Keep(of_rule(T123, RULE), due=True))
    assert platform.calls == []


def test_removing_what_is_gone_is_fine(platform: SmallPlatform, notifications: Notifications) -> None:
    notifications.perform(Unsubscribe(of_rule(T123, RULE), "asked"))
    notifications.perform(Subscribe(of_rule(T123, RULE), "new"))
    notifications.perform(Unsubscribe(of_rule(T123, RULE), "asked"))
    assert platform.rules == {}


def test_a_consumer_is_ended_with_a_token_of_its_own(platform: SmallPlatform, notifications: Notifications) -> None:
    notifications.perform(Unsubscribe(of_consumer(T123, GRANT), "asked"))
    assert platform.calls == [("POST", "/notification2/token"), ("POST", "/notification2/unsubscribe")]


def test_a_consumer_that_is_gone_makes_the_platform_fail_and_is_fine(
    platform: SmallPlatform, notifications: Notifications
) -> None:
    platform.replies["/notification2/unsubscribe"] = (500, {"error": "x", "message": "topic not found"})
    notifications.perform(Unsubscribe(of_consumer(T123, GRANT), "asked"))


def test_a_platform_that_is_away_has_not_ended_a_consumer(
    platform: SmallPlatform, notifications: Notifications
) -> None:
    platform.replies["/notification2/unsubscribe"] = (503, None)
    with pytest.raises(PlatformUnavailable):
        notifications.perform(Unsubscribe(of_consumer(T123, GRANT), "asked"))


def test_a_consumer_changes_its_kind_only_with_its_backlog(
    platform: SmallPlatform, notifications: Notifications
) -> None:
    change = Subscribe(of_consumer(T123, GRANT), "differs")
    with pytest.raises(PlatformRefused, match="backlog"):
        notifications.perform(change)
    replacing = notifications_at(platform, replacing=True)
    replacing.perform(change)
    replacing.close()
    assert [path.rpartition("/")[2] for _, path in platform.calls] == ["token", "unsubscribe", "token"]
