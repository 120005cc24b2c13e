"""A consumer of Cumulocity from the socket to the store: acknowledged after commit, and nothing lost or doubled."""

from __future__ import annotations

import logging
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pysqlite3
import pytest

from subscriber.channels import cumulocity
from subscriber.model import CUMULOCITY, Tenant
from subscriber.store import RowFilter, Store
from subscriber.store.sqlite.lockfile import WriterLock
from tests.channels.small_cumulocity import TENANT, WINDOW, SmallCumulocity, frame_text, timed, untimed, wait_for
from tests.channels.working import Worker, consumer


def stored(store: Store, tenant: str = TENANT) -> list[str]:
    """Bodies in the order of arrival."""
    wanted, found, cursor = RowFilter(tenant=Tenant(CUMULOCITY, tenant)), [], ""
    while rows := (tail := store.reports.after(wanted, cursor, 1000)).rows:
        found += [(row.notification.body or b"").decode() for row in rows]
        cursor = tail.cursor
    return found


def body(frame: str) -> str:
    return frame.partition("\n\n")[2]


def bodies(frames: list[str]) -> list[str]:
    return [body(frame) for frame in frames]


def test_every_frame_is_stored_in_order_and_acknowledged_by_its_exact_first_line(
    platform: SmallCumulocity, store: Store
) -> None:
    frames = [timed(number) for number in range(50)]
    platform.publish("cold", "worker", frames)
    with Worker(store, [consumer(platform.url)]) as worker:
        queue = platform.queue("cold", "worker")
        wait_for(lambda: not queue.backlog)
        assert worker.counted.frames["new"] == 50
    assert stored(store) == bodies(frames)
    assert queue.acknowledged == list(range(1, 51))
    assert queue.foreign == []


def test_nothing_is_acknowledged_while_the_store_cannot_commit_and_all_of_it_afterwards(
    platform: SmallCumulocity, store: Store, path: Path
) -> None:
    queue = platform.queue("cold", "worker")
    with Worker(store, [consumer(platform.url)]):
        wait_for(lambda: platform.connections)
        with WriterLock(str(path)):
            platform.publish("cold", "worker", [timed(number) for number in range(WINDOW + 200)])
            wait_for(lambda: queue.sent == WINDOW)  # and then the platform waits
            assert queue.acknowledged == []
        wait_for(lambda: not queue.backlog)
    assert queue.most_unacknowledged <= WINDOW
    assert stored(store) == [body(timed(number)) for number in range(WINDOW + 200)]


def test_what_comes_again_after_a_cut_is_admitted_once(platform: SmallCumulocity, store: Store, path: Path) -> None:
    queue = platform.queue("cold", "worker")
    frames = [timed(number) for number in range(300)]
    with Worker(store, [consumer(platform.url)]) as worker:
        wait_for(lambda: platform.connections)
        with WriterLock(str(path)):
            platform.publish("cold", "worker", frames)
            wait_for(lambda: queue.sent == 300)
            platform.cut()
            wait_for(lambda: queue.sent == 600)
        wait_for(lambda: not queue.backlog)
        assert worker.counted.losses[0] == "broken"
    assert stored(store) == bodies(frames)


def test_an_orderly_stop_acknowledges_what_it_stores_and_the_next_start_goes_on_without_loss(
    platform: SmallCumulocity, store: Store
) -> None:
    frames = [timed(number) for number in range(3000)]
    queue = platform.queue("cold", "worker")
    platform.publish("cold", "worker", frames)
    with Worker(store, [consumer(platform.url)]):
        wait_for(lambda: queue.acknowledged)
    wait_for(lambda: queue.closes)  # the platform's own thread notes the end a moment after it has answered
    assert queue.closes == [1000]
    assert len(stored(store)) == len(queue.acknowledged)
    with Worker(store, [consumer(platform.url)]) as worker:
        wait_for(lambda: not queue.backlog)
        assert worker.counted.frames["duplicate"] == 0
    assert stored(store) == bodies(frames)


