"""The rows of the conversation itself: 80 to 84 and 15 out, 20, 40 to 50 and 86 to 88 in.

"SmartREST Real-time Notifications" shows rows without line numbers; the vendor's own clients expect one behind the id
of every row but 87 and 88. Both are read: what the protocol means stands at the right end of these rows.

80 with ``true``, a number behind 83 and row 88 are in no document. Both of the vendor's clients use them: the server
numbers its answers and keeps what it sent until a connect names that number or a higher one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from subscriber.model import DETAIL_CHARS
from subscriber.platforms.smartrest import records
from subscriber.platforms.smartrest.realtime import OWN_IDS
from subscriber.platforms.smartrest.records import Broken, Record

SWITCH, HANDSHAKE, SUBSCRIBE, UNSUBSCRIBE, CONNECT, DISCONNECT = "15", "80", "81", "82", "83", "84"
FOUND, NO_TEMPLATE, CALL_FAILED = "20", "40", "50"
ADVICE, GROUP, BATCH = "86", "87", "88"
ERRORS = frozenset({NO_TEMPLATE, "41", "42", "43", "45", CALL_FAILED})

ROW_ID = re.compile(r"[0-9]{1,9}")  # message identifiers are numbers; other text is no row (a proxy's page)
CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")  # opaque; those seen are base 36, some 20 characters
COUNT = re.compile(r"[0-9]{1,9}")
BATCH_NUMBER = re.compile(r"-?[0-9]{1,18}")
MILLISECONDS = re.compile(r"[0-9]{1,12}")


class Policy(StrEnum):
    """What advice wants after a connect was answered."""

    RETRY = "retry"  # the next connect
    HANDSHAKE = "handshake"  # the session is gone
    NONE = "none"  # nothing any more


class Advice(NamedTuple):
    """Row 86. None: as before."""

    timeout_ms: int | None = None  # how long the server holds a connect
    interval_ms: int | None = None  # how long to wait before the next one
    policy: Policy | None = None

    def upon(self, before: Advice) -> Advice:
        """This advice, completed by what was valid before."""
        return Advice(
            before.timeout_ms if self.timeout_ms is None else self.timeout_ms,
            before.interval_ms if self.interval_ms is None else self.interval_ms,
            before.policy if self.policy is None else self.policy,
        )


class Row(NamedTuple):
    """A template's row. ``values`` begins with the template's id; a line number, if any, is still in it."""

    x_id: str
    values: Record


class Refusal(NamedTuple):
    """An error row: its id, and the rest of it for people."""

    id: str
    detail: str

    @property
    def upstream_status(self) -> int | None:
        """The status of the platform's call behind a row 50, if it names one."""
        status = self.detail.rpartition(" ")[2]
        return int(status) if self.id == CALL_FAILED and re.fullmatch("[1-5][0-9]{2}", status) else None


@dataclass(slots=True)
class Contents:
    """What stood in an answer."""

    rows: list[Row] = field(default_factory=list)
    lone: list[str] = field(default_factory=list)  # records of one value that are no row of a template
    advice: Advice | None = None
    numbered: bool | None = None  # do rows carry line numbers? None: nothing tells
    batch: str = ""
    refusals: list[Refusal] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)


def handshake(acknowledged: bool) -> bytes:
    """80: a new session. ``acknowledged``: the server shall keep what it sent until we say that we have it."""
    return records.write([(HANDSHAKE, "true") if acknowledged else (HANDSHAKE,)])


def subscribe(client_id: str, channel: str, x_ids: Iterable[str] = ()) -> Record:
    """81. The same channel again: other X-Ids from now on."""
    return SUBSCRIBE, client_id, channel, *x_ids


def unsubscribe(client_id: str, channel: str) -> Record:
    """82."""
    return UNSUBSCRIBE, client_id, channel


def connect(client_id: str, batch: str = "") -> bytes:
    """83: held until there is something to tell. ``batch``: the last one we have; empty: none yet."""
    return records.write([(CONNECT, client_id, batch) if batch else (CONNECT, client_id)])


def disconnect(client_id: str) -> bytes:
    """84."""
    return records.write([(DISCONNECT, client_id)])


def contents(found: Iterable[Record | Broken], x_id: str) -> Contents:
    """Sort an answer's records. ``x_id`` made the rows that no row 87 gives to another."""
    made = Contents()
    maker, left = x_id, 0  # the current X-Id, and how many rows are still its own
    for record in found:
        if isinstance(record, Broken):
            made.broken.append(record)
            left -= left > 0
        elif record[0] not in OWN_IDS and ROW_ID.fullmatch(record[0]) and len(record) > 1:
            made.rows.append(Row(maker if left else x_id, record))
            left -= left > 0
        elif record[0] == GROUP:
            maker, left = _group(record, made)
        else:
            _sort(record, made)
    return made


def _sort(record: Record, made: Contents) -> None:
    """A record that is neither a template's row nor a row 87."""
    if record[0] == ADVICE:
        _advise(record, made)
    elif record[0] == BATCH and BATCH_NUMBER.fullmatch(record[-1]) and len(record) > 1:
        made.batch = record[-1]
    elif record[0] in ERRORS:
        made.refusals.append(Refusal(record[0], one_line(" ".join(record[1:]))))
    elif len(record) == 1 and record[0] not in OWN_IDS:
        made.lone.append(record[0])
    else:
        made.broken.append(Broken(records.write([record]), "row"))


def _group(record: Record, made: Contents) -> tuple[str, int]:
    if len(record) < 3 or not COUNT.fullmatch(record[-2]) or not record[-1]:
        made.broken.append(Broken(records.write([record]), "row"))
        return "", 0
    return record[-1], int(record[-2])


def _advise(record: Record, made: Contents) -> None:
    """Later advice completes earlier. Each of the three values may be empty, and the line number may be missing."""
    timeout, interval, policy = ("", "", "", *record[1:])[-3:]
    if len(record) not in (4, 5) or not _readable(timeout, interval, policy):
        made.broken.append(Broken(records.write([record]), "row"))
        return
    advice = Advice(
        int(timeout) if timeout else None,
        int(interval) if interval else None,
        Policy(policy) if policy else None,
    )
    made.numbered = len(record) == 5
    made.advice = advice.upon(made.advice or Advice())


def _readable(timeout: str, interval: str, policy: str) -> bool:
    numbers = (number for number in (timeout, interval) if number)
    return all(MILLISECONDS.fullmatch(number) for number in numbers) and policy in ("", *Policy)


def one_line(text: str) -> str:
    """A stranger's text, fit for a screen and a row."""
    return "".join(char if char.isprintable() else " " for char in text[:DETAIL_CHARS]).strip()
