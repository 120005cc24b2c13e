"""Real-time conversations against the emulated platform, with everything going wrong: no session gets stuck, every
delivered row is admitted once, and what may be missed is told, neither more nor less.

At full size a worker holds a thousand sessions.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import migrations
from emulator.demo import all_items
from subscriber.channels.conversations import Conversation
from subscriber.model import SMARTREST, Tenant
from subscriber.platforms.cumulocity_api import ServiceUser
from subscriber.platforms.smartrest.transitions import State
from subscriber.platforms.smartrest.turns import Request
from subscriber.settings.realtime import realtime_conversations
from subscriber.store import Gap, RowFilter, Store, open_store
from tests.channels.talking import Talking
from tests.emulator.running import Emulator, running_emulator, wait_for
from tests.journeys.rehearsal import FULL, Rehearsal, command_line

pytestmark = pytest.mark.journey

SESSIONS = 1_000 if FULL else 24
COUNT = 25  # changes a step; each is told to a fifth of the sessions
HEARTBEAT_SECONDS = 10 if FULL else 1
IMPATIENCE_SECONDS = 30.0 if FULL else 4.0  # where connections are half-open or heartbeats late
LATE_SECONDS = 1.5 * IMPATIENCE_SECONDS
DEADLINE_S = 600.0 if FULL else 60.0
CUTS = {"sr-cut": 0.2, "sr-lost": 0.2, "sr-cut-before": 0.2, "sr-duplicate": 0.2}


class World:
    """The emulated platform and a store; steps as an operator of either would make them."""

    def __init__(self, emulator: Emulator, store: Store) -> None:
        self.emulator = emulator
        self.store = store
        self.impatient = False  # polls that begin from now on are given up soon
        self.known: dict[str, Any] = emulator.control("/credentials")["cumulocity"]
        self.tenant = Tenant(SMARTREST, self.known["tenant"])

    def conversations(self) -> list[Conversation]:
        """Each with an X-Id of its own, which it registers itself, about one device."""
        (sample,) = self.known["realtime"]
        devices = self.known["devices"]
        entries = [
            {
                **sample,
                "x_id": f"com.acme.journey.{number}",
                "channels": [f"/{kind}/{devices[number % len(devices)]}" for kind in ("alarms", "measurements")],
            }
            for number in range(SESSIONS)
        ]
        user = ServiceUser(tenant=self.tenant.name, name=self.known["user"], password=self.known["password"])
        base_url = self.known["base_url"]
        return [
            Conversation(base_url=base_url, user=user, realtime=realtime)
            for realtime in realtime_conversations(json.dumps(entries))
        ]

    def patience(self, request: Request) -> float:
        impatient = self.impatient and request.state is State.CONNECT
        return IMPATIENCE_SECONDS if impatient else request.silence_seconds

    def talking(self) -> Talking:
        """A worker's conversations."""
        return Talking(self.store, self.conversations(), patience=self.patience)

    def publish(self, topic: str = "measurements", count: int = COUNT) -> None:
        self.control("/publish", {"tenant": f"cumulocity/{self.tenant.name}", "topic": topic, "count": count})

    def control(self, path: str, members: dict[str, Any] | None = None) -> Any:
        return self.emulator.control(path, members)

    def turn(self, **knobs: float) -> None:
        self.control("/knobs", dict(knobs))

    def cut(self) -> None:
        """Every held poll breaks; what is held when this returns began later."""
        self.control("/cumulocity/sessions/cut", {})
        self.all_held()

    def faults(self, wanted: Mapping[str, float]) -> None:
        """These from now on, and no others."""
        self.control("/fault", {"name": "none"})
        for name, probability in wanted.items():
            self.control("/fault", {"name": name, "probability": probability})

    def held(self) -> bool:
        """Does every session hold a poll?"""
        sessions = self.control("/cumulocity/sessions")["items"]
        return len({one["x_id"] for one in sessions if one["held"]}) == SESSIONS

    def all_held(self) -> None:
        wait_for(self.held, DEADLINE_S)

    def settled(self) -> None:
        """Nothing waits any more, and every session holds a poll."""
        wait_for(lambda: self.emulator.ledger()["pending"] == 0, DEADLINE_S)
        self.all_held()

    def rows(self) -> Counter[tuple[str, tuple[str, ...]]]:
        return rows_of(self.store, self.tenant)

    def gaps(self) -> dict[str, list[Gap]]:
        return gaps_of(self.store)

    def items(self) -> list[dict[str, Any]]:
        return [item for item in self.emulator.items() if item.get("platform") == SMARTREST]


def rows_of(store: Store, tenant: Tenant) -> Counter[tuple[str, tuple[str, ...]]]:
    """What the inbox holds: X-Id and row, and how often."""
    found: Counter[tuple[str, tuple[str, ...]]] = Counter()
    before: int | None = None
    while True:
        page = store.reports.rows(RowFilter(tenant=tenant), 1_000, before)
        found.update((row.notification.channel, tuple(row.notification.payload["row"])) for row in page.rows)
        before = page.next
        if before is None:
            return found


