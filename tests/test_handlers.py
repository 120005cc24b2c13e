"""The team's file as it is shipped."""

from __future__ import annotations

from datetime import UTC, datetime

from subscriber import handlers
from subscriber.dispatcher import decisions
from subscriber.handlers import Dead, Done, Retry, Route, keep
from subscriber.model import Identity, Notification, Tenant
from subscriber.routes import Handler, RoutingTable, RunningAttempt

NOW = datetime(2026, 3, 2, tzinfo=UTC)
NOTIFICATION = Notification(
    tenant=Tenant("pelion", "c1"),
    key=b"\x01",
    identity=Identity.TIMED,
    topic="anything",
    channel="c1",
    action="x",
    received_at=NOW,
    body=b"{}",
)


def test_the_words_of_the_handlers_contract_are_here() -> None:
    assert Route(handler=keep).handler is keep
    for answer in (Done(), Retry(NOW, "later"), Dead("spam")):
        assert decisions.read_answer(answer) == answer


def test_the_shipped_table_ends_with_keep_which_takes_everything() -> None:
    assert handlers.routes[-1].handler is keep
    route = RoutingTable(handlers.routes).match(NOTIFICATION)
    assert route is not None and route.handler is keep


def test_keep_has_nothing_more_to_do() -> None:
    handler: Handler = keep
    assert decisions.read_answer(handler(NOTIFICATION, RunningAttempt(1, NOW))) == Done()
