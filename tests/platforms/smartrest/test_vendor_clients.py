"""The request bytes that the vendor's two CSV clients were seen to send, and the answers they were given.

Recorded from the C++ SDK's ``SrDevicePush`` and the Java ME SDK's ``SmartCometClient`` against a loopback server.
"""

from __future__ import annotations

import pytest

from subscriber.platforms.smartrest import records
from subscriber.platforms.smartrest.session import Session
from tests.platforms.smartrest.conversing import CLIENT, answered, play, realtime

CPP = [
    b"80,true",
    b"81,3k9x0q7w1vj2m5d8t4b6,/4711,tplB",
    b"83,3k9x0q7w1vj2m5d8t4b6",
    b"83,3k9x0q7w1vj2m5d8t4b6",
    b"83,3k9x0q7w1vj2m5d8t4b6,1",
    b"83,3k9x0q7w1vj2m5d8t4b6,2",
]
JME = [
    b"80,true",
    b"81,3k9x0q7w1vj2m5d8t4b6,/4711,tplB",
    b"83,3k9x0q7w1vj2m5d8t4b6,-1",
    b"83,3k9x0q7w1vj2m5d8t4b6,-1",
    b"83,3k9x0q7w1vj2m5d8t4b6,1",
]


@pytest.mark.parametrize("line", ["", "1,"])
def test_the_session_sends_what_the_c_client_sends(line: str) -> None:
    answers = [
        CLIENT,
        "",
        f"86,{line}5400000,0,retry",
        f"87,1,com.acme.gw-v3\n502,{line}60001,4711\n87,1,tplB\n700,{line}60001,4711\n88,1",
        f"502,{line}60002,4711\n88,2",
        f"86,{line},0,handshake",
    ]
    session = Session(realtime("/4711", path="/devicecontrol/notifications", x_ids=("tplB",)))
    answered(session, b"20,1\n20,2")
    turns = play(session, list(zip(CPP, map(str.encode, answers), strict=True)))
    assert [len(turn.rows) for turn in turns] == [0, 0, 0, 2, 1, 0]
    play(session, [(b"80,true", b"")])


@pytest.mark.parametrize("line", ["", "1,"])
def test_the_session_sends_what_the_java_client_sends_but_for_the_number_of_no_answer(line: str) -> None:
    """The Java client says -1 before it has a number; the C++ client says nothing, as the page does."""
    answers = [CLIENT, "", f"86,{line}5400000,0,retry", f"500,{line}60001,4711\n88,1", f"86,{line},10000,retry"]
    session = Session(realtime("/4711", x_ids=("tplB",)))
    answered(session, b"20,1\n20,2")
    requests = [body.removesuffix(b",-1") for body in JME]
    turns = play(session, list(zip(requests, map(str.encode, answers), strict=True)))
    assert [len(turn.rows) for turn in turns] == [0, 0, 0, 1, 0]


@pytest.mark.parametrize("body", CPP + JME)
def test_their_rows_are_written_as_they_were_read(body: bytes) -> None:
    assert records.write(records.read(body)) == body  # type: ignore[arg-type]