def test_a_stop_does_not_wait_for_a_store_that_is_away(
    platform: SmallCumulocity, store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cumulocity, "STORED_SECONDS", 0.1)
    queue = platform.queue("cold", "worker")
    with Worker(store, [consumer(platform.url)], lock_seconds=0.5) as worker:  # it cannot give the lock back
        wait_for(lambda: platform.connections)
        with WriterLock(str(path)):
            platform.publish("cold", "worker", [timed(number) for number in range(2 * WINDOW)])
            wait_for(lambda: queue.sent == WINDOW)
            worker.stop()
            assert queue.acknowledged == []
    wait_for(lambda: not platform.connections)
    with Worker(store, [consumer(platform.url)]):
        wait_for(lambda: not queue.backlog)
    assert stored(store) == [body(timed(number)) for number in range(2 * WINDOW)]


def test_a_kill_between_commit_and_acknowledgement_costs_a_redelivery_and_nothing_else(
    platform: SmallCumulocity, store: Store, path: Path
) -> None:
    frames = [timed(1), untimed("a"), untimed("b"), untimed("a"), timed(2)]
    platform.publish("cold", "worker", frames)
    command = [sys.executable, "-m", "tests.channels.silent_worker", platform.url, f"sqlite:///{path}"]
    with subprocess.Popen(command) as process:
        wait_for(lambda: len(stored(store)) == 5)
        process.kill()
    queue = platform.queue("cold", "worker")
    assert queue.acknowledged == []
    wait_for(lambda: not platform.connections)
    with Worker(store, [consumer(platform.url)], lock_seconds=0.2) as worker:
        store.registry.release("channels:cumulocity", holder_of(path))
        wait_for(lambda: not queue.backlog)
        assert worker.counted.frames == {"duplicate": 5}
    assert stored(store) == bodies(frames)


def holder_of(path: Path) -> str:
    """A killed holder's lock is over after 20 s: the test does not wait for that."""
    with closing(pysqlite3.connect(path)) as database:
        (holder,) = database.execute("SELECT holder FROM locks WHERE name = 'channels:cumulocity'").fetchone()
    return str(holder)


def test_a_value_that_changes_and_changes_back_is_three_facts_and_a_redelivery_of_them_none(
    platform: SmallCumulocity, store: Store
) -> None:
    frames = [untimed("a"), untimed("b"), untimed("a")]
    queue = platform.queue("cold", "worker")
    with Worker(store, [consumer(platform.url)]):
        platform.publish("cold", "worker", frames)
        wait_for(lambda: not queue.backlog)
    platform.publish("cold", "worker", frames[1:])  # as if the last two had never been acknowledged
    platform.publish("cold", "worker", [untimed("c"), untimed("a")])
    with Worker(store, [consumer(platform.url)]):
        wait_for(lambda: not queue.backlog)
    assert stored(store) == bodies([*frames, untimed("c"), untimed("a")])


def test_a_repetition_is_not_acknowledged_before_its_original_is_stored(
    platform: SmallCumulocity, store: Store, path: Path
) -> None:
    queue = platform.queue("cold", "worker")
    with Worker(store, [consumer(platform.url)]):
        wait_for(lambda: platform.connections)
        with WriterLock(str(path)):
            platform.publish("cold", "worker", [untimed("a"), untimed("b")])
            wait_for(lambda: queue.sent == 2)
            platform.cut()
            wait_for(lambda: queue.sent == 4)
            assert queue.acknowledged == []
        wait_for(lambda: not queue.backlog)
    assert stored(store) == bodies([untimed("a"), untimed("b")])