def gaps_of(store: Store) -> dict[str, list[Gap]]:
    """By X-Id."""
    found: dict[str, list[Gap]] = {}
    for gap in store.registry.gaps(100_000):
        assert gap.platform == SMARTREST
        found.setdefault(gap.channel, []).append(gap)
    return found


@contextmanager
def world(folder: Path, *knobs: str) -> Iterator[World]:
    arguments = ["EMU_SR_MAX_CONN=0", f"EMU_SR_HEARTBEAT_S={HEARTBEAT_SECONDS}", *knobs]
    url = f"sqlite:///{folder}/store.db"
    migrations.apply(url)
    with (
        running_emulator(*[part for knob in arguments for part in ("--knob", knob)]) as emulator,
        closing(open_store(url)) as store,
    ):
        yield World(emulator, store)


def admitted_once(world: World) -> list[dict[str, Any]]:
    """Whatever was delivered is in once, and nothing else is. Returns what was not delivered."""
    rows, items = world.rows(), world.items()
    assert rows and set(rows.values()) == {1}
    sent = {(item["x_id"], tuple(item["content"])): item for item in items}
    assert set(rows) <= set(sent)
    lost = [item for place, item in sent.items() if place not in rows]
    assert not [item for item in lost if item["state"] == "acknowledged"]
    assert {item["state"] for item in lost} <= {"dropped"}
    return lost


def told(item: Mapping[str, Any], gaps: Mapping[str, list[Gap]]) -> bool:
    """Does a gap of its channel cover it?"""
    at = datetime.fromtimestamp(item["published_at"], UTC)
    return any(gap.lost_from <= at <= gap.lost_until for gap in gaps.get(item["x_id"], ()))


def given_up(worker: Talking, count: int) -> None:
    """Wait until so many more polls were given up."""
    before = len(worker.counted.losses)
    wait_for(lambda: len(worker.counted.losses) >= before + count, DEADLINE_S)


