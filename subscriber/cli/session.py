"""What the commands of one run share: exit codes, the environment, the settings read from it, the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from subscriber.errors import SettingsError
from subscriber.settings import Settings

if TYPE_CHECKING:
    from subscriber.store import Store

FAILED, MISUSE, INTERRUPTED = 1, 2, 130  # exit codes; 130 = 128 + SIGINT, as shells report it
ENV_FILE_BYTES = 65_536  # a hundred settings with long values; anything larger is another kind of file
ENV_FILE_ORIGIN = ".env"


@dataclass(frozen=True, slots=True)
class Session:
    """One run of the command line. ``from_file`` names the variables that ``.env`` gave."""

    environ: Mapping[str, str]
    from_file: frozenset[str] = frozenset()

    def settings(self) -> Settings:
        """Raises ``SettingsError`` with every problem."""
        settings = Settings.from_environ(self.environ)
        origins = {name: ENV_FILE_ORIGIN for name in self.from_file if settings.origins.get(name) == "environment"}
        return replace(settings, origins={**settings.origins, **origins})

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The configured store, closed at the end. Raises ``SettingsError``, ``SchemaOutdated`` and store errors."""
        from subscriber.store import open_store

        store = open_store(self.settings().database_url)
        try:
            yield store
        finally:
            store.close()


def current() -> Session:
    """The session of the command that runs now."""
    return click.get_current_context().ensure_object(Session)


def read_env_file(path: Path) -> dict[str, str]:
    """``NAME=value`` lines of a file; an absent file has none. Blank lines and ``#`` lines do not count.

    ``export`` before a name and one pair of quotes around a value are taken off; nothing is expanded. Raises
    ``SettingsError`` naming each line that is something else (without its text, which may be a secret).
    """
    if not path.is_file():
        return {}
    try:
        text = path.read_bytes()[: ENV_FILE_BYTES + 1].decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path} cannot be read: {type(error).__name__}"]) from error
    if len(text) > ENV_FILE_BYTES:
        raise SettingsError([f"{path} is larger than {ENV_FILE_BYTES} bytes"])
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    return _pairs(path, [(number, line) for number, line in lines if line and not line.startswith("#")])


def _pairs(path: Path, lines: list[tuple[int, str]]) -> dict[str, str]:
    pairs, problems = {}, []
    for number, line in lines:
        name, equals, value = line.removeprefix("export ").partition("=")
        if equals and name.strip().isidentifier():
            pairs[name.strip()] = _unquoted(value.strip())
        else:
            problems.append(f"{path}, line {number} is not NAME=value")
    if problems:
        raise SettingsError(problems)
    return pairs


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value