def test_a_frame_that_cannot_be_read_becomes_a_dead_letter_and_is_acknowledged(
    platform: SmallCumulocity, store: Store
) -> None:
    queue = platform.queue("cold", "worker")
    platform.publish("cold", "worker", ["no header at all", "/t999/alarms/1\nCREATE\n\n{}", timed(1)])
    with Worker(store, [consumer(platform.url)]) as worker:
        wait_for(lambda: not queue.backlog)
        assert worker.counted.frames == {"new": 1, "dead_letter": 2}
    letters = store.reports.dead_letters(Tenant(CUMULOCITY, TENANT), 10)
    assert {row.letter.reason for row in letters} == {"frame", "tenant"}


def test_a_refused_token_is_replaced_at_once(platform: SmallCumulocity, store: Store) -> None:
    platform.refuse_upgrades = [401]
    with Worker(store, [consumer(platform.url)]) as worker:
        wait_for(lambda: platform.connections)
        assert worker.counted.losses == ["token_refused"]
    assert platform.tokens == 2


@pytest.mark.parametrize(
    ("status", "reason"), [(409, "occupied"), (503, "platform_failed"), (404, "messaging_disabled")]
)
def test_a_refused_connection_is_tried_again_until_it_is_made(
    platform: SmallCumulocity, store: Store, status: int, reason: str
) -> None:
    platform.refuse_upgrades = [status, status]
    with Worker(store, [consumer(platform.url)]) as worker:
        wait_for(lambda: platform.connections)
        assert worker.counted.losses == [reason, reason]


def test_credentials_that_were_rotated_are_taken_from_the_next_list(platform: SmallCumulocity, store: Store) -> None:
    asked = []

    def refused(old: object) -> None:
        asked.append(old)
        worker.wanted = [consumer(platform.url, password="pw-2")]

    platform.password = "pw-2"
    with Worker(store, [consumer(platform.url)], refused=refused) as worker:
        wait_for(lambda: platform.connections)
        assert asked == [consumer(platform.url)]
        assert set(worker.counted.losses) == {"credentials_refused"}


def test_a_new_password_leaves_an_open_connection_alone(platform: SmallCumulocity, store: Store) -> None:
    with Worker(store, [consumer(platform.url)]) as worker:
        wait_for(lambda: platform.connections)
        worker.wanted = [consumer(platform.url, password="pw-2")]
        platform.password = "pw-2"
        platform.publish("cold", "worker", [timed(1)])
        wait_for(lambda: stored(store))
        assert platform.upgrades == 1
        platform.cut()
        wait_for(lambda: platform.upgrades == 2 and platform.connections)


def test_a_connection_that_answers_no_ping_is_given_up_and_made_anew(platform: SmallCumulocity, store: Store) -> None:
    platform.mute = True
    with Worker(store, [consumer(platform.url)], pulse=(0.05, 0.1)) as worker:
        wait_for(lambda: "silent" in worker.counted.losses)
        platform.mute = False
        platform.publish("cold", "worker", [timed(1)])
        wait_for(lambda: stored(store))


def test_an_idle_connection_is_kept_by_pings(platform: SmallCumulocity, store: Store) -> None:
    with Worker(store, [consumer(platform.url)], pulse=(0.05, 5.0)) as worker:
        wait_for(lambda: platform.pings >= 3)
        assert worker.counted.losses == []


def test_a_close_by_the_platform_is_followed_by_a_new_connection(platform: SmallCumulocity, store: Store) -> None:
    with Worker(store, [consumer(platform.url)]) as worker:
        wait_for(lambda: platform.connections)
        platform.hang_up(1001)
        wait_for(lambda: platform.upgrades == 2 and platform.connections)
        assert worker.counted.losses == ["closed"]


