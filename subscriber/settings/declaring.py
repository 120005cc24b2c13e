"""How a setting is declared, read from the environment, and shown.

A field of a settings class carries its variable, so that parser, README and the `settings` command read one and the
same declaration.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

MASK = "********"
QUOTED_CHARS = 200  # of an unusable value: two lines of a screen; whole documents are not repeated
DEFAULT, ENVIRONMENT = "default", "environment"  # origins; others name what the value came from
PLAIN_PARAMETERS = ("sslmode", "sslrootcert")  # of an address: what shows whether the connection is verified


class Variable(NamedTuple):
    """One environment variable: what README, `settings` and the parser know about a field."""

    name: str
    help: str
    secret: bool = False  # shown masked, never quoted in a problem
    address: bool = False  # a secret address: shown without what it must not tell
    parse: Callable[[str], Any] = str


def setting(
    name: str,
    default: Any,
    help: str,
    *,
    secret: bool = False,
    address: bool = False,
    parse: Callable[[str], Any] = str,
) -> Any:
    """Declare a field: variable, default and meaning in one place. An ``address`` is a secret with a plain part."""
    hidden = secret or address
    variable = Variable(name, help, hidden, address, parse)
    return dataclasses.field(default=default, repr=not hidden, metadata={"variable": variable})


def declared(kind: type) -> dict[str, Variable]:
    """Field name → variable, in the order of declaration."""
    fields = dataclasses.fields(kind)
    return {field.name: field.metadata["variable"] for field in fields if "variable" in field.metadata}


def default_of(kind: type, field_name: str) -> Any:
    """The declared default of a field, before anything is resolved."""
    return next(field.default for field in dataclasses.fields(kind) if field.name == field_name)


def read(kind: type, environ: Mapping[str, str], origins: dict[str, str], problems: list[str]) -> dict[str, Any]:
    """The fields of ``kind`` as keyword arguments. An empty variable counts as absent."""
    values = {}
    for name, variable in declared(kind).items():
        text = environ.get(variable.name, "").strip()
        origins[variable.name] = ENVIRONMENT if text else DEFAULT
        values[name] = default_of(kind, name)
        if not text:
            continue
        try:
            values[name] = variable.parse(text)
        except ValueError as error:
            shown = "its value" if variable.secret or len(text) > QUOTED_CHARS else json.dumps(text)
            problems.append(f"{variable.name}: {shown} is not usable: {error}")
    return values


def shown(value: Any, variable: Variable) -> str:
    """A value as people may see it."""
    if variable.address:
        return without_secrets(value)
    if variable.secret:
        return MASK if value else ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(int(value))
    return str(value)


def without_secrets(address: str) -> str:
    """An address with its password masked; all of it where a password cannot be told from the rest."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return MASK
    if "@" in parts.path + parts.query + parts.fragment:  # a password with a character that ends the host
        return MASK
    if not parts.netloc and not parts.query:  # a file, or nothing
        return address
    login, at, hosts = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    query = "&".join(map(_parameter_without_secret, parts.query.split("&"))) if parts.query else ""
    place = f"{user}{colon}{MASK if colon else ''}{at}{hosts}{parts.path}"
    return f"{parts.scheme}://{place}{'?' if query else ''}{query}"


def _parameter_without_secret(text: str) -> str:
    name, equals, _ = text.partition("=")
    return text if name in PLAIN_PARAMETERS else f"{name}{equals}{MASK}"
