"""Items of a Pelion WebSocket per second into the store, beside a client that reads and discards.

``python -m bench pelion_socket``. The seed document promises a few thousand events per second of one channel; whoever
reads must be far quicker, for nothing is acknowledged and nothing waits for us. The platform here does nothing but
push, from messages made before the clock starts; every reader is a process of its own and gets the same messages,
with ids and times, from the first to the last.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
from aiohttp import web

from bench.report import line as report
from bench.report import paired

BENCH = "pelion_socket"
SEED_ITEMS = 3000  # "a few thousand events per second" (seed 002)
SIZES = {"one": (1, 20_000), "thousand": (1000, 100_000)}  # items a message, items in all
ROUNDS = 3
START_SECONDS = 60.0
PATH = "/v2/notification/websocket-connect"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, (chunk, items) in SIZES.items():
            rates: dict[str, list[float]] = {"product": [], "discard": []}
            for number in range(ROUNDS):
                for kind, found in rates.items():
                    found.append(items / _round(kind, chunk, items, Path(folder) / f"{name}{number}.db"))
            ratio = paired(rates["product"], rates["discard"])
            ours, theirs = median(rates["product"]), median(rates["discard"])
            metric = f"items_per_second_{name}_a_message"
            report(BENCH, metric, ours, "1/s", vs="a client that discards", ratio=ratio, n=ROUNDS)
            report(BENCH, f"{metric}_discarded", theirs, "1/s", n=ROUNDS)
            report(BENCH, f"{metric}_seed", ours, "1/s", vs=f"{SEED_ITEMS}/s", ratio=ours / SEED_ITEMS, n=ROUNDS)


def _round(kind: str, chunk: int, items: int, database: Path) -> float:
    """Seconds from the first byte that leaves to the last item that is in, committed where it is stored."""
    arguments = [sys.executable, "-m", "bench.pelion_socket"]
    pusher = subprocess.Popen([*arguments, "push", str(chunk), str(items)], stdout=subprocess.PIPE, text=True)
    assert pusher.stdout is not None
    try:
        url = pusher.stdout.readline().strip()
        environ = os.environ | {"DATABASE_URL": f"sqlite:///{database}", "PELION_CHANNELS": _channels(url)}
        reader = subprocess.run([*arguments, kind, url, str(items)], env=environ, capture_output=True, check=True)
        ended_at = float(reader.stdout.split()[-1])
        started_at = float(pusher.stdout.readline())
    finally:
        pusher.terminate()
        pusher.wait()
        pusher.stdout.close()
    return ended_at - started_at


def _channels(url: str) -> str:
    return json.dumps([{"name": "bench", "api_key": "ak_1bench", "host": url, "mode": "websocket"}])


# The platform.


def messages(chunk: int, items: int) -> list[str]:
    """NotificationMessages of so many items each, every item another fact."""
    now = int(time.time() * 1000)
    made = [_item(number, now) for number in range(items)]
    return [json.dumps({"notifications": made[at : at + chunk]}) for at in range(0, items, chunk)]


def _item(number: int, now: int) -> Mapping[str, Any]:
    return {
        "ep": f"018a3c5e771000000000000100{number % 1000:06d}",
        "path": "/3303/0/5700",
        "ct": "text/plain",
        "payload": "MjEuNQ==",
        "max-age": 0,
        "uid": str(uuid.uuid4()),
        "timestamp": now + number,
        "original-ep": f"cellar-{number % 1000}",
    }


def push(chunk: int, items: int) -> None:
    """Serve one channel, and push everything to whoever connects."""
    ready = messages(chunk, items)

    async def register(request: web.Request) -> web.Response:
        return web.json_response({"status": "disconnected", "queue_size": items}, status=201)

    async def connect(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("wss",), compress=False)
        await socket.prepare(request)
        print(time.time(), flush=True)
        for message in ready:
            await socket.send_str(message)
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.add_routes([web.put("/v2/notification/websocket", register), web.get(PATH, connect)])
    asyncio.run(_serve(app))


async def _serve(app: web.Application) -> None:
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


# Readers: each prints when the last item was in.


class Counting:
    """An observer that knows when everything is stored."""

    def __init__(self, items: int) -> None:
        self._left = items
        self.done = threading.Event()

    def channel_frames(self, platform: str, outcome: str, count: int) -> None:
        self._left -= count
        if self._left <= 0:
            print(time.time(), flush=True)
            self.done.set()

    def channel_lost(self, platform: str, reason: str) -> None:
        raise AssertionError(f"the connection ended: {reason}")

    def channel_gap(self, platform: str, reason: str) -> None:
        raise AssertionError(f"a gap: {reason}")

    def watch_channels(self, counts: object) -> None:
        """Nobody looks."""


def product(url: str, items: int) -> None:
    """The part of a worker that stores what channels bring."""
    import migrations
    from subscriber.channels.pelion import line
    from subscriber.channels.runner import running
    from subscriber.pelion.standing import Standing
    from subscriber.pelion.wanted import Book, Wanted
    from subscriber.services import utc_now
    from subscriber.settings import Settings
    from subscriber.store import open_store

    settings = Settings.from_environ(os.environ)
    assert settings.pelion is not None
    migrations.apply(settings.database_url)
    store, counting, stop = open_store(settings.database_url), Counting(items), threading.Event()
    wanted, book = Wanted(settings.pelion.channels, store.registry), Book(Standing(store, utc_now), store.registry)
    with running([line(wanted, book)], store, counting, utc_now, stop):
        assert counting.done.wait(START_SECONDS + items / 100)
    store.close()


def discard(url: str, items: int) -> None:
    asyncio.run(_discard(url, items))


async def _discard(url: str, items: int) -> None:
    """Reads every message whole and looks at nothing but how many items it has."""
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url + PATH, protocols=("wss",), max_msg_size=64 << 20) as socket:
            while items > 0:
                items -= (await socket.receive_str()).count('"uid"')
    print(time.time(), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "push":
        push(int(sys.argv[2]), int(sys.argv[3]))
    else:
        {"product": product, "discard": discard}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
