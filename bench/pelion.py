"""Pelion's callbacks: items a second from a full batch to its commit, and memory while the largest one is taken.

Beside it a bare ``executemany`` puts rows of the same make into the same table of the same file, in one transaction
that is as durable; what it stores is ready made. The service gives an answer 20 s.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import requests

from bench.report import line, paired
from bench.world import Web, World, migrate, web
from subscriber.platforms.pelion.batches import read_batch
from subscriber.settings import Settings
from subscriber.store.cells import ADDED, added
from subscriber.store.sqlite.driver import Connection, open_writer

ROUNDS = int(os.environ.get("ROUNDS", "7"))
ITEMS = 10_000  # a full batch (seed document)
LARGEST = 64 * 1024 * 1024  # PELION_MAX_BODY_BYTES
ROOM = 300  # bytes of an item beside its payload
PATIENCE_SECONDS = 20.0
MEMORY_LIMIT = 4.0  # times the batch
CHANNEL = {"name": "cellar", "api_key": "ak_bench", "mode": "callback"}
PATH = "/notifications/pelion/cellar"
INSERT = f"INSERT INTO inbox ({ADDED}) VALUES ({','.join('?' * 13)})"
KINDS = {"": True, "_default_serialization": False}  # are all flags on?


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        world = World()
        for suffix, flags in KINDS.items():
            compare(world, Path(name) / f"rate{suffix}", suffix, flags)
        memory(world, Path(name) / "memory")
        world.close()


def environ_of(world: World, folder: Path) -> dict[str, str]:
    folder.mkdir()
    more = {"PROMETHEUS_MULTIPROC_DIR": f"{folder}/metrics", "WEB_CONCURRENCY": "1"}
    environ = world.environ(folder, PELION_CHANNELS=json.dumps([CHANNEL]), **more)
    migrate(environ)
    return environ


def compare(world: World, folder: Path, suffix: str, flags: bool) -> None:
    """Batch and bare rows by turns; both grow the same file."""
    environ = environ_of(world, folder)
    connection = open_writer(f"{folder}/bench.db", lock_wait_seconds=30.0)
    ours: list[float] = []
    bare: list[float] = []
    with web("app:app", environ) as server:
        put(server, environ, batch("warm", 10, "MjEuNQ==", flags))
        for number in range(ROUNDS):
            seconds = put(server, environ, batch(f"ours-{number}", ITEMS, "MjEuNQ==", flags))
            ours.append(ITEMS / seconds)
            bare.append(ITEMS / execute_many(connection, rows(f"bare-{number}", flags)))
    connection.close()
    ratio = paired(ours, bare)
    line("pelion", f"items_per_second{suffix}", median(ours), "1/s", vs="executemany", ratio=ratio, n=ROUNDS)
    line("pelion", f"executemany_per_second{suffix}", median(bare), "1/s", n=ROUNDS)
    longest = ITEMS / min(ours)
    line("pelion", f"slowest{suffix}", longest, "s", vs="20 s", ratio=longest / PATIENCE_SECONDS, n=ROUNDS)


def memory(world: World, folder: Path) -> None:
    environ = environ_of(world, folder)
    body = batch("large", ITEMS, "A" * (LARGEST // ITEMS - ROOM), True)
    with web("app:app", environ) as server:
        put(server, environ, batch("warm", 10, "MjEuNQ==", True))
        (process,) = server.processes
        before = resident(process, "VmRSS")
        Path(f"/proc/{process}/clear_refs").write_text("5")  # the peak counts from here
        seconds = put(server, environ, body)
        grown = resident(process, "VmHWM") - before
    size = len(body) / 2**20
    line("pelion", "largest_batch", size, "MiB")
    line("pelion", "largest_batch_seconds", seconds, "s", vs="20 s", ratio=seconds / PATIENCE_SECONDS)
    line("pelion", "largest_batch_memory", grown, "MiB", vs="batch", ratio=grown / size)


def batch(name: str, count: int, payload: str, flags: bool) -> bytes:
    """Values as the service words them. Without ``flags`` nothing tells one batch from another."""
    return json.dumps({"notifications": [item(name, number, payload, flags) for number in range(count)]}).encode()


def item(name: str, number: int, payload: str, flags: bool) -> dict[str, object]:
    device = f"018a3c5e77100000000000010010{number % 500:04x}"
    made: dict[str, object] = {"ep": device, "path": "/3303/0/5700", "ct": "text/plain", "payload": payload}
    more = {"uid": f"{name}-{number:032}", "timestamp": 1_772_619_330_000 + number, "original-ep": f"cellar-{number}"}
    return made | {"max-age": 0} | (more if flags else {})


def put(server: Web, environ: dict[str, str], body: bytes) -> float:
    """Seconds until the answer, which leaves after the commit."""
    pelion = Settings.from_environ(environ).pelion
    assert pelion is not None
    headers = pelion.channels[0].callback_headers
    began = time.perf_counter()
    answer = requests.put(server.url + PATH, data=body, headers=headers, timeout=60)
    seconds = time.perf_counter() - began
    answer.raise_for_status()
    return seconds


def rows(name: str, flags: bool) -> list[tuple[object, ...]]:
    """A batch as the columns of ADDED, of the first tenant there is."""
    now = datetime.now(UTC)
    found = read_batch("cellar", batch(name, ITEMS, "MjEuNQ==", flags), now).notifications(time.time_ns() // 10**6)
    return [(*added(notification), 1, int(now.timestamp() * 1000)) for notification in found]


def execute_many(connection: Connection, made: Sequence[tuple[object, ...]]) -> float:
    began = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(INSERT, made)
    connection.execute("COMMIT")
    return time.perf_counter() - began


def resident(process: int, name: str) -> float:
    """VmRSS, or VmHWM, its peak, in MiB."""
    for text in Path(f"/proc/{process}/status").read_text().splitlines():
        if text.startswith(f"{name}:"):
            return int(text.split()[1]) / 1024
    raise RuntimeError(f"no {name} in the status of a process")
