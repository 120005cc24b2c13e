"""The thread of a worker in which all channels run, with one event loop.

It starts with the worker and stops when the worker is told to, beside the dispatcher's drain and within its time. If
what runs in it should ever fail as a whole, it is built anew after a pause: the worker's handlers go on meanwhile,
and platforms send again what was not acknowledged.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from subscriber.channels import Observer
from subscriber.channels.admitter import Admitter
from subscriber.channels.board import Board
from subscriber.channels.outbound import Outbound
from subscriber.channels.pulse import Pulse
from subscriber.store import Store

logger = logging.getLogger(__name__)

STOP_SECONDS = 6.5  # commits in flight take at most 5, closing 1; as long as the dispatcher drains
REBUILD_SECONDS = 5.0
LOOK_SECONDS = 0.1  # how soon a stop is seen
# New containers between two looks of the collector for cycles. Notifications wait by the thousand and make none, yet
# looking at them every 700 took a tenth of the time of a busy channel.
COLLECT_AFTER = 50_000


@dataclass(frozen=True, slots=True)
class Shared:
    """What the channels of all platforms have in common; belongs to one event loop."""

    store: Store
    admitter: Admitter
    board: Board
    outbound: Outbound
    pulse: Pulse
    observer: Observer
    now: Callable[[], datetime]


class Runnable(Protocol):
    async def run(self) -> None:
        """Work until cancelled, then stop in order."""


Line = Callable[[Shared], Runnable]
"""Makes what keeps the channels of one platform; called in the event loop."""


@contextmanager
def running(
    lines: Sequence[Line], store: Store, observer: Observer, now: Callable[[], datetime], stop: threading.Event
) -> Iterator[None]:
    """Have channels run for a ``with`` block, or until ``stop`` is set. Leaving it waits for their orderly stop."""
    allow_files()
    thread = threading.Thread(target=_serve, args=(lines, store, observer, now, stop), name="channels", daemon=True)
    with collecting_less():
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(STOP_SECONDS + 1.0)


def allow_files() -> None:
    """Let this process open as many files as it may: each channel is one, and defaults of 1,024 are common."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def collecting_less() -> Iterator[None]:
    """Have this process look for cycles less often. What is in none is freed at once, as ever."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _serve(
    lines: Sequence[Line], store: Store, observer: Observer, now: Callable[[], datetime], stop: threading.Event
) -> None:
    while not stop.is_set():
        try:
            asyncio.run(_main(lines, store, observer, now, stop))
        except Exception:  # the top of a thread
            logger.exception("channels failed", extra={"action": "channels_failed"})
            stop.wait(REBUILD_SECONDS)


async def _main(
    lines: Sequence[Line], store: Store, observer: Observer, now: Callable[[], datetime], stop: threading.Event
) -> None:
    shared = Shared(
        store=store,
        admitter=Admitter(store.inbox, observer.channel_frames),
        board=Board(store.registry, now),
        outbound=Outbound(),
        pulse=Pulse(),
        observer=observer,
        now=now,
    )
    observer.watch_channels(shared.board.counts)
    helpers = _tasks(part.run() for part in (shared.admitter, shared.board, shared.pulse))
    keepers = _tasks(line(shared).run() for line in lines)
    try:
        await _until(stop, helpers | keepers)
    finally:
        await _end(keepers)
        await _end(helpers)
        await shared.outbound.close()


def _tasks(coroutines: Iterable[Coroutine[None, None, None]]) -> set[asyncio.Task[None]]:
    return {asyncio.create_task(coroutine) for coroutine in coroutines}


async def _until(stop: threading.Event, tasks: set[asyncio.Task[None]]) -> None:
    """Wait for ``stop``. Raises what a task raises that ends before."""
    stopping = asyncio.create_task(_told(stop))
    done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in done - {stopping}:
        task.result()


async def _told(stop: threading.Event) -> None:
    """Looked at, not waited for: a thread that waits would outlive a loop that fails."""
    while not stop.is_set():
        await asyncio.sleep(LOOK_SECONDS)


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=STOP_SECONDS)
