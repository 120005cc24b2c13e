"""Conversations against a small server: stored before the next poll, kept over restarts, gaps told once."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest

from subscriber.channels.conversations import RESTART, Conversation, fact_name
from subscriber.channels.coverage import ON_ITS_WAY
from subscriber.errors import StoreUnavailable
from subscriber.model import Tenant
from subscriber.store import ChannelFact, Registry, Store
from tests.channels.small_realtime import SmallRealtime, small_realtime
from tests.channels.talking import Talking, conversation, gaps, rows, texts, wait_for


@pytest.fixture
def server() -> Iterator[SmallRealtime]:
    with small_realtime() as server:
        yield server


def test_a_conversation_begins_with_templates_handshake_and_subscription_and_stores_what_comes(
    server: SmallRealtime, store: Store
) -> None:
    with Talking(store, [conversation(server.url)]) as worker:
        wait_for(lambda: server.held)
        server.publish("/5010", "500,60001,5010", "501,reboot")
        server.publish("/5010", "500,60002,5010")
        wait_for(lambda: len(rows(store)) == 3)
        wait_for(lambda: worker.states() == {"connected": 1})
    client = next(iter(server.clients))
    assert server.requests == [b"", b"80,true", f"81,{client},/5010".encode()]
    assert texts(store) == ["500,60001,5010", "501,reboot", "500,60002,5010"]
    (first, *_) = rows(store)
    assert (first.notification.channel, first.notification.topic) == ("com.acme.gw-v3", "operations")
    assert first.notification.source == "5010"
    assert worker.counted.frames == {"new": 3} and not worker.counted.losses and not gaps(store)
    assert server.most_polls == 1 and set(server.headers) == {"com.acme.gw-v3"}


def test_templates_that_the_platform_lacks_are_registered_first(server: SmallRealtime, store: Store) -> None:
    server.templates.clear()
    with Talking(store, [conversation(server.url)]):
        wait_for(lambda: server.held)
    assert server.requests[:3] == [b"", b"11,500,,,$.id,$.deviceId\n11,501,,,$.text", b""]


def test_a_server_that_numbers_no_answers_is_asked_the_plain_way(server: SmallRealtime, store: Store) -> None:
    server.acknowledged = False
    with Talking(store, [conversation(server.url)]):
        wait_for(lambda: server.held)
        server.publish("/5010", "500,60001,5010")
        wait_for(lambda: rows(store))
    assert server.requests[1:3] == [b"80,true", b"80"]


@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_planned_stop_keeps_the_session_and_the_next_start_goes_on_with_it(
    server: SmallRealtime, store: Store, acknowledged: bool
) -> None:
    server.acknowledged = acknowledged
    with Talking(store, [conversation(server.url)]):
        wait_for(lambda: server.held)
        server.publish("/5010", "500,60001,5010")
        wait_for(lambda: rows(store))
        wait_for(lambda: server.held)
    wait_for(lambda: not server.held)
    asked = len(server.requests)
    server.publish("/5010", "500,60002,5010", "500,60003,5010")
    with Talking(store, [conversation(server.url)]) as worker:
        wait_for(lambda: len(rows(store)) == 3)
    assert len(server.requests) == asked and len(server.clients) == 1
    assert worker.counted.frames == {"new": 2} and not gaps(store)


def test_a_server_that_forgot_its_sessions_gets_a_new_one_and_the_gap_is_told_once(
    server: SmallRealtime, store: Store
) -> None:
    with Talking(store, [conversation(server.url)]) as worker:
        wait_for(lambda: server.held)
        server.publish("/5010", "500,60001,5010")
        wait_for(lambda: rows(store))
        wait_for(lambda: server.held)
        server.restart()
        wait_for(lambda: server.held)
        server.publish("/5010", "500,60002,5010")
        wait_for(lambda: len(rows(store)) == 2)
        wait_for(lambda: gaps(store))
    (gap,) = gaps(store)
    first, second = rows(store)
    assert (gap.reason, gap.channel, str(gap.tenant)) == ("session_lost", "com.acme.gw-v3", "smartrest/t402119")
    assert gap.lost_from < first.notification.received_at < gap.lost_from + 2 * ON_ITS_WAY
    assert first.notification.received_at <= gap.lost_until <= second.notification.received_at
    assert worker.counted.gaps == {"session_lost": 1}


def test_an_acknowledged_answer_that_got_lost_comes_again_and_is_stored_once(
    server: SmallRealtime, store: Store
) -> None:
    with Talking(store, [conversation(server.url)]) as worker:
        wait_for(lambda: server.polls == 1 and server.held)
        server.cut = 1
        server.publish("/5010", "500,60001,5010", "501,reboot", "500,60002,5010")
        wait_for(lambda: len(rows(store)) == 3)
    assert worker.counted.losses == ["connection_lost"] and not gaps(store)
    assert texts(store) == ["500,60001,5010", "501,reboot", "500,60002,5010"]


def test_of_an_answer_that_is_lost_for_good_what_came_whole_is_kept_and_the_gap_is_told(
    server: SmallRealtime, store: Store
) -> None:
    server.acknowledged = False
    with Talking(store, [conversation(server.url)]) as worker:
        wait_for(lambda: server.polls == 1 and server.held)
        server.cut = 1
        server.publish("/5010", "500,60001,5010", "501,reboot", "500,60002,5010")
        wait_for(lambda: server.lost)
        wait_for(lambda: server.held)
        server.publish("/5010", "500,60003,5010")
        wait_for(lambda: "500,60003,5010" in texts(store))
        wait_for(lambda: gaps(store))
    assert set(texts(store)) == {"500,60001,5010", "501,reboot", "500,60002,5010", "500,60003,5010"} - set(
        server.lost
    )
    assert [gap.reason for gap in gaps(store)] == ["answer_lost"] and worker.counted.gaps == {"answer_lost": 1}


def test_a_poll_that_is_silent_for_too_long_is_given_up_and_sent_anew(server: SmallRealtime, store: Store) -> None:
    with Talking(store, [conversation(server.url)], patience=lambda _: 0.3 if server.mute else 30.0) as worker:
        wait_for(lambda: server.polls == 1 and server.held)
        server.mute = True
        server.answer(b"")
        wait_for(lambda: "connection_lost" in worker.counted.losses)
        server.publish("/5010", "500,60001,5010")
        server.mute = False
        wait_for(lambda: rows(store))
    assert not gaps(store)


def test_heartbeats_keep_a_poll_alive_for_longer_than_its_patience(server: SmallRealtime, store: Store) -> None:
    server.heartbeat_seconds, server.hold_seconds = 0.1, 3.3
    with Talking(store, [conversation(server.url)], patience=lambda _: 3.0) as worker:
        wait_for(lambda: server.polls >= 2)
        server.publish("/5010", "500,60001,5010")
        wait_for(lambda: rows(store))
        assert worker.counted.losses == []


def test_a_session_sent_away_is_shown_as_stopped_until_a_person_asks_for_a_new_one(
    server: SmallRealtime, store: Store
) -> None:
    with Talking(store, [conversation(server.url)]) as worker:
        wait_for(lambda: server.held)
        server.answer(b"86,,,none")
        wait_for(lambda: worker.states() == {"stopped": 1})
        wait_for(lambda: [row.state for row in store.registry.channels("smartrest")] == ["stopped"])
        handshakes = server.requests.count(b"80,true")
        ask_to_restart(store)
        wait_for(lambda: server.requests.count(b"80,true") == handshakes + 1)
        wait_for(lambda: worker.states() == {"connected": 1})
        wait_for(lambda: gaps(store))
    assert [gap.reason for gap in gaps(store)] == ["session_lost"]
    assert worker.counted.losses == ["stopped"]


def ask_to_restart(store: Store, value: bytes = b"now") -> None:
    place = conversation("").place
    fact = ChannelFact(place.tenant, place.channel, fact_name(place, RESTART), value)
    store.inbox.add([], [], [fact])


class Moody:
    """A registry that now and then cannot be asked what is remembered of a channel."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.away = False
        self.asked = 0  # while away
        self.told = 0

    def channel_fact(self, tenant: Tenant, channel: str, name: str) -> bytes:
        self.asked += self.away
        if self.away:
            raise StoreUnavailable("the store is away")
        fact = self._registry.channel_fact(tenant, channel, name)
        self.told += 1
        return fact

    def __getattr__(self, name: str) -> object:
        return getattr(self._registry, name)


