"""Template collections on the platform: are they there, and registering those that are not.

SmartREST, "Registration process" and "Using SmartREST with multiple X-Ids". An X-Id names a collection that never
changes: one that exists is taken as it is, whatever is configured here. What is registered has response templates
only (row 11); whoever also sends requests by template registers the collection elsewhere.
"""

from __future__ import annotations

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.platforms.smartrest import records
from subscriber.platforms.smartrest.messages import ERRORS, FOUND, NO_TEMPLATE, SWITCH, one_line
from subscriber.platforms.smartrest.realtime import Realtime
from subscriber.platforms.smartrest.records import Record

PATH = "/s"
RESPONSE_TEMPLATE = "11"


class Collections:
    """The template collections of one conversation."""

    def __init__(self, realtime: Realtime) -> None:
        self._realtime = realtime
        self._lacking = ""  # the first X-Id that the platform does not know
        self._registered: set[str] = set()

    def check(self) -> tuple[dict[str, str], bytes]:
        """Headers and body that ask for all. One is named by the header; for several, the header is absent."""
        x_ids = self._realtime.x_ids
        if len(x_ids) == 1:
            return {"X-Id": x_ids[0]}, b""
        return {}, records.write((SWITCH, x_id) for x_id in x_ids)

    def lacking(self, body: bytes) -> bool:
        """Read the answer: is there one to register?

        Raises ``PlatformUnavailable`` for an unreadable answer, ``PlatformRefused`` for another error row, or where
        a collection is lacking whose templates are not known here.
        """
        x_ids = self._realtime.x_ids
        answers = [record for record in records.read(body) if _answers(record)]
        if len(answers) != len(x_ids):
            raise PlatformUnavailable("templates: not one answer for each X-Id", reason="unreadable_answer")
        lacking = (x_id for x_id, answer in zip(x_ids, answers, strict=True) if answer[0] == NO_TEMPLATE)
        self._lacking = next(lacking, "")
        if self._lacking in self._registered:
            raise PlatformUnavailable(f"X-Id {self._lacking}: registered, and not there", reason="no_template")
        if self._lacking and not self._realtime.registrable(self._lacking):
            detail = f"the platform has no templates for X-Id {self._lacking}, and none are configured to register"
            raise PlatformRefused(detail, reason="no_template", upstream_status=200)
        return bool(self._lacking)

    def register(self) -> tuple[dict[str, str], bytes]:
        """Headers and body that create the collection found lacking."""
        made = self._realtime.templates_of(self._lacking)
        rows = ((RESPONSE_TEMPLATE, one.id, one.base, one.condition, *one.paths) for one in made)
        return {"X-Id": self._lacking}, records.write(rows)

    def registered(self, body: bytes) -> None:
        """Returns if it was created. Raises ``PlatformRefused`` with what the platform says."""
        if not any(_answers(record) and record[0] == FOUND for record in records.read(body)):
            detail = f"templates of X-Id {self._lacking}: no word that they were created"
            raise PlatformUnavailable(detail, reason="unreadable_answer")
        self._registered.add(self._lacking)


def _answers(record: Record | records.Broken) -> bool:
    """Is it row 20 or 40? Raises ``PlatformRefused`` for another error row."""
    if isinstance(record, records.Broken):
        return False
    if record[0] in ERRORS - {NO_TEMPLATE}:
        detail = f"templates: row {record[0]} {one_line(' '.join(record[1:]))}".rstrip()
        raise PlatformRefused(detail, reason="template_refused", upstream_status=200)
    return record[0] in (FOUND, NO_TEMPLATE)
