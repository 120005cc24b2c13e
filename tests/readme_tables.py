"""The tables of README that repeat the code, made from the code.

``python -m tests.readme_tables`` writes them into README.md between their markers; ``test_docs.py`` fails when they
differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from subscriber.cli import commands
from subscriber.settings import CumulocitySettings, MindSphereSettings, PelionSettings, Settings, declared, default_of

README = Path(__file__).parent.parent / "README.md"


def settings_table() -> str:
    """One line a setting: variable, default, meaning."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for kind in (Settings, MindSphereSettings, CumulocitySettings, PelionSettings):
        for field, variable in declared(kind).items():
            lines.append(f"| `{variable.name}` | {_default(default_of(kind, field))} | {variable.help} |")
    return "\n".join(lines)


def _default(value: object) -> str:
    if isinstance(value, tuple):
        return "<br>".join(f"`{word}`" for word in value) or "–"
    if isinstance(value, bool):
        return f"`{int(value)}`"
    return f"`{value}`" if value not in ("", None) else "–"


def commands_table() -> str:
    """One line a command: how it is called, what it does."""
    lines = ["| command | does |", "|---|---|"]
    for words, command in sorted(_commands(commands, "")):
        help = (command.help or "").split("\n\n")[0].replace("\n", " ").strip()
        lines.append(f"| `{words}{_parameters(command)}` | {help} |")
    return "\n".join(lines)


def _commands(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def _parameters(command: click.Command) -> str:
    parts = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            parts.append(parameter.human_readable_name)
        elif "--json" not in parameter.opts:
            parts.append(parameter.opts[0] if parameter.required else f"[{parameter.opts[0]}]")
    return "".join(" " + part for part in parts)


TABLES: dict[str, Callable[[], str]] = {"settings": settings_table, "commands": commands_table}


def rewritten(text: str) -> str:
    """README with each marked table made anew."""
    for name, table in TABLES.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        made = table()
        text, count = pattern.subn(lambda match, made=made: match.group(1) + made + "\n" + match.group(2), text)
        if count != 1:
            raise ValueError(f"README has no place for the table {name!r}")
    return text


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text()))
