"""Members of request bodies, read with the refusal each deserves: 422 with the words Notification 2.0 uses."""

from __future__ import annotations

from emulator.cumulocity.errors import unprocessable
from emulator.cumulocity.tokens import NAME_FORM

ERRORS = "reliable-notification"
NAME_LIMIT = 200  # characters of a name; none is published


def named(value: object, member: str) -> str:
    if not isinstance(value, str) or not NAME_FORM.fullmatch(value) or len(value) > NAME_LIMIT:
        raise unprocessable(ERRORS, f"{member} consists of letters and digits")
    return value


def words(value: object, member: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise unprocessable(ERRORS, f"{member} is a list of texts")
    return tuple(value)


def flag(members: dict[str, object], name: str, default: bool) -> bool:
    value = members.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise unprocessable(ERRORS, f"{name} is true or false")
    return value
