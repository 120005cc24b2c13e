"""The thread of all channels."""

from __future__ import annotations

import asyncio
import gc
import resource
import threading

import pytest

from subscriber.channels import runner
from subscriber.channels.cumulocity import line
from subscriber.channels.runner import Line, Shared, allow_files, running
from subscriber.model import CUMULOCITY
from subscriber.services import utc_now
from subscriber.store import Store
from tests.channels.small_cumulocity import SmallCumulocity, timed, wait_for
from tests.channels.working import Counted, consumer


class Waiting:
    """Does nothing until it is stopped; then says so."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.stopped = threading.Event()
        self.failures: list[Exception] = []
        self.starts = 0

    async def run(self) -> None:
        self.starts += 1
        self.started.set()
        if self.failures:
            raise self.failures.pop()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()


def lines_of(part: Waiting) -> list[Line]:
    def build(shared: Shared) -> Waiting:
        return part

    return [build]


def test_channels_work_from_the_platform_into_the_store(platform: SmallCumulocity, store: Store) -> None:
    platform.publish("cold", "worker", [timed(number) for number in range(10)])
    counted, stop = Counted(), threading.Event()
    lines = [line(lambda: [consumer(platform.url)], lambda _: None)]
    with running(lines, store, counted, utc_now, stop):
        wait_for(lambda: not platform.queue("cold", "worker").backlog)
        assert counted.states()[CUMULOCITY, "connected"] == 1
    assert store.reports.counts().pending == 10
    assert not platform.connections


def test_while_channels_run_the_collector_looks_less_often_and_then_as_before(store: Store) -> None:
    before, stop = gc.get_threshold(), threading.Event()
    with running(lines_of(Waiting()), store, Counted(), utc_now, stop):
        assert gc.get_threshold() == (runner.COLLECT_AFTER, *before[1:])
    assert gc.get_threshold() == before


def test_the_workers_stop_stops_them_before_their_block_is_left(store: Store) -> None:
    part, stop = Waiting(), threading.Event()
    with running(lines_of(part), store, Counted(), utc_now, stop):
        wait_for(part.started.is_set)
        stop.set()
        wait_for(part.stopped.is_set)


def test_leaving_the_block_stops_them_as_well(store: Store) -> None:
    part = Waiting()
    with running(lines_of(part), store, Counted(), utc_now, threading.Event()):
        wait_for(part.started.is_set)
    assert part.stopped.is_set()


def test_a_failure_of_the_whole_is_told_and_it_is_built_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner, "REBUILD_SECONDS", 0.01)
    part = Waiting()
    part.failures = [ZeroDivisionError(), ZeroDivisionError(), ZeroDivisionError()]
    with running(lines_of(part), store, Counted(), utc_now, threading.Event()):
        wait_for(lambda: part.starts == 4)
        assert caplog.text.count("channels failed") == 3


def test_failures_leave_no_thread_behind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "REBUILD_SECONDS", 0.01)
    part = Waiting()
    part.failures = [ZeroDivisionError() for _ in range(10)]
    with running(lines_of(part), store, Counted(), utc_now, threading.Event()):
        wait_for(lambda: part.starts == 11)
        left = [thread.name for thread in threading.enumerate() if thread.name.startswith("channels")]
        assert left == ["channels"]


def test_a_process_may_open_as_many_files_as_its_limit_allows() -> None:
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        allow_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))
