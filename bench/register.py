"""(d) Registering many tenants, against as many concurrent PUTs by the same HTTP library with nothing around them.

The emulated platform is the same for both. ``puts`` has its tokens before the clock starts and remembers nothing;
the product is measured twice: from nothing (list read, a token for each tenant, every answer committed), and with its
tokens already fetched. Between rounds the platform forgets everything.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import orjson
import requests
from requests.adapters import HTTPAdapter

import migrations
from bench.report import line, paired
from bench.world import ROOT, free_port, resident_mib
from emulator.demo import command_of_emulator
from emulator.processes import Program, answers, call, wait_until
from subscriber.registration import build
from subscriber.registration.apply import CEILING
from subscriber.registration.reconciler import Reconciler
from subscriber.settings import DEFAULT_TOPICS, Settings
from subscriber.store import Store, open_store
from subscriber.token_manager import TokenManager, application_of
from subscriber.transport import Transport

TENANTS = int(
    os.environ.get("TENANTS", "500")
)  # tokens of up to 1,024 tenants are kept: the second figure needs them
ROUNDS = int(os.environ.get("ROUNDS", "3"))
TOPICS = DEFAULT_TOPICS[:4]
START_SECONDS = 30.0


class Platform:
    """The emulator as a process, with many user tenants."""

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        self._url = url
        self.settings = Settings.from_environ({**environ, "MDSP_TOPICS": ",".join(TOPICS)})

    def start_over(self) -> None:
        """No subscription, and only these tenants."""
        call(f"{self._url}/_control/reset", {})
        call(f"{self._url}/_control/provision", {"tenants": names(), "quiet": True})

    def puts(self) -> int:
        counts = call(f"{self._url}/_control/calls")["calls"].get("PUT", {})
        return int(counts.get("200", 0)) + int(counts.get("201", 0))


def names() -> list[str]:
    return [f"c{number:05}" for number in range(TENANTS)]


@contextmanager
def platform(folder: Path) -> Iterator[Platform]:
    port, environ = free_port(), {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = ["emulator", "--port", str(port), "--state", str(folder / "emulator.db")]
    with Program("emulator", arguments, environ, cwd=ROOT, stdout=sys.stderr):
        url = f"http://127.0.0.1:{port}"
        wait_until("the emulator", lambda: answers(f"{url}/_control/ledger"), START_SECONDS)
        yield Platform(url, command_of_emulator(["credentials", "--env", "--port", str(port)]))


def main() -> None:
    rates: dict[str, list[float]] = {"puts": [], "first": [], "tokens_fetched": []}
    with tempfile.TemporaryDirectory() as name, platform(Path(name)) as world:
        for number in range(ROUNDS):
            rates["puts"].append(puts(world))
            first, again, growth = product(world, Path(name) / f"{number}.db")
            rates["first"].append(first)
            rates["tokens_fetched"].append(again)
    for name, rounds in rates.items():
        ratio = None if name == "puts" else paired(rounds, rates["puts"])
        line("register", name, median(rounds), "PUT/s", vs="" if ratio is None else "puts", ratio=ratio, n=ROUNDS)
    line("register", "second_run_growth", growth, "MiB")


def puts(world: Platform) -> float:
    """CEILING threads, one session, tokens at hand."""
    world.start_over()
    settings = world.settings.mindsphere
    assert settings is not None
    manager = TokenManager(application_of(settings), Transport(settings.gateway_url))
    tokens = {name: manager.token(name) for name in names()}
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=CEILING))
    base = f"{settings.gateway_url}{settings.broker_path}/subscribers/{settings.app}/versions/{settings.version}"
    uri = (
        f"{settings.gateway_url}/api/{settings.app}-{settings.host_tenant}/{settings.major}/notifications/mindsphere"
    )
    body, work, lock = orjson.dumps({"uri": uri}), iter([(n, t) for n in names() for t in TOPICS]), threading.Lock()

    def run() -> None:
        while True:
            with lock:
                item = next(work, None)
            if item is None:
                return
            headers = {"Authorization": f"Bearer {tokens[item[0]]}", "Content-Type": "application/json"}
            session.put(f"{base}/topics/{item[1]}", data=body, headers=headers).raise_for_status()

    threads = [threading.Thread(target=run) for _ in range(CEILING)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return TENANTS * len(TOPICS) / (time.perf_counter() - started)


def product(world: Platform, path: Path) -> tuple[float, float, float]:
    """PUTs a second from nothing, PUTs a second with tokens, and the memory that the second took more."""
    world.start_over()
    migrations.apply(f"sqlite:///{path}")
    store = open_store(f"sqlite:///{path}")
    reconciler = build(world.settings, store)
    first = run(world, reconciler)
    before = resident_mib(os.getpid())
    forget(store)
    again = run(world, reconciler)
    reconciler.close()
    store.close()
    return first, again, resident_mib(os.getpid()) - before


def run(world: Platform, reconciler: Reconciler) -> float:
    before, started = world.puts(), time.perf_counter()
    done = reconciler.run()
    seconds = time.perf_counter() - started
    assert done.report.ok, done.report.failures[:3]
    return (world.puts() - before) / seconds


def forget(store: Store) -> None:
    for row in store.registry.subscriptions("mindsphere"):
        store.registry.remove_subscription(row)
