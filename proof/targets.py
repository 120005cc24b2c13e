"""What is fuzzed: each reader of a stranger's bytes, the little that may come of them, and where to begin.

A target takes any bytes and returns. It lets an exception out only if the reader broke its contract: a kind of error
that it does not name, or a value that no store would take. Seeds are the documented samples of each platform.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from subscriber.errors import MalformedDelivery
from subscriber.model import DETAIL_CHARS, MINDSPHERE, DeadLetter, Delivery, Notification, to_millis
from subscriber.platforms import cumulocity, mindsphere
from subscriber.platforms.content import NAME_CHARS
from subscriber.platforms.pelion.batches import read_batch
from subscriber.platforms.smartrest.realtime import Channel, Realtime, Template
from subscriber.platforms.smartrest.rows import Rows
from subscriber.platforms.smartrest.session import Session
from subscriber.platforms.smartrest.transitions import TRANSITIONS, Event
from subscriber.platforms.smartrest.turns import Turn
from subscriber.settings.aliases import tenant_aliases
from subscriber.settings.bindings import parse as service_bindings
from subscriber.settings.cumulocity import named_subscriptions
from subscriber.settings.pelion import channel_entries
from subscriber.settings.realtime import realtime_conversations
from subscriber.web.server.framing import HEAD_BYTES, Arrival, Progress

NOW = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
KEY_BYTES = 26  # time, digest, repeat number: the longest key there is
SAMPLES = Path(__file__).parent.parent / "tests" / "samples" / "mindsphere"
ANSWERS = 30  # of one conversation
BETWEEN = b"\x1e"  # answers
BROKEN, UNREACHABLE, STATUS = b"!", b"?", b"#"  # how an answer begins that is none, or that is not 200

REALTIME = Realtime(
    tenant="t402119",
    path="/notification/operations",
    x_id="gw",
    channels=(Channel(name="/5010"), Channel(name="/5011", x_ids=("more",))),
    templates=(
        Template(x_id="gw", id="500", columns=("id", "device", "time"), key=("id", "time"), time="time"),
        Template(x_id="more", id="501", columns=("id", "action"), source="id", action="action"),
    ),
)


class Target(NamedTuple):
    """``seeds`` reach what mutation alone would not find."""

    read: Callable[[bytes], None]
    seeds: Sequence[bytes]


def _storable(notifications: Iterable[Notification], letters: Iterable[DeadLetter] = ()) -> None:
    """Would every database take them, and every screen show them?"""
    for one in notifications:
        assert 0 < len(one.key) <= KEY_BYTES
        for text in (one.tenant.name, one.topic, one.channel, one.source, one.action):
            assert len(text.encode()) <= 4 * NAME_CHARS and "\0" not in text
        assert one.occurred_at is None or to_millis(one.occurred_at) is not None
        assert one.topic and one.payload is not Ellipsis
    for letter in letters:
        assert len(letter.digest) == 16 and letter.reason.isidentifier()
        assert len(letter.detail) <= DETAIL_CHARS and letter.detail.encode()


def mindsphere_delivery(data: bytes) -> None:
    """Lines of header fields as gunicorn would hand them on, an empty line, the body."""
    head, _, body = data.partition(b"\n\n")
    lines = [line.decode("latin-1").partition(":") for line in head.split(b"\n")]
    fields = {name.lower(): value.strip() for name, _, value in lines}
    try:
        _storable(mindsphere.decode(Delivery(platform=MINDSPHERE, headers=fields, body=body, received_at=NOW)))
    except MalformedDelivery as error:
        assert error.reason.isidentifier() and len(error.tenants) <= mindsphere.MAX_TENANTS


def cumulocity_frame(data: bytes) -> None:
    assert len(cumulocity.acknowledgement(data)) <= cumulocity.ACK_BYTES
    try:
        _storable([cumulocity.decode(data, "t2700", "coldStore", NOW).notification])
    except MalformedDelivery as error:
        assert error.reason.isidentifier()


def pelion_message(data: bytes) -> None:
    batch = read_batch("cellar", data, NOW)
    notifications = batch.notifications(7)
    _storable(notifications, batch.dead_letters)
    assert len({one.key for one in notifications if not one.content}) == sum(not one.content for one in notifications)


def smartrest_session(data: bytes) -> None:
    """A whole conversation: each answer is one of those in the bytes; a restart of ours after each."""
    session, rows = Session(REALTIME), Rows(REALTIME)
    for answer in data.split(BETWEEN, ANSWERS)[:ANSWERS]:
        if Event.RESTART in TRANSITIONS[session.state]:
            session.restart()
        if session.request() is None:
            return
        turn = _end(session, answer)
        _storable(*rows.read(turn.rows, turn.unreadable, numbered=session.numbered, received_at=NOW))
        assert Session(REALTIME, session.value).value == session.value
        assert Rows(REALTIME, rows.value).value == rows.value


def _end(session: Session, answer: bytes) -> Turn:
    if answer.startswith(UNREACHABLE):
        return session.unreachable("away")
    status = 200
    if answer.startswith(STATUS):
        status, answer = 100 + 2 * answer[1] if len(answer) > 1 else 500, answer[2:]
    middle = len(answer) // 2
    session.receive(answer[:middle])
    session.receive(answer[middle:])
    return session.broken("cut") if answer.startswith(BROKEN) else session.end(status)


def setting(data: bytes) -> None:
    """A reader's name on the first line, then the JSON: a value, or one ``ValueError`` that a person can read."""
    name, _, document = data.partition(b"\n")
    if (read := SETTINGS.get(name.decode("latin-1"))) is None:
        return
    try:
        read(document.decode("utf-8", "surrogateescape"))  # as Python reads the environment
    except ValueError as error:
        assert type(error) is ValueError and str(error)