def test_a_stopped_session_stays_stopped_while_the_store_is_away_and_can_still_be_begun_anew(
    server: SmallRealtime, store: Store
) -> None:
    moody = Moody(store.registry)
    ask_to_restart(store)  # long ago
    with Talking(replace(store, registry=cast(Registry, moody)), [conversation(server.url)]) as worker:
        wait_for(lambda: server.held)
        moody.away = True
        server.answer(b"86,,,none")
        wait_for(lambda: worker.states() == {"stopped": 1} and moody.asked >= 3)
        told, moody.away = moody.told, False
        wait_for(lambda: moody.told > told + 1)
        wait_for(lambda: [row.state for row in store.registry.channels("smartrest")] == ["stopped"])
        assert server.requests.count(b"80,true") == 1 and worker.counted.losses == ["stopped"]
        ask_to_restart(store, b"again")
        wait_for(lambda: worker.states() == {"connected": 1})
    assert server.requests.count(b"80,true") == 2


def test_credentials_that_were_rotated_are_asked_for_anew(server: SmallRealtime, store: Store) -> None:
    server.password = "pw-2"
    asked = []

    def refused(old: Conversation) -> None:
        asked.append(old.user.password)
        worker.wanted = [conversation(server.url, password="pw-2")]

    with Talking(store, [conversation(server.url)], refused=refused) as worker:
        wait_for(lambda: server.held)
    assert set(asked) == {"pw-1"} and set(worker.counted.losses) == {"credentials_refused"}


