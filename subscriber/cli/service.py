"""`serve`, `work` and `settings`: running the service, and what it would run with."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click

from subscriber.cli.session import current
from subscriber.cli.terminal import Output, output_option
from subscriber.logs import log_to_stderr

CHILDREN = {
    "web": (sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "app:app"),
    "worker": (sys.executable, "-m", "subscriber", "work"),
}


@click.command()
def serve() -> None:
    """Run web and worker on this machine.

    Until told to stop (SIGTERM, Ctrl-C): then it finishes what is at work.
    """
    from subscriber import supervisor

    log_to_stderr()
    with current().store():
        pass  # wrong settings and an old schema are told once and at once, not by two children
    click.get_current_context().exit(supervisor.serve(CHILDREN))


@click.command()
def work() -> None:
    """Run the worker alone.

    It handles what was accepted; `serve` runs it beside the web server.
    """
    from subscriber import services

    log_to_stderr()
    built = services.build(current().settings())
    stop = threading.Event()
    with stopping(stop, signal.SIGTERM, signal.SIGINT):
        built.work(stop)


@click.command("settings")
@output_option
def settings(out: Output) -> None:
    """Show every setting and its origin.

    Secrets are masked.
    """
    chosen = current().settings()
    names = ("setting", "value", "origin", "meaning")
    records = [dict(zip(names, row, strict=True)) for row in chosen.table()]
    people = [{**record, "value": record["value"].replace(",", ", ")} for record in records]  # lists break at words
    out.table(names[:3], records, people)
    for warning in chosen.warnings:
        out.warn(warning)


@contextmanager
def stopping(stop: threading.Event, *signals: signal.Signals) -> Iterator[None]:
    """While it is open, these signals set ``stop`` instead of what they would do otherwise."""
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