def request_framing(data: bytes) -> None:
    """However the bytes are cut, the poller comes to the same end and never waits for what it has."""
    whole, cut = Arrival(), Arrival()
    progress = whole.feed(data)
    for start in range(0, len(data), 97):
        if (found := cut.feed(data[start : start + 97])) in (Progress.READY, Progress.OVERSIZED):
            break
    else:
        assert found is progress if data else True
    assert progress is not Progress.HEAD or len(data) <= HEAD_BYTES


def _mindsphere_seeds() -> list[bytes]:
    bodies = [path.read_bytes() for path in sorted(SAMPLES.glob("*.json"))]
    fields = b"x-mdsp-topic: mdsp.core.x\nx-mdsp-tenant-context: custaa, custbb\nx-mdsp-message-id: m-1\n\n"
    return [b"\n\n" + body for body in bodies] + [fields + b'{"asset":{"id":"1","timestamp":"2026-03-02T10:00:00Z"}}']


CUMULOCITY_SEEDS = (
    b'CLr4ARAHIAAwAQ==\n/t2700/alarms/8101\nCREATE\n\n{"id":"31","time":"2026-03-02T10:29:58.500Z","count":2}',
    b"CLr4ARAHIAAwAQ==\r\n/t2700/managedobjectsWithChildren/8101\r\nDELETE\r\nmore\r\n\r\nnull",
    b'a\n/t2700/measurements/a/b\nUPDATE\n\n{"lastUpdated":"2026-03-02T10:29:58.500+01:00","x":[1.5e3,"\\u00e9"]}',
)
PELION_SEEDS = (
    b'{"notifications":[{"ep":"0189","path":"/3303/0/5700","payload":"MjEuNQ==","timestamp":1772619330000}]}',
    b'{"registrations":[{"ep":"a","resources":[{"path":"/3/0/0","obs":false}]}],"de-registrations":["a",{"ep":"b"}]}',
    b'{"async-responses":[{"id":"r-1","status":200,"payload":"x"}],"reg-updates":[{"ep":"a","uid":"u-1"}],"x":null}',
)
SMARTREST_SEEDS = (
    b"20,1\n20,1\x1eclient1\x1e\x1e86,5400000,0,retry\n88,1\x1e500,1,77,5010,2026-03-02T10:00:00Z\n88,2",
    b"40,none\x1e20,1\n20,1\x1e20,1\n20,1\x1e45,1,no\x1eclient1\x1e45,1,no\n45,2,no\x1e86,,0,handshake",
    b'20,1\n20,1\x1ecl1\x1e\x1e87,more\n501,"a ""b""",CREATE\n87,gw\n500,7,5\n"open\x1e!500,1\x1e?\x1e50,1,402::x',
)
SETTING_SEEDS: Mapping[Callable[[str], object], Sequence[object]] = {
    tenant_aliases: [{"cumulocity/t1234": "custaa", "pelion/fleet-1": "custbb"}],
    service_bindings: [
        {"pg": [{"name": "db", "tags": ["postgresql"], "credentials": {"uri": "postgres://u:p@h/d", "cacrt": "x"}}]},
        {"mq": [{"name": "mq", "label": "x", "credentials": {"host": "h", "port": 5671, "user": "u", "ssl": True}}]},
    ],
    named_subscriptions: [
        [{"name": "cold", "context": "mo", "apis": ["alarms"], "sources": ["1"], "typeFilter": "'a' or 'b'"}],
        [{"name": "all", "context": "tenant", "apis": ["managedobjects"], "shared": True, "expiresInMinutes": 60}],
    ],
    channel_entries: [
        [{"name": "a", "api_key": "k", "mode": "callback", "headers": {"X-Site": "7"}, "presubscriptions": [{}]}],
        [{"name": "b", "api_key_env": "K", "mode": "websocket", "subscriptions": [{"ep": "e", "paths": ["/1/0/2"]}]}],
    ],
    realtime_conversations: [
        [{"tenant": "t1", "path": "/notification/operations", "x_id": "x", "channels": ["/50", {"name": "/51"}]}],
        [
            {
                "tenant": "t1",
                "path": "/notification/realtime",
                "x_id": "x",
                "channels": ["/alarms/*"],
                "templates": [{"id": "500", "values": {"id": "$.id", "time": "$.time"}, "key": ["id"], "base": "$"}],
            }
        ],
    ],
}
FRAMING_SEEDS = (
    b"POST /notifications/mindsphere HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}GET /",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
)

SETTINGS: Mapping[str, Callable[[str], object]] = {read.__name__: read for read in SETTING_SEEDS}

TARGETS = {
    "mindsphere": Target(mindsphere_delivery, _mindsphere_seeds()),
    "cumulocity": Target(cumulocity_frame, CUMULOCITY_SEEDS),
    "pelion": Target(pelion_message, PELION_SEEDS),
    "smartrest": Target(smartrest_session, SMARTREST_SEEDS),
    "settings": Target(
        setting,
        [
            f"{read.__name__}\n{json.dumps(seed)}".encode()
            for read, seeds in SETTING_SEEDS.items()
            for seed in (*seeds, {}, [])
        ],
    ),
    "framing": Target(request_framing, FRAMING_SEEDS),
}
