"""How log lines look: one line per outcome, for people and for whatever collects them.

    2026-03-02 10:00:00,000 INFO subscriber.web refused action=refuse reason=token

Everything passed as ``extra`` follows the text as ``name=value``. What the values may hold is the caller's duty:
never a token, a payload or an authorization header.
"""

from __future__ import annotations

import json
import logging
import re

HEADLINE = "%(asctime)s %(levelname)s %(name)s %(message)s"
PLAIN = re.compile(r"[A-Za-z0-9_./:@+-]+")  # anything else is quoted, so that no value can look like two
ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Line(logging.Formatter):
    """The text, then the extra fields, then a traceback if there is one."""

    def __init__(self) -> None:
        super().__init__(HEADLINE)

    def formatMessage(self, record: logging.LogRecord) -> str:
        extra = {name: value for name, value in vars(record).items() if name not in ORDINARY}
        return " ".join([super().formatMessage(record), *(f"{name}={shown(extra[name])}" for name in extra)])


def shown(value: object) -> str:
    """A value on one line, without blanks of its own."""
    text = str(value)
    return text if PLAIN.fullmatch(text) else json.dumps(text)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Once per process, before anything is logged."""
    handler = logging.StreamHandler()
    handler.setFormatter(Line())
    logging.basicConfig(level=level, handlers=[handler])
