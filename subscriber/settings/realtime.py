"""C8Y_REALTIME: the conversations of Cumulocity real-time over SmartREST, read from JSON and checked completely.

A list with an object for each conversation:

- ``tenant``, ``path`` (one of the notification endpoints), ``x_id``;
- ``channels``: Bayeux channels, each a name or an object of ``name`` and ``x_ids``, the further collections of it;
- ``templates``, optional: what the rows of a response template mean, each an object of ``id`` (its message
  identifier), ``x_id`` (unless it is the conversation's own) and ``values``: the columns' names in order, either as a
  list or, with the JSON path of each, as an object. With paths, and optionally ``base`` and ``condition``, the
  collection is registered where the platform lacks it. ``topic`` is a text; ``source``, ``action``, ``time`` name a
  column, ``key`` a list of columns.
"""

from __future__ import annotations

import re
from collections import Counter

from subscriber.platforms.smartrest.realtime import (
    OPERATIONS_PATHS,
    OWN_IDS,
    REALTIME_PATHS,
    Channel,
    Realtime,
    Template,
)
from subscriber.settings.parts import Part, document

TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
X_ID = re.compile(r"[A-Za-z0-9._~:/+@-]{1,255}")  # fit for a header and, unquoted, for a row
AGENT_CHANNEL = re.compile(r"/[A-Za-z0-9_-]{1,64}")
KIND_CHANNEL = re.compile(r"/[A-Za-z]{1,64}/([A-Za-z0-9_-]{1,64}|\*)")
TEMPLATE_ID = re.compile(r"[0-9]{1,9}")
TOPIC = re.compile(r"[A-Za-z0-9._-]{1,255}")
TEXT = re.compile(r"[^\x00-\x1f]{1,1000}")  # names of columns
JSON_PATH = re.compile(r"((?!\?\()[^\x00-\x1f]){1,1000}")  # without filters: the platform refuses them in templates
PATH = re.compile("|".join(map(re.escape, OPERATIONS_PATHS + REALTIME_PATHS)))
MAX_CHANNELS = 10_000  # of one conversation: one session's rows are read one after another
MAX_COLUMNS = 100  # the longest template published has nine


def realtime_conversations(text: str) -> tuple[Realtime, ...]:
    """Raises ``ValueError`` with all problems, each with its place."""
    problems: list[str] = []
    entries = document(text, problems).items(_conversation)
    for (tenant, path, x_id), times in Counter((one.tenant, one.path, one.x_id) for one in entries).items():
        if times > 1:
            problems.append(f"tenant {tenant}, path {path}, X-Id {x_id}: given {times} times")
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(entries)


def _conversation(part: Part) -> Realtime:
    members = part.members(("tenant", "path", "x_id", "channels"), ("templates",))
    path = _text(members, "path", PATH, f"one of {', '.join(OPERATIONS_PATHS + REALTIME_PATHS)}")
    x_id = _text(members, "x_id", X_ID, "an X-Id")
    made = Realtime(
        tenant=_text(members, "tenant", TENANT, "the name of a tenant"),
        path=path,
        x_id=x_id,
        channels=tuple(_channels(members["channels"], path)) if "channels" in members else (),
        templates=tuple(members["templates"].items(lambda one: _template(one, x_id)))
        if "templates" in members
        else (),
    )
    for problem in _contradictions(made):
        members["templates"].problem(problem)
    return made


def _text(members: dict[str, Part], name: str, pattern: re.Pattern[str], wanted: str) -> str:
    """Empty if it is not there, or not as wanted: that is noted then."""
    return members[name].text(pattern, wanted) if name in members else ""


def _channels(part: Part, path: str) -> list[Channel]:
    channels = part.items(lambda one: _channel(one, path))
    if isinstance(part.value, list) and not 0 < len(channels) <= MAX_CHANNELS:
        part.problem(f"must have 1 to {MAX_CHANNELS} channels")
    for name, times in Counter(channel.name for channel in channels if channel.name).items():
        if times > 1:
            part.problem(f"has {name} {times} times")
    return channels


def _channel(part: Part, path: str) -> Channel:
    """A name alone, or with further X-Ids."""
    members = part.members(("name",), ("x_ids",)) if isinstance(part.value, dict) else {"name": part}
    if path in OPERATIONS_PATHS:
        name = _text(members, "name", AGENT_CHANNEL, "/ and the id of an agent")
    elif path in REALTIME_PATHS:
        name = _text(members, "name", KIND_CHANNEL, "/kind/device or /kind/*")
    else:  # the path is a problem already
        name = _text(members, "name", TEXT, "a text")
    x_ids = members["x_ids"].items(lambda one: one.text(X_ID, "an X-Id")) if "x_ids" in members else []
    return Channel(name=name, x_ids=tuple(x_ids))


def _template(part: Part, x_id: str) -> Template:
    more = ("x_id", "base", "condition", "topic", "source", "action", "time", "key")
    members = part.members(("id", "values"), more)
    columns, paths = _values(members["values"]) if "values" in members else ((), ())
    column = re.compile("|".join(map(re.escape, columns)) or r"(?!)")
    named = {name: _text(members, name, column, "a column of values") for name in ("source", "action", "time")}
    key = members["key"].items(lambda one: one.text(column, "a column of values")) if "key" in members else []
    found = Template(
        x_id=_text(members, "x_id", X_ID, "an X-Id") or x_id,
        id=_text(members, "id", TEMPLATE_ID, 'a message identifier such as "500"'),
        columns=columns,
        paths=paths,
        base=_text(members, "base", JSON_PATH, "a JSON path without filters"),
        condition=_text(members, "condition", JSON_PATH, "a JSON path without filters"),
        topic=_text(members, "topic", TOPIC, "a word"),
        key=tuple(key),
        **named,
    )
    if found.id in OWN_IDS:
        part.problem(f"has id {found.id}, which the conversation itself uses")
    if not paths and (found.base or found.condition):
        part.problem("has a base or a condition, but values without their JSON paths")
    return found


def _values(part: Part) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the columns, and their JSON paths if they are given."""
    paths: list[str] = []
    if isinstance(part.value, dict):
        columns = list(part.value)
        paths = [one.text(JSON_PATH, "a JSON path without filters") for one in part.members(columns).values()]
        if not all(map(TEXT.fullmatch, columns)):
            part.problem("has a column without a usable name")
    else:
        columns = part.items(lambda one: one.text(TEXT, "the name of a column"))
    if isinstance(part.value, list | dict) and not 0 < len(columns) <= MAX_COLUMNS:
        part.problem(f"must name 1 to {MAX_COLUMNS} columns")
    if len(set(columns)) < len(columns):
        part.problem("names a column twice")
    return tuple(columns), tuple(paths)


def _contradictions(realtime: Realtime) -> list[str]:
    found = []
    for (x_id, id), times in Counter((one.x_id, one.id) for one in realtime.templates if one.id).items():
        if times > 1:
            found.append(f"give {id} of X-Id {x_id} {times} times")
    for x_id in dict.fromkeys(one.x_id for one in realtime.templates if one.x_id):
        if x_id not in realtime.x_ids:
            found.append(f"name X-Id {x_id}, which is neither the conversation's nor a channel's")
        if len({bool(one.paths) for one in realtime.templates_of(x_id)}) > 1:
            found.append(f"have JSON paths for some of X-Id {x_id}: it is registered as a whole, or not")
    return found