def test_a_server_that_does_not_hold_polls_is_asked_slowly(server: SmallRealtime, store: Store) -> None:
    server.hold_seconds = 0.0
    with Talking(store, [conversation(server.url)]):
        wait_for(lambda: server.polls >= 2)
        time.sleep(1.0)  # a window to count in
        assert server.polls <= 6
        server.publish("/5010", "500,60001,5010")
        wait_for(lambda: rows(store))


def test_conversations_that_share_tenant_and_x_id_remember_each_their_own(
    server: SmallRealtime, store: Store
) -> None:
    both = [conversation(server.url), conversation(server.url, "/alarms/5010", path="/notification/realtime")]
    with Talking(store, both):
        wait_for(lambda: server.held == 2)
    wait_for(lambda: not server.held)
    server.publish("/5010", "501,a")
    server.publish("/alarms/5010", "501,b")
    with Talking(store, both):
        wait_for(lambda: len(rows(store)) == 2)
    assert sorted(row.notification.topic for row in rows(store)) == ["alarms", "operations"]
    assert len(server.clients) == 2 and not gaps(store)


def test_a_channel_that_is_refused_leaves_the_others_alone(
    server: SmallRealtime, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    server.refuse_channels = {"/5011"}
    with Talking(store, [conversation(server.url, "/5010", "/5011")]) as worker:
        wait_for(lambda: server.held)
        server.publish("/5010", "501,a")
        wait_for(lambda: rows(store))
    assert worker.counted.losses == ["row_refused"] and "/5011 is not given" in caplog.text


def test_rows_without_a_key_are_new_facts_also_after_a_restart(server: SmallRealtime, store: Store) -> None:
    for expected in (3, 5):
        with Talking(store, [conversation(server.url)]):
            wait_for(lambda: server.held)
            server.publish("/5010", "501,again", "501,again", "500,1,5010")
            wait_for(lambda expected=expected: len(rows(store)) == expected)
        wait_for(lambda: not server.held)
    assert texts(store) == ["501,again", "501,again", "500,1,5010", "501,again", "501,again"]


def test_a_server_that_fails_is_asked_again_and_loses_nothing(server: SmallRealtime, store: Store) -> None:
    with Talking(store, [conversation(server.url)]) as worker:
        wait_for(lambda: server.held)
        server.statuses = [503, 503]
        server.answer(b"")
        wait_for(lambda: len(worker.counted.losses) == 2)
        server.publish("/5010", "501,a")
        wait_for(lambda: rows(store))
    assert worker.counted.losses == ["unavailable", "unavailable"] and not gaps(store)


def test_a_conversation_that_is_not_wanted_any_more_is_let_go(server: SmallRealtime, store: Store) -> None:
    with Talking(store, [conversation(server.url)]) as worker:
        wait_for(lambda: server.held)
        worker.wanted = []
        wait_for(lambda: not server.held and worker.states() == {})
    assert not any(body.startswith(b"84") for body in server.requests)


def test_no_password_and_no_session_reaches_a_log_or_a_state(
    server: SmallRealtime, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Talking(store, [conversation(server.url)]):
        wait_for(lambda: server.held)
        names = set(server.clients)
        server.restart()
        wait_for(lambda: server.held)
        server.statuses = [500, 403]
        server.answer(b"")
        wait_for(lambda: not server.statuses and server.held)
    ours = [record for record in caplog.records if record.name.startswith("subscriber")]
    told = "".join(record.getMessage() for record in ours) + str(store.registry.channels())
    assert ours and not any(secret in told for secret in (*names, *server.clients, "pw-1"))


def test_a_worker_that_stops_while_its_platform_is_away_makes_up_no_gap(server: SmallRealtime, store: Store) -> None:
    server.acknowledged = False
    with Talking(store, [conversation(server.url)]) as worker:
        wait_for(lambda: server.held)
        server.statuses = [503] * 1000
        server.answer(b"")
        wait_for(lambda: "unavailable" in worker.counted.losses)
    server.statuses = []
    with Talking(store, [conversation(server.url)]):
        wait_for(lambda: server.held)
        server.publish("/5010", "501,a")
        wait_for(lambda: rows(store))
    assert not gaps(store)
