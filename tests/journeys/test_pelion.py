"""Pelion end to end: both flows of "Setting a notification channel", step by step, and the books under faults."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pysqlite3
import pytest

from emulator.processes import wait_until
from subscriber.settings import Settings
from subscriber.store import open_store
from tests.emulator.pelion.socket import Socket
from tests.emulator.running import receiver
from tests.journeys.outpost import frozen, outpost, thawed
from tests.journeys.rehearsal import FULL, START_SECONDS

pytestmark = pytest.mark.journey

ROUNDS = 20 if FULL else 2
BURST = 3000 if FULL else 300  # items a round; a backlog of all rounds stays within the platform's queue
BATCH = 2000 if FULL else 200  # items a callback: a lost answer costs a second, and each may be lost
VIRTUAL = ("--clock", "virtual")


def test_the_callback_flow_step_by_step(tmp_path: Path) -> None:
    with outpost(tmp_path, "callback", *VIRTUAL, headers={"X-Team": "cold"}) as world:
        web, worker = world.serve_web(), world.work()
        wait_until("the registration", lambda: world.channel() is not None, START_SECONDS)  # steps 1 to 4
        stored = world.ask("GET", "/v2/notification/callback").json()
        assert stored["url"] == f"{world.url}/notifications/pelion/cellar"
        assert stored["headers"]["X-Team"] == "cold" and len(stored["headers"]) == 2
        world.publish(25, topic=["notifications", "registrations"])  # step 5
        world.stored(50)

        assert worker.stop() == 0  # its next look would put right what is to be seen now
        with receiver() as other:  # another address overwrites the first, and ours comes back when told
            assert world.ask("PUT", "/v2/notification/callback", {"url": other.url}).status_code == 204
            world.publish(1)
            wait_until("the other one", lambda: any(b"ep" in one.body for one in other.got), START_SECONDS)
            assert world.run("register")[0]["plan"] == "moved"
            world.run("register", "--apply")
        world.publish(1)
        world.stored(51)

        assert web.stop() == 0  # 24 hours of failure end the channel, and what waits in it
        world.turn(pelion_retry_max_s=20_000)
        world.publish(5)
        world.advance(hours=30)
        assert world.channel() is None
        assert world.gaps() == 0
        world.serve_web()
        world.work()
        wait_until("the restoration", lambda: world.channel() is not None, START_SECONDS)
        wait_until("the gap", lambda: world.gaps() == 1, START_SECONDS)
        world.publish(2)
        world.stored(53)
        assert world.rows_now() == 53


def test_the_websocket_flow_step_by_step(tmp_path: Path) -> None:
    with outpost(tmp_path, "websocket", *VIRTUAL) as world:
        world.run("register", "--apply")  # step 1: it collects from now on
        described = world.ask("GET", "/v2/notification/websocket").json()
        assert described["status"] == "disconnected"
        world.publish(20)
        assert world.ask("GET", "/v2/notification/websocket").json()["queue_size"] == 20
        worker = world.work()  # steps 2 to 4
        world.wait_connected()
        assert world.ask("GET", "/v2/notification/websocket").json()["status"] == "connected"
        world.stored(20)

        assert worker.stop() == 0  # it goes on storing, for a day
        world.publish(30)
        world.advance(hours=23)
        worker = world.work()
        world.stored(50)

        world.wait_connected()
        world.advance(hours=24)  # nothing happens for a day: the service closes, we connect again
        wait_until("the idle close", lambda: "channel_closed" in log(tmp_path), START_SECONDS)
        world.wait_connected()
        world.publish(1)
        world.stored(51)

        assert worker.stop() == 0  # away for longer than a day: the channel is gone, and comes back by itself
        world.publish(5)
        world.advance(hours=25)
        assert world.channel() is None
        world.work()
        world.wait_connected()
        wait_until("the gap", lambda: world.gaps() == 1, START_SECONDS)
        world.publish(2)
        world.stored(53)
        assert world.rows_now() == 53


def log(folder: Path) -> str:
    return (folder / "programs.log").read_text()


def taken_over(folder: Path, times: int) -> bool:
    return log(folder).count("reason=taken_over") >= times


def test_stopping_never_ends_the_channel_and_unregistering_does(tmp_path: Path) -> None:
    with outpost(tmp_path, "websocket", *VIRTUAL) as world:
        for number, policy in enumerate(("keep", "remove"), 1):
            world.turn(pelion_client_close=policy)
            worker = world.work()
            world.wait_connected()
            polite = Socket(world.host, world.key)  # another program, which closes as the seed's example would
            wait_until("the take-over", partial(taken_over, tmp_path, number), START_SECONDS)
            polite.close()
            polite.ended()
            wait_until("its end", lambda: not world.connected, START_SECONDS)
            assert (world.channel() is None) == (policy == "remove")
            assert worker.stop() == 0
            worker = world.work()
            world.wait_connected()
            assert worker.stop() == 0
            assert world.channel() is not None
        world.run("unregister", "--apply")
        assert world.channel() is None


def test_a_worker_that_does_not_answer_a_ping_is_closed_and_comes_back(tmp_path: Path) -> None:
    with outpost(tmp_path, "websocket", *VIRTUAL, "--knob", "EMU_PELION_PATIENCE_S=0.2") as world:
        worker = world.work()
        world.wait_connected()
        frozen(worker)
        try:
            world.publish(10)
            world.emulator.control("/pelion/ping", {"tenant": "cellar"})
            world.advance(hours=0.01)
            wait_until("the close", lambda: not world.connected, START_SECONDS)
        finally:
            thawed(worker)
        world.wait_connected()
        wait_until("its reason", lambda: "ping_timeout" in log(tmp_path) or "broken" in log(tmp_path), START_SECONDS)
        world.publish(10)
        world.stored(20)
        assert world.rows_now() == 20


@pytest.mark.parametrize("resend", ["identical", "recut"])
def test_callbacks_are_kept_once_under_lost_acknowledgements_and_kills(tmp_path: Path, resend: str) -> None:
    chance = random.Random(7)
    knobs = ("EMU_PELION_RETRY_MAX_S=1", f"EMU_PELION_RESEND={resend}", f"EMU_PELION_BATCH_ITEMS={BATCH}")
    arguments = [word for knob in knobs for word in ("--knob", knob)]
    with outpost(tmp_path, "callback", *arguments) as world:
        service = world.serve()
        wait_until("the registration", lambda: world.channel() is not None, START_SECONDS)
        world.fault("lost-ack", 1.0)
        world.publish(BURST)
        wait_until("a lost answer", lambda: world.emulator.ledger()["attempts"] > 0, START_SECONDS)
        world.fault("lost-ack", 0.3)
        world.fault("duplicate", 0.2)
        for _ in range(ROUNDS):
            world.publish(BURST, topic=["notifications", "reg-updates"])
            # The moment is the point here: a random one under load, not a wait for something.
            time.sleep(chance.uniform(0.02, 0.5))
            service.kill()
            service = world.serve()
        world.settle()
        books = world.books()
        assert (books.lost, books.unacknowledged, books.invented, books.admitted_twice) == (0,) * 4
        assert books.accepted == books.published == (1 + 2 * ROUNDS) * BURST
        assert books.attempts > books.published


def test_without_ids_and_times_a_resend_is_known_by_its_place_and_equal_values_are_kept(tmp_path: Path) -> None:
    knobs = ("EMU_PELION_RETRY_MAX_S=1", "EMU_PELION_BATCH_ITEMS=100")
    arguments = [word for knob in knobs for word in ("--knob", knob)]
    same = {"notifications": [{"ep": "018a3c5e77100000000000010010a1b2", "path": "/3303/0/5700", "payload": "MQ=="}]}
    with outpost(tmp_path, "callback", *arguments) as world:
        service = world.serve_web()  # a worker would put the registration right within a minute
        pelion = Settings.from_environ({"PELION_CHANNELS": world.environ["PELION_CHANNELS"]}).pelion
        assert pelion is not None
        body = {
            "url": f"{world.url}/notifications/pelion/cellar",
            "headers": pelion.channels[0].callback_headers,
        }  # as another program with the same key might do it: in the default serialization
        assert world.ask("PUT", "/v2/notification/callback", body).status_code == 204
        for _ in range(3):
            world.publish(150, body=same)
            world.settle()
        books = world.books()
        assert (books.lost, books.invented, books.admitted_twice, books.accepted) == (0, 0, 0, 450)
        wait_until("the last answer", world.answered, START_SECONDS)
        service.kill()  # no answer leaves now, so what comes again is known to come again
        world.publish(90, body=same)
        service = world.serve_web()
        world.settle()
        assert world.books().accepted == 540
        world.fault("lost-ack", 0.4)
        world.publish(300, body=same)
        world.settle()
        books = world.books()  # an answer that left and was lost: once more, at least once is what is promised
        assert (books.lost, books.invented) == (0, 0)
        assert books.admitted_twice <= books.attempts - books.published


def test_another_worker_takes_the_channel_over_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    with outpost(tmp_path, "websocket") as world:
        workers = [world.work(), world.work()]  # one has the channel, the other waits
        world.wait_connected()
        for _ in range(ROUNDS):
            world.publish(BURST)
            world.emulator.control("/pelion/close", {"tenant": "cellar", "code": 1006})  # in the middle of it
            world.settle()
        world.stored(ROUNDS * BURST)
        owner = next(worker for worker in workers if has_socket(worker.pid))
        (other,) = (worker for worker in workers if worker is not owner)
        os.kill(owner.pid, signal.SIGKILL)
        if not FULL:
            forget_owner(tmp_path)
        wait_until("the end", lambda: not world.connected, START_SECONDS)
        world.publish(BURST)
        wait_until("the take-over", lambda: world.connected, START_SECONDS)
        world.settle()
        world.stored((ROUNDS + 1) * BURST)
        assert other.stop() == 0
        books = world.books()
        assert (books.lost, books.unacknowledged, books.invented, books.admitted_twice) == (0,) * 4
        assert books.accepted == books.published == (ROUNDS + 1) * BURST
        assert "taken_over" not in log(tmp_path), "one owner at a time"


def forget_owner(folder: Path) -> None:
    """A killed owner's lock is over after 20 s, which only a full run waits for."""
    with closing(open_store(f"sqlite:///{folder}/subscriber.db")) as store:
        with closing(pysqlite3.connect(folder / "subscriber.db")) as database:
            (holder,) = database.execute("SELECT holder FROM locks WHERE name = 'channels:pelion'").fetchone()
        store.registry.release("channels:pelion", holder)


def has_socket(pid: int) -> bool:
    """Has this process a connection to anybody? The one that waits has only files."""
    folder = Path(f"/proc/{pid}/fd")
    inodes = {link.removeprefix("socket:[").removesuffix("]") for fd in folder.iterdir() if (link := _target(fd))}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return any(row[9] in inodes and row[3] == "01" for row in rows)


def _target(fd: Path) -> str:
    try:
        link = os.readlink(fd)
    except OSError:
        return ""
    return link if link.startswith("socket:[") else ""
