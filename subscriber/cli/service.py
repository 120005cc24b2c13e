"""`serve`, `work` and `settings`: running the service, and what it would run with."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click

from subscriber.cli.session import current
from subscriber.cli.terminal import Output, output_option

CHILDREN = {
    "web": (sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "app:app"),
    "worker": (sys.executable, "-m", "subscriber", "work"),
}
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@click.command()
def serve() -> None:
    """Run web and worker side by side on this machine until told to stop."""
    from subscriber import supervisor

    _log_to_stderr()
    with current().store():
        pass  # wrong settings and an old schema are told once and at once, not by two children
    click.get_current_context().exit(supervisor.serve(CHILDREN))


@click.command()
def work() -> None:
    """Run the worker: handle what was accepted, keep subscriptions and retention right."""
    from subscriber import services

    _log_to_stderr()
    built = services.build(current().settings())
    stop = threading.Event()
    with stopping(stop, signal.SIGTERM, signal.SIGINT):
        built.work(stop)


@click.command("settings")
@output_option
def settings(out: Output) -> None:
    """Show every setting with its value and where it comes from; secrets are masked."""
    chosen = current().settings()
    names = ("setting", "value", "origin", "meaning")
    records = [dict(zip(names, row, strict=True)) for row in chosen.table()]
    people = [{**record, "value": record["value"].replace(",", ", ")} for record in records]  # lists break at words
    out.table(names[:3], records, people)
    for warning in chosen.warnings:
        out.warn(warning)


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)


@contextmanager
def stopping(stop: threading.Event, *signals: signal.Signals) -> Iterator[None]:
    """While it is open, these signals set ``stop`` instead of what they would do otherwise."""
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
