"""`inbox tail`: what comes, as it comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import orjson

from subscriber.model import Tenant
from subscriber.store import Store
from tests.cli.conftest import TOPIC, Run, notification
from tests.web.serving import ROOT

CUSTBB = Tenant("mindsphere", "custbb")


@contextmanager
def tailing(environ: dict[str, str], *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, listening."""
    command = [sys.executable, "-m", "subscriber", "inbox", "tail", *options]
    everything = os.environ | environ | {"PYTHONPATH": str(ROOT)}
    # A shell that starts tests in the background has them ignore Ctrl-C, and children inherit that.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, env=everything, stdout=subprocess.PIPE, text=True, preexec_fn=heeding) as process:
        try:
            yield process
        finally:
            process.kill()


def add_until(store: Store, process: subprocess.Popen[str]) -> None:
    """Accept one after another until the command has ended."""
    number = 0
    while process.poll() is None:
        number += 1
        store.inbox.add([notification(number), notification(number, tenant=CUSTBB)])
        threading.Event().wait(0.05)


def test_what_comes_is_shown_once_and_in_order(environ: dict[str, str], store: Store) -> None:
    store.inbox.add([notification(1_000_000)])
    with tailing(environ, "--json", "--tenant", "custbb", "--limit", "3") as process:
        adding = threading.Thread(target=add_until, args=(store, process))
        adding.start()
        assert process.stdout is not None
        rows = [orjson.loads(line) for line in process.stdout]
        adding.join(30)
        assert process.wait(30) == 0
    numbers = [int(row["source"].removeprefix("asset")) for row in rows]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    assert {row["tenant"] for row in rows} == {"mindsphere/custbb"}


def test_people_see_a_line_for_each_and_end_it_with_ctrl_c(environ: dict[str, str], store: Store) -> None:
    with tailing(environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Waiting for notifications; Ctrl-C ends.\n"
        adding = threading.Thread(target=add_until, args=(store, process))
        adding.start()
        words = process.stdout.readline().split()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        adding.join(30)
    assert words[2:4] == ["custaa", "pending"] or words[2:4] == ["custbb", "pending"]
    assert words[4] == TOPIC and words[5].startswith("asset")


def test_a_limit_below_one_is_misuse(run: Run) -> None:
    assert run("inbox", "tail", "--limit", "0").code == 2