def test_of_two_instances_one_runs_an_exclusive_consumer_and_the_other_takes_over(
    platform: SmallCumulocity, store: Store
) -> None:
    queue = platform.queue("cold", "worker")
    with Worker(store, [consumer(platform.url)]) as first:
        wait_for(lambda: platform.connections)
        with Worker(store, [consumer(platform.url)]) as second:
            platform.publish("cold", "worker", [untimed("a"), untimed("b")])
            wait_for(lambda: not queue.backlog)
            assert platform.upgrades == 1
            first.stop()
            platform.publish("cold", "worker", [untimed("b"), untimed("a")])  # the first of them comes again
            wait_for(lambda: not queue.backlog)
            assert second.counted.losses == []
    assert stored(store) == bodies([untimed("a"), untimed("b"), untimed("a")])


def test_clients_of_a_shared_consumer_run_in_every_instance_under_their_own_names(
    platform: SmallCumulocity, store: Store
) -> None:
    with Worker(store, [consumer(platform.url, client="one")]), Worker(store, [consumer(platform.url, client="two")]):
        wait_for(lambda: platform.connections == 2)
    assert sorted(platform.queue("cold", "worker").names) == ["one", "two"]
    assert {request["shared"] for request in platform.bodies} == {True}


def test_a_consumer_without_persistence_takes_its_first_frames_for_new(
    platform: SmallCumulocity, store: Store
) -> None:
    queue = platform.queue("cold", "worker")
    for _ in range(2):
        with Worker(store, [consumer(platform.url, non_persistent=True)]):
            wait_for(lambda: platform.connections)
            platform.publish("cold", "worker", [untimed("a")])
            wait_for(lambda: not queue.backlog)
        wait_for(lambda: not platform.connections)
    assert stored(store) == bodies([untimed("a"), untimed("a")])
    assert {request["nonPersistent"] for request in platform.bodies} == {True}


def test_tenants_come_and_go_without_a_restart(platform: SmallCumulocity, store: Store) -> None:
    with Worker(store, [consumer(platform.url)]) as worker:
        wait_for(lambda: platform.connections == 1)
        worker.wanted = [consumer(platform.url), consumer(platform.url, tenant="t2")]
        wait_for(lambda: platform.connections == 2)
        worker.wanted = worker.wanted[1:]
        wait_for(lambda: platform.connections == 1)
        assert platform.queue("cold", "worker", "t2").clients


def test_many_channels_share_few_submissions_and_each_keeps_its_order(
    platform: SmallCumulocity, store: Store
) -> None:
    tenants = [f"t{number}" for number in range(60)]
    frames = {tenant: [timed(number).replace(TENANT, tenant) for number in range(20)] for tenant in tenants}
    for tenant in tenants:
        platform.publish("cold", "worker", frames[tenant], tenant)
    with Worker(store, [consumer(platform.url, tenant=tenant) for tenant in tenants]):
        wait_for(lambda: len(platform.queues) == 60 and not any(queue.backlog for queue in platform.queues.values()))
    assert all(stored(store, tenant) == bodies(frames[tenant]) for tenant in tenants)


def test_no_token_and_no_password_reaches_a_log_or_a_state(
    platform: SmallCumulocity, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    platform.refuse_tokens = [403, 500]
    platform.refuse_upgrades = [401, 500, 302]
    with Worker(store, [consumer(platform.url)]) as worker:
        wait_for(lambda: platform.connections)
        platform.cut()
        wait_for(lambda: platform.upgrades >= 5 and platform.connections)
        assert len(worker.counted.losses) >= 5
    ours = [record for record in caplog.records if record.name != "aiohttp.access"]  # the platform's own log
    told = "".join(record.getMessage() for record in ours) + str(store.registry.channels())
    assert platform.tokens >= 3
    assert "secret" not in told and "pw-1" not in told


def test_a_frame_larger_than_a_burst_of_others_is_read_whole(platform: SmallCumulocity, store: Store) -> None:
    large = frame_text("1", {"time": "2026-01-01T00:00:00Z", "text": "x" * 6_000_000})
    platform.publish("cold", "worker", [large])
    with Worker(store, [consumer(platform.url)]):
        wait_for(lambda: not platform.queue("cold", "worker").backlog)
    assert stored(store) == [body(large)]