def test_a_worker_s_sessions_survive_all_that_a_platform_does_to_them(tmp_path: Path) -> None:
    with world(tmp_path) as it, it.talking() as worker:
        it.all_held()
        it.publish()
        it.publish("alarms")
        it.settled()
        it.faults(CUTS)  # answers break, get lost, come twice
        for _ in range(3):
            it.publish()
        wait_for(lambda: len(worker.counted.losses) >= SESSIONS // 10, DEADLINE_S)
        it.faults({})
        it.settled()
        it.control("/cumulocity/sessions/advise", {"interval": 200})
        it.publish()
        it.settled()
        it.impatient = True
        it.control("/cumulocity/sessions/advise", {"interval": 0})
        it.settled()
        it.faults({"sr-silent": 0.5})  # half-open connections
        it.cut()
        it.publish()
        given_up(worker, SESSIONS // 4)
        it.faults({})
        it.settled()
        it.turn(EMU_SR_HEARTBEAT_S=LATE_SECONDS)  # later than anybody waits
        it.cut()
        given_up(worker, SESSIONS)
        it.publish()
        it.turn(EMU_SR_HEARTBEAT_S=HEARTBEAT_SECONDS)
        it.settled()
        it.turn(EMU_SLOW_S=LATE_SECONDS)
        it.faults({"sr-slow": 1.0})  # so are the answers, and no heartbeat goes before them
        it.publish()
        given_up(worker, 1)
        it.faults({})
        it.settled()
        it.impatient = False
        assert it.gaps() == {}  # everything so far came again
        lost = admitted_once(it)
        assert lost == []
        it.publish()
        it.control("/cumulocity/sessions/restart", {})
        it.publish()
        it.all_held()
        it.publish()
        it.settled()
        wait_for(lambda: len(it.gaps()) == SESSIONS, DEADLINE_S)
        lost, gaps = admitted_once(it), it.gaps()
        assert [item for item in lost if not told(item, gaps)] == []
        assert {gap.reason for some in gaps.values() for gap in some} == {"session_lost"}
        assert {len(some) for some in gaps.values()} == {1}
        assert worker.counted.gaps == {"session_lost": SESSIONS}
        wait_for(lambda: worker.states() == {"connected": SESSIONS}, DEADLINE_S)


def test_where_nothing_is_acknowledged_every_lost_answer_is_told(tmp_path: Path) -> None:
    with world(tmp_path, "EMU_SR_RELIABLE=0") as it, it.talking():
        it.all_held()
        it.publish()
        it.settled()
        assert admitted_once(it) == [] and it.gaps() == {}
        it.faults({"sr-lost": 0.3})
        it.publish()
        wait_for(lambda: it.emulator.ledger()["pending"] == 0, DEADLINE_S)
        it.faults({})
        it.settled()
        it.publish("alarms")
        it.settled()
        dropped = {item["x_id"] for item in it.items() if item["state"] == "dropped"}
        wait_for(lambda: set(it.gaps()) == dropped, DEADLINE_S)
        lost, gaps = admitted_once(it), it.gaps()
        assert lost and [item for item in lost if not told(item, gaps)] == []
        assert {gap.reason for some in gaps.values() for gap in some} == {"answer_lost"}


def test_a_worker_that_stops_and_starts_goes_on_with_its_sessions(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        for _ in range(2):
            with it.talking():
                it.all_held()
                it.publish()
                wait_for(lambda: it.emulator.ledger()["acknowledged"] > 0, DEADLINE_S)
            it.publish("alarms")  # while nobody is there
        with it.talking():
            it.settled()
        assert len(it.control("/cumulocity/sessions")["items"]) == SESSIONS
        assert admitted_once(it) == [] and it.gaps() == {}


def test_the_whole_service_holds_a_conversation_and_its_operator_sees_and_ends_it(tmp_path: Path) -> None:
    with Rehearsal(tmp_path) as rehearsal:
        rehearsal.start_emulator()
        known = rehearsal.control("credentials")["cumulocity"]
        tenant = f"smartrest/{known['tenant']}"
        rehearsal.environ["C8Y_REALTIME"] = json.dumps(known["realtime"])
        rehearsal.run("migrate")
        plan = rehearsal.run("register", "--tenant", tenant)
        assert [(one["topic"], one["plan"]) for one in plan[:-1]] == [("templates", "new")]
        rehearsal.run("register", "--apply", "--tenant", tenant)
        rehearsal.start_service()
        wait_for(lambda: [one for one in sessions(rehearsal) if one["held"]], DEADLINE_S)
        rehearsal.publish(f"cumulocity/{known['tenant']}", "measurements", 5)
        wait_for(lambda: rehearsal.control("ledger")["acknowledged"] == 5, DEADLINE_S)
        assert len(rehearsal.run("inbox", "list", "--tenant", tenant)) == 5
        found = {one["name"]: one["ok"] for one in rehearsal.run("check", "--offline")}
        assert found["smartrest_sessions"]
        assert rehearsal.service is not None and rehearsal.service.stop() == 0
        assert len(sessions(rehearsal)) == 1
        rehearsal.run("unregister", "--apply", "--tenant", tenant)
        assert sessions(rehearsal) == []


@pytest.mark.parametrize("reliable", [1, 0] if FULL else [1])  # each waits for the lock of the dead
def test_a_worker_that_is_killed_loses_nothing_that_is_acknowledged_and_tells_what_is_not(
    tmp_path: Path, reliable: int
) -> None:
    with Rehearsal(tmp_path, knobs=(f"EMU_SR_RELIABLE={reliable}", "EMU_SR_HEARTBEAT_S=1")) as rehearsal:
        rehearsal.start_emulator()
        known = rehearsal.control("credentials")["cumulocity"]
        rehearsal.environ["C8Y_REALTIME"] = json.dumps(known["realtime"])
        rehearsal.start_service()
        wait_for(lambda: [one for one in sessions(rehearsal) if one["held"]], DEADLINE_S)
        platform = f"cumulocity/{known['tenant']}"
        rehearsal.publish(platform, "measurements", COUNT)
        wait_for(lambda: rehearsal.control("ledger")["acknowledged"] > 0, DEADLINE_S)
        kill_worker(rehearsal)
        rehearsal.publish(platform, "measurements", COUNT)
        wait_for(lambda: rehearsal.control("ledger")["pending"] == 0, DEADLINE_S)
        rehearsal.publish(platform, "measurements", COUNT)
        wait_for(lambda: rehearsal.control("ledger")["pending"] == 0, DEADLINE_S)
        assert len(sessions(rehearsal)) == 1
        assert rehearsal.service is not None and rehearsal.service.stop() == 0
        items = [item for item in all_items(rehearsal.emulator_url) if item.get("platform") == SMARTREST]
        with closing(open_store(rehearsal.environ["DATABASE_URL"])) as store:
            found = rows_of(store, Tenant(SMARTREST, known["tenant"]))
            gaps = gaps_of(store)
        assert [gap.reason for some in gaps.values() for gap in some] == ([] if reliable else ["answer_lost"])
        assert set(found.values()) == {1}
        sent = {(item["x_id"], tuple(item["content"])): item for item in items}
        assert set(found) <= set(sent) and len(sent) == 3 * COUNT
        assert [place for place, item in sent.items() if place not in found and not told(item, gaps)] == []


def kill_worker(rehearsal: Rehearsal) -> None:
    """As the kernel would: without a word. The service starts another."""
    (worker,) = [pid for pid in rehearsal.children() if command_line(pid).rstrip().endswith("subscriber work")]
    os.kill(worker, signal.SIGKILL)


def sessions(rehearsal: Rehearsal) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rehearsal.control("cumulocity/sessions")["items"]
    return found
