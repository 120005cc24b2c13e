"""JSON paths as templates have them: one way down to one value. Pure.

"SmartREST 1.0, templates" and "built-in messages": ``$.c8y_Command.text``, ``$.ids[0]``, ``$['a.b']``; the leading
``$.`` may be missing, as in a template of the vendor's own. Filters, and paths that mean several values, are refused
when a template is created.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

STEP = re.compile(r"""\.(?P<bare>[^.\[\]'"\s]+)|\[(?P<place>\d{1,9})\]|\[(?P<mark>['"])(?P<name>.+?)(?P=mark)\]""")
SEVERAL = re.compile(r"\*|\.\.|\[[^'\"\]]*[:,]")


class PathError(ValueError):
    """A template cannot have this path; the text is the platform's reason."""


@dataclass(frozen=True, slots=True)
class JsonPath:
    """Member names and places in lists, from the top; none at all: the whole document."""

    steps: tuple[str | int, ...]

    @classmethod
    def read(cls, text: str) -> JsonPath:
        if "?(" in text:
            raise PathError("filter in path")
        if SEVERAL.search(text):
            raise PathError("path refers to a list")
        rest = text.removeprefix("$") if text.startswith("$") or not text else f".{text}"
        steps: list[str | int] = []
        while rest:
            step = STEP.match(rest)
            if step is None:
                raise PathError("invalid JsonPath")
            place = step["place"]
            steps.append(step["bare"] or step["name"] if place is None else int(place))
            rest = rest[step.end() :]
        return cls(tuple(steps))

    def find(self, document: object) -> tuple[object, ...]:
        """The value there, alone; nothing if there is none."""
        for step in self.steps:
            if isinstance(step, str) and isinstance(document, dict) and step in document:
                document = document[step]
            elif isinstance(step, int) and isinstance(document, list) and step < len(document):
                document = document[step]
            else:
                return ()
        return (document,)
