"""Every example of "SmartREST Real-time Notifications", byte for byte, both ways, and a long conversation."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from subscriber.platforms.smartrest import messages, records
from subscriber.platforms.smartrest.messages import Advice, Policy, Row
from subscriber.platforms.smartrest.realtime import Channel, Realtime
from subscriber.platforms.smartrest.session import Session
from subscriber.platforms.smartrest.transitions import State
from tests.platforms.smartrest.conversing import answered, play, realtime

CLIENT = "Un1q31d3nt1f13r"
MINE, SECOND, THIRD = "mytemplate1", "mytemplate2", "mytemplate3"
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def plain(*x_ids: str) -> Session:
    """A session before its handshake, with a server that knows only the handshake of the page."""
    channel = Channel(name="/mychannel", x_ids=x_ids)
    path = "/notification/operations"
    session = Session(Realtime(tenant="t1", path=path, x_id=MINE, channels=(channel,)))
    answered(session, b"20,1\n" * (1 + len(x_ids)))
    play(session, [(b"80,true", b"45,1,no arguments supported")])
    return session


@pytest.mark.parametrize(
    ("example", "made"),
    [
        (b"80", messages.handshake(acknowledged=False)),
        (b"81,Un1q31d3nt1f13r,/mychannel", records.write([messages.subscribe(CLIENT, "/mychannel")])),
        (b"82,Un1q31d3nt1f13r,/mychannel", records.write([messages.unsubscribe(CLIENT, "/mychannel")])),
        (b"83,Un1q31d3nt1f13r", messages.connect(CLIENT)),
        (b"84,Un1q31d3nt1f13r", messages.disconnect(CLIENT)),
        (
            b"81,Un1q31d3nt1f13r,/mychannel,mytemplate2,mytemplate3",
            records.write([messages.subscribe(CLIENT, "/mychannel", (SECOND, THIRD))]),
        ),
    ],
)
def test_the_request_of_the_example_is_what_is_sent_and_is_read_the_same(example: bytes, made: bytes) -> None:
    assert made == example
    assert records.write(records.read(example)) == example  # type: ignore[arg-type]


def test_the_session_of_the_page_from_handshake_to_disconnect() -> None:
    session = plain()
    turns = play(
        session,
        [
            (b"80", b"Un1q31d3nt1f13r"),
            (b"81,Un1q31d3nt1f13r,/mychannel", b""),
            (b"83,Un1q31d3nt1f13r", b"86,,10000,retry"),
        ],
    )
    assert [turn.state for turn in turns] == [State.SUBSCRIBE, State.CONNECT, State.CONNECT]
    session.close()
    (turn,) = play(session, [(b"84,Un1q31d3nt1f13r", b"")])
    assert turn.state is State.CLOSED and session.value == b""


def test_the_advice_of_the_example_asks_for_ten_seconds_and_leaves_the_rest() -> None:
    made = messages.contents(records.read(b"86,,10000,retry"), MINE)
    assert (made.advice, made.numbered) == (Advice(None, 10_000, Policy.RETRY), False)


@pytest.mark.parametrize("lead", [b"", b" ", b"   ", b" \t"])
def test_the_answer_made_with_several_templates_says_which_rows_are_whose(lead: bytes) -> None:
    session = plain(SECOND, THIRD)
    answer = lead + b"87,2,mytemplate1\n100,myvalue\n101,myvalue2\n87,1,mytemplate3\n100,myvalue3"
    *_, turn = play(
        session,
        [
            (b"80", b"Un1q31d3nt1f13r"),
            (b"81,Un1q31d3nt1f13r,/mychannel,mytemplate2,mytemplate3", b""),
            (b"83,Un1q31d3nt1f13r", answer),
        ],
    )
    assert turn.rows == [
        Row(MINE, ("100", "myvalue")),
        Row(MINE, ("101", "myvalue2")),
        Row(THIRD, ("100", "myvalue3")),
    ]
    assert not turn.unreadable and turn.failure is None


def test_the_request_of_the_example_goes_to_its_address_with_its_header() -> None:
    session = plain(SECOND, THIRD)
    play(session, [(b"80", b"Un1q31d3nt1f13r")])
    request = session.request()
    assert request is not None
    assert (request.path, request.headers["X-Id"]) == ("/notification/operations", "mytemplate1")


FIRST, NEXT = "3k9x0q7w1vj2m5d8t4b6", "9q2r6z1n8c3v7y5u0p4e"
CHILD = "com.acme.child-v1"


@pytest.mark.parametrize("line", [b"", b"1,"])
def test_the_long_conversation_of_the_reference(line: bytes) -> None:
    """Registration, batches, a lost answer, a pause, a restart, the end; with line numbers and without."""
    session = Session(realtime("/5010", x_ids=(CHILD,)))
    turns = play(
        session,
        [
            (b"15,com.acme.gw-v3\n15,com.acme.child-v1", b"20,77120\n20,77121"),
            (b"80,true", FIRST.encode()),
            (b"81,3k9x0q7w1vj2m5d8t4b6,/5010,com.acme.child-v1", b""),
            (b"83,3k9x0q7w1vj2m5d8t4b6", b"86," + line + b"5400000,0,retry\n88,1"),
            (
                b"83,3k9x0q7w1vj2m5d8t4b6,1",
                b"  87,1,com.acme.gw-v3\n501," + line + b'60002,5010,"get ""uptime"", short"\n88,2',
            ),
            (
                b"83,3k9x0q7w1vj2m5d8t4b6,2",
                b"87,2,com.acme.gw-v3\n500,%s60003,5010\n501,%s60003,5010,reboot now\n"
                b"87,1,com.acme.child-v1\n700,%s60004,5011,OPEN\n88,3" % (line, line, line),
            ),
        ],
    )
    assert [(row.x_id, row.values[0]) for turn in turns for row in turn.rows] == [
        ("com.acme.gw-v3", "501"),
        ("com.acme.gw-v3", "500"),
        ("com.acme.gw-v3", "501"),
        (CHILD, "700"),
    ]
    assert session.numbered is bool(line)
    assert turns[4].rows[0].values[-1] == 'get "uptime", short'
    _lose(session, b"83,3k9x0q7w1vj2m5d8t4b6,3")
    play(
        session,
        [
            (b"83,3k9x0q7w1vj2m5d8t4b6,3", b"87,1,com.acme.gw-v3\n500," + line + b"60005,5010\n88,4"),
            (b"83,3k9x0q7w1vj2m5d8t4b6,4", b"86," + line + b",10000,retry\n88,5"),
        ],
    )
    assert _lose(session, b"83,3k9x0q7w1vj2m5d8t4b6,5") == 10.0
    (turn,) = play(session, [(b"83,3k9x0q7w1vj2m5d8t4b6,5", b"86," + line + b",0,handshake")])
    assert (turn.state, turn.gap, turn.covered) == (State.HANDSHAKE, "session_lost", False)
    *_, turn = play(
        session,
        [
            (b"80,true", NEXT.encode()),
            (b"81,9q2r6z1n8c3v7y5u0p4e,/5010,com.acme.child-v1", b""),
            (b"83,9q2r6z1n8c3v7y5u0p4e", b"86," + line + b"5400000,10000,retry\n88,1"),
        ],
    )
    assert turn.covered
    session.close()
    play(session, [(b"84,9q2r6z1n8c3v7y5u0p4e", b"")])


def _lose(session: Session, wanted: bytes) -> float:
    """The connection breaks before the answer is read; nothing is lost, for it was not confirmed."""
    request = session.request()
    assert request is not None and request.body == wanted
    assert session.broken("cut").gap == ""
    return request.wait_seconds
