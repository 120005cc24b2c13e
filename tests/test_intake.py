"""The one door: who is let in, what is kept, what counts as the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

import migrations
from subscriber.errors import Forbidden, InvalidToken, RefusedDelivery, StoreUnavailable, SubscriberError
from subscriber.intake import Arrived, Intake, Kept, keep_later
from subscriber.metrics import Metrics
from subscriber.model import Claims, Receipt, State, Tenant
from subscriber.services import mindsphere_gate
from subscriber.settings import Settings
from subscriber.store import Inbox, RowFilter, Store, open_store
from tests.signing import KeyServer, bearer, broker_claims, jwk, mint

CUSTAA, CUSTBB = Tenant("mindsphere", "custaa"), Tenant("mindsphere", "custbb")
ASSET = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"
EVENTS = "mdsp.core.eventmanagement.v1.pubsub.eventnotification"
START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


class World:
    """An intake over a real store, a key server, and a clock that tests move."""

    def __init__(self, folder: Path, keys: KeyServer) -> None:
        self.now = START
        self.keys = keys
        url = f"sqlite:///{folder}/inbox.db"
        migrations.apply(url)
        self.store: Store = open_store(url, clock=lambda: self.now)
        settings = Settings.from_environ(
            {
                "MDSP_PIAM_URL": keys.url + "/{tenant}.piam",
                "MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-v1.4.2",
                "MDSP_KEY_STORE_CLIENT_SECRET": "s",
                "MDSP_OS_VM_APP_NAME": "alarmapi",
                "MDSP_OS_VM_APP_VERSION": "v1.4.2",
            }
        ).mindsphere
        assert settings is not None
        self.intake = Intake(self.store.inbox, {"mindsphere": mindsphere_gate(settings, Metrics())}, lambda: self.now)

    def claims(self, **changes: object) -> Claims:
        token = mint(broker_claims(self.keys.issuer("core"), **{"ten": "core"} | changes))
        return self.intake.authenticate("mindsphere", bearer(token))

    def deliver(self, body: bytes, *, headers: dict[str, str] | None = None, **changes: object) -> Kept:
        return self.intake.receive(self.claims(**changes), "mindsphere", headers or {}, body)

    def rows(self, tenant: Tenant | None = None) -> list[Any]:
        return self.store.reports.rows(RowFilter(tenant=tenant), 100).rows

    def letters(self, tenant: Tenant | None = None) -> list[Any]:
        return self.store.reports.dead_letters(tenant, 100)

    def later(self, **ago: float) -> None:
        self.now += timedelta(**ago)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with KeyServer() as keys:
        keys.publish([jwk()])
        made = World(tmp_path, keys)
        yield made
        made.store.close()


def asset(*tenants: str, **changes: str) -> bytes:
    change = {"id": "m-1", "action": "UPDATE", "timestamp": "2026-03-02T09:59:59.000Z"} | changes
    return json.dumps({"header": {"topic": ASSET, "tenantContext": tenants or ["custaa"]}, "asset": change}).encode()


def event(id: str = "e-1") -> bytes:
    """Create and update of an event read alike: its id, its asset, its own time."""
    item = {"id": id, "assetId": "m-1", "timestamp": "2026-03-02T09:59:00.000Z"}
    return json.dumps({"header": {"topic": EVENTS, "tenantContext": ["custaa"]}, "events": [item]}).encode()


def test_a_new_notification_is_kept_with_its_exact_bytes(world: World) -> None:
    assert world.deliver(asset()) is Kept.ACCEPTED
    (row,) = world.rows()
    assert (row.notification.tenant, row.notification.body, row.state) == (CUSTAA, asset(), State.PENDING)
    assert row.notification.received_at == START


def test_a_redelivery_is_a_duplicate_also_four_days_later_and_after_it_was_handled(world: World) -> None:
    world.deliver(asset())
    assert world.deliver(asset()) is Kept.DUPLICATE
    world.later(days=4)
    assert world.deliver(asset()) is Kept.DUPLICATE
    assert len(world.rows()) == 1 and world.store.reports.counts().duplicates == 2


def handled(world: World) -> None:
    from subscriber.model import Done

    inbox = world.store.inbox
    for attempt in inbox.lease(inbox.lanes(), 10, 30):
        assert inbox.settle(attempt, Done())


def test_create_then_update_of_an_event_two_minutes_apart_are_two_notifications(world: World) -> None:
    assert world.deliver(event()) is Kept.ACCEPTED
    world.later(seconds=5)
    assert world.deliver(event()) is Kept.DUPLICATE
    handled(world)
    world.later(seconds=115)
    assert world.deliver(event()) is Kept.ACCEPTED
    world.later(seconds=5)
    assert world.deliver(event()) is Kept.DUPLICATE
    assert [row.notification.repeat for row in world.rows()] == [1, 0]


def test_while_an_event_is_not_handled_its_update_adds_nothing(world: World) -> None:
    world.deliver(event())
    world.later(minutes=2)
    assert world.deliver(event()) is Kept.DUPLICATE


def test_the_same_words_to_two_tenants_are_two_notifications(world: World) -> None:
    assert world.deliver(asset("custaa")) is Kept.ACCEPTED
    assert world.deliver(asset("custbb")) is Kept.ACCEPTED
    assert world.deliver(asset("custaa", "custbb")) is Kept.DUPLICATE
    assert len(world.rows(CUSTAA)) == len(world.rows(CUSTBB)) == 1


def test_the_same_message_id_with_another_body_is_a_conflict_and_the_first_wins(world: World) -> None:
    id = {"x-mdsp-message-id": "m-77"}
    assert world.deliver(asset(), headers=id) is Kept.ACCEPTED
    assert world.deliver(asset(), headers=id) is Kept.DUPLICATE
    assert world.deliver(asset(id="m-2"), headers=id) is Kept.DEAD_LETTER
    (row,) = world.rows()
    assert row.notification.body == asset()
    (letter,) = world.letters(CUSTAA)
    assert (letter.letter.reason, letter.letter.body) == ("conflicting_duplicate", asset(id="m-2"))
    assert letter.letter.key == row.notification.key


def test_what_cannot_be_decoded_is_kept_once_with_a_count(world: World) -> None:
    for _ in range(3):
        assert world.deliver(b"{broken") is Kept.DEAD_LETTER
    (letter,) = world.letters()
    assert (letter.letter.tenant.name, letter.letter.reason, letter.letter.body) == ("core", "json", b"{broken")
    assert letter.count == 3 and not world.rows()


def test_an_unreadable_payload_is_filed_under_the_tenant_it_is_for(world: World) -> None:
    assert world.deliver(asset("custbb", id="x" * 300)) is Kept.DEAD_LETTER
    (letter,) = world.letters(CUSTBB)
    assert letter.letter.reason == "name"


def test_a_delivery_refused_unread_leaves_a_letter_without_a_body(world: World) -> None:
    refusal = RefusedDelivery("more than 10 bytes", reason="too_large", status=413)
    world.intake.refuse(world.claims(), "mindsphere", refusal, "999")
    world.intake.refuse(world.claims(), "mindsphere", refusal, "999")
    (letter,) = world.letters()
    assert (letter.letter.reason, letter.letter.body, letter.count) == ("too_large", None, 2)


def test_a_tenant_delivers_for_itself_alone(world: World) -> None:
    assert world.deliver(asset("custaa", "custbb"), ten="custaa") is Kept.ACCEPTED
    assert world.rows(CUSTBB) == []
    with pytest.raises(Forbidden, match="tenant"):
        world.deliver(asset("custbb"), ten="custaa")
    with pytest.raises(Forbidden, match="tenant"):
        world.deliver(asset("custbb", id="x" * 300), ten="custaa")
    assert world.rows(CUSTBB) == [] and world.letters(CUSTBB) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scope": ["alarmapi.other"]}, "scope"),
        ({"user_name": "somebody"}, "caller"),
        ({"client_id": "acmeop-alarmapi-v1.4.2"}, "caller"),
        ({"ten": None}, "tenant"),
    ],
)
def test_a_good_token_that_may_not_deliver_is_forbidden(world: World, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Forbidden) as caught:
        world.claims(**changes)
    assert caught.value.reason == reason


def test_a_token_of_a_zone_that_is_not_listed_is_invalid(world: World) -> None:
    with pytest.raises(InvalidToken, match="issuer"):
        world.claims(iss=world.keys.issuer("custaa"))


def test_deliveries_for_an_erased_tenant_are_acknowledged_counted_and_not_kept(world: World) -> None:
    world.deliver(asset())
    world.store.inbox.erase(CUSTAA)
    assert world.deliver(asset()) is Kept.DUPLICATE
    assert world.deliver(asset(id="m-9")) is Kept.DUPLICATE
    assert world.rows() == []


class Broken:
    """A store with a bug: it cannot say what became of anything."""

    def submit(self, *arrived: object) -> Broken:
        return self

    def receipts(self) -> list[Receipt]:
        raise TypeError("a secret " + "payload")

    def when_done(self, callback: Callable[[], None]) -> None:
        callback()


def test_whoever_waits_is_answered_once_whatever_breaks(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Kept | SubscriberError] = []
    ask_again = keep_later(cast(Inbox, Broken()), Arrived((), ()), told.append)
    ask_again()
    (outcome,) = told
    assert isinstance(outcome, StoreUnavailable) and outcome.status == 503
    assert "in receipts" in caplog.text and "a secret payload" not in caplog.text
