"""How results look: tables for people, one JSON object a line for programs.

A command builds records (name → value) and hands them to an ``Output``; `--json` chooses which. Text from strangers
reaches a terminal only without control characters, so that a payload cannot move the cursor or change its colours.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

import click
import orjson

from subscriber.model import MINDSPHERE, Tenant

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

P = ParamSpec("P")
R = TypeVar("R")
Record = Mapping[str, object]
Advance = Callable[[], None]


class Output(Protocol):
    """Where a command's results go."""

    def table(
        self, columns: Sequence[str], records: Sequence[Record], people: Sequence[Record] | None = None
    ) -> None:
        """Records of one kind: programs see every member of each.

        People see ``columns`` in that order, of ``records`` or of the shorter ``people`` made from them.
        """

    def line(self, record: Record, words: Mapping[str, str]) -> None:
        """One record of a stream, at once: people see the members named by ``words`` in their styles, on a line."""

    def facts(self, record: Record) -> None:
        """One record, every member."""

    def done(self, record: Record, text: str) -> None:
        """What was done: people read the sentence, programs the record."""

    def say(self, text: str) -> None:
        """A sentence for people only."""

    def warn(self, text: str) -> None:
        """A sentence beside the results, on stderr in either form."""

    def progress(self, label: str, total: int) -> AbstractContextManager[Advance]:
        """While it is open, people see how many of ``total`` steps are done; call what it yields after each."""

    def busy(self, label: str) -> AbstractContextManager[object]:
        """While it is open, people see that something is at work."""


class JsonLines:
    """For programs."""

    def table(
        self, columns: Sequence[str], records: Sequence[Record], people: Sequence[Record] | None = None
    ) -> None:
        for record in records:
            self.facts(record)

    def line(self, record: Record, words: Mapping[str, str]) -> None:
        self.facts(record)
        sys.stdout.flush()

    def facts(self, record: Record) -> None:
        sys.stdout.write(orjson.dumps(record, default=_json, option=orjson.OPT_UTC_Z).decode() + "\n")

    def done(self, record: Record, text: str) -> None:
        self.facts(record)

    def say(self, text: str) -> None:
        """Nothing but objects goes to stdout."""

    def warn(self, text: str) -> None:
        click.echo(f"warning: {printable(text)}", err=True)

    def progress(self, label: str, total: int) -> AbstractContextManager[Advance]:
        return nullcontext(lambda: None)

    def busy(self, label: str) -> AbstractContextManager[object]:
        return nullcontext()


class Tables:
    """For people."""

    def table(
        self, columns: Sequence[str], records: Sequence[Record], people: Sequence[Record] | None = None
    ) -> None:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for column in columns:
            # the first names the record: it stays whole, so that it can be copied
            table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column == columns[0])
        for record in records if people is None else people:
            table.add_row(*(_text(record[column]) for column in columns))
        if table.row_count:
            _console().print(table)

    def line(self, record: Record, words: Mapping[str, str]) -> None:
        from rich.text import Text

        parts = [Text(printable(_word(record[name])), style=style) for name, style in words.items()]
        _console().print(Text(" ").join(part for part in parts if part.plain), soft_wrap=True)
        sys.stdout.flush()

    def facts(self, record: Record) -> None:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in record.items():
            table.add_row(name.replace("_", " "), _text(value))
        _console().print(table)

    def done(self, record: Record, text: str) -> None:
        self.say(text)

    def say(self, text: str) -> None:
        click.echo(printable(text))

    def warn(self, text: str) -> None:
        click.secho(f"warning: {printable(text)}", fg="yellow", err=True)

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Advance]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = _console(stderr=True)
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(label, total=total)
            yield lambda: bar.advance(task)

    def busy(self, label: str) -> AbstractContextManager[object]:
        console = _console(stderr=True)
        return console.status(label) if console.is_terminal else nullcontext()


def output_option(function: Callable[P, R]) -> Callable[P, R]:
    """Adds `--json` to a command, which takes the chosen output as its argument ``out``."""
    return click.option(
        "--json",
        "out",
        is_flag=True,
        help="Print one JSON object per line, nothing else.",
        callback=lambda context, parameter, chosen: JsonLines() if chosen else Tables(),
    )(function)


def tenant_word(tenant: Tenant) -> str:
    """As people type it: the bare name of a MindSphere tenant."""
    return tenant.name if tenant.platform == MINDSPHERE else str(tenant)


def printable(text: str) -> str:
    """Without what a terminal would obey: control, formatting and direction characters; line breaks stay."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def _text(value: object) -> Text:
    from rich.text import Text

    return Text(printable(_word(value)))


def _word(value: object) -> str:
    """A value as people read it: times in UTC to the second, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Tenant):
        return tenant_word(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict | list):
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    return str(value)


def _json(value: object) -> str:
    """What JSON has no word for."""
    return value.hex() if isinstance(value, bytes) else str(value)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)
