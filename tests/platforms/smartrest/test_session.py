"""The conversation: what is sent, what is understood, what may have been missed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from subscriber.errors import SubscriberError
from subscriber.platforms.smartrest.messages import Row
from subscriber.platforms.smartrest.realtime import Template
from subscriber.platforms.smartrest.session import Session
from subscriber.platforms.smartrest.transitions import RESTING, TRANSITIONS, State
from subscriber.platforms.smartrest.turns import MAX_ANSWER_BYTES, Turn
from tests.platforms.smartrest.conversing import CLIENT, X_ID, answered, connected, play, realtime

POLL = b"83," + CLIENT.encode()
NUMBERED_POLL = POLL + b",1"


def test_a_session_begins_with_its_templates_then_shakes_hands_subscribes_and_polls() -> None:
    session = Session(realtime("/5010", "/5011"))
    turns = play(
        session,
        [
            (b"", b"20,77120"),
            (b"80,true", CLIENT.encode() + b"\n"),
            (b"81,3k9x0q7w1vj2m5d8t4b6,/5010\n81,3k9x0q7w1vj2m5d8t4b6,/5011", b""),
            (POLL, b"86,5400000,0,retry\n88,1"),
            (NUMBERED_POLL, b"500,60001,5010\n88,2"),
        ],
    )
    assert [turn.state for turn in turns] == [State.HANDSHAKE, State.SUBSCRIBE] + [State.CONNECT] * 3
    assert [turn.covered for turn in turns] == [False, False, True, True, True]
    assert turns[-1].rows == [Row(X_ID, ("500", "60001", "5010"))]
    assert not any(turn.failure or turn.gap for turn in turns)


def test_the_templates_are_asked_for_at_their_own_address_with_every_request_naming_its_collection() -> None:
    session = Session(realtime())
    first, _ = answered(session, b"20,1")
    second, _ = answered(session, CLIENT.encode())
    assert (first.path, second.path) == ("/s", "/notification/operations")
    assert [request.headers["X-Id"] for request in (first, second)] == [X_ID, X_ID]


def test_templates_that_the_platform_lacks_are_registered_and_looked_for_again() -> None:
    known = Template(x_id=X_ID, id="500", columns=("id",), paths=("$.id",), condition="$.c8y_Restart")
    session = Session(realtime(templates=[known]))
    turns = play(
        session, [(b"", b"40,none"), (b"11,500,,$.c8y_Restart,$.id", b"20,1"), (b"", b"20,1"), (b"80,true", b"abc")]
    )
    assert [turn.state for turn in turns] == [State.REGISTER, State.CHECK, State.HANDSHAKE, State.SUBSCRIBE]


def test_templates_that_nobody_knows_keep_it_asking_and_saying_so() -> None:
    session = Session(realtime())
    for _ in range(3):
        _, turn = answered(session, b"40,none")
        assert turn.state is State.CHECK and turn.failure is not None
        assert turn.failure.reason == "no_template"


def test_a_template_lost_on_the_way_leads_back_to_the_check() -> None:
    session = connected()
    _, turn = answered(session, b'40,"No template for this X-ID."')
    assert (turn.state, turn.gap) == (State.CHECK, "session_lost")
    assert turn.failure is not None and turn.failure.reason == "no_template"


def test_only_one_request_is_out_at_a_time() -> None:
    session = connected()
    assert session.request() is not None
    assert session.request() is None
    session.end(200)
    assert session.request() is not None


def test_a_poll_may_be_silent_for_a_heartbeat_and_two_minutes_or_less_if_it_is_held_less() -> None:
    session = connected()
    request, _ = answered(session, b"86,30000,,")
    assert request.silence_seconds == 720
    request, _ = answered(session, b"86,5400000,,")
    assert request.silence_seconds == 150
    request, _ = answered(session, b"")
    assert request.silence_seconds == 720
    assert answered(Session(realtime()), b"")[0].silence_seconds == 60


def test_the_wished_interval_lies_between_two_polls_and_stays_until_it_is_changed() -> None:
    session = connected()
    answered(session, b"86,,10000,retry")
    assert [answered(session, b"")[0].wait_seconds for _ in range(2)] == [10, 10]
    answered(session, b"86,,0,")
    assert answered(session, b"")[0].wait_seconds == 0


def test_no_server_can_send_us_to_sleep_for_ever() -> None:
    session = connected()
    answered(session, b"86,,999999999999,retry")
    assert answered(session, b"")[0].wait_seconds == 3600


def test_after_a_new_handshake_all_subscriptions_are_made_again_without_a_pause_before_the_poll() -> None:
    session = connected(realtime("/5010", "/5011"))
    answered(session, b"86,,10000,")
    _, turn = answered(session, b"86,,0,handshake")
    assert (turn.state, turn.gap, session.lost) == (State.HANDSHAKE, "session_lost", True)
    turns = play(session, [(b"80,true", b"again"), (b"81,again,/5010\n81,again,/5011", b"")])
    assert [turn.covered for turn in turns] == [False, True]
    assert not session.lost
    assert answered(session, b"")[0].body == b"83,again"


@pytest.mark.parametrize("answer", [b"86,,0,handshake", b"86,1,,0,handshake", b"50,1,402::Unknown client", b"45,1,x"])
def test_an_unknown_client_id_leads_to_a_new_handshake(answer: bytes) -> None:
    session = connected()
    answered(session, b"86,5400000,0,retry")
    assert answered(session, answer)[1].state is State.HANDSHAKE
    assert answered(session, b"again")[1].state is State.SUBSCRIBE


def test_rows_that_come_with_the_end_of_a_session_are_kept() -> None:
    _, turn = answered(connected(), b"500,1\n86,,0,handshake")
    assert len(turn.rows) == 1 and turn.state is State.HANDSHAKE


@pytest.mark.parametrize("connects", [0, 1, 9])
def test_a_session_that_is_lost_soon_after_it_is_made_is_a_failure_so_that_nobody_spins(connects: int) -> None:
    session = connected()
    for _ in range(connects):
        answered(session, b"")
    _, turn = answered(session, b"86,,0,handshake")
    assert turn.failure is not None and turn.failure.reason == "session_lost"


def test_a_session_that_is_lost_before_it_has_its_subscriptions_is_a_failure_so_that_nobody_spins() -> None:
    session = Session(realtime())
    answered(session, b"20,1")
    for _ in range(3):
        answered(session, CLIENT.encode())
        _, turn = answered(session, b"86,,0,handshake")
        assert turn.state is State.HANDSHAKE
        assert turn.failure is not None and turn.failure.reason == "session_lost"


def test_a_session_that_has_lasted_is_replaced_without_a_pause() -> None:
    session = connected()
    for _ in range(10):
        answered(session, b"")
    _, turn = answered(session, b"86,,0,handshake")
    assert (turn.failure, turn.gap) == (None, "session_lost")


def test_advice_none_stops_until_somebody_starts_it_again() -> None:
    session = connected()
    _, turn = answered(session, b"500,1\n86,,,none")
    assert (turn.state, turn.gap, len(turn.rows)) == (State.STOPPED, "session_lost", 1)
    assert session.request() is None
    session.restart()
    assert answered(session, b"again")[0].body == b"80,true"


def test_only_a_stopped_session_can_be_started_again() -> None:
    with pytest.raises(ValueError, match="cannot restart"):
        connected().restart()


def test_without_a_request_there_is_no_answer() -> None:
    with pytest.raises(ValueError, match="no request"):
        connected().end(200)


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"45,1,no arguments supported"), (400, b""), (500, b""), (200, b"<html>"), (200, b"")]
)
def test_a_server_that_knows_only_the_plain_handshake_gets_it(status: int, body: bytes) -> None:
    session = Session(realtime())
    answered(session, b"20,1")
    request, turn = answered(session, body, status)
    assert (request.body, turn.state) == (b"80,true", State.HANDSHAKE)
    assert turn.failure is not None
    play(session, [(b"80", b"abc"), (b"81,abc,/5010", b""), (b"83,abc", b"500,1\n88,7"), (b"83,abc", b"")])


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_a_refusal_for_another_reason_does_not_give_up_acknowledgement(status: int) -> None:
    session = Session(realtime())
    answered(session, b"20,1")
    answered(session, b"", status)
    assert answered(session, b"abc")[0].body == b"80,true"


def test_a_number_that_the_server_refuses_in_a_poll_leads_to_the_plain_handshake() -> None:
    session = connected(batch="1")
    request, turn = answered(session, b"45,1,wrong number of arguments")
    assert (request.body, turn.state) == (NUMBERED_POLL, State.HANDSHAKE)
    play(session, [(b"80", b"abc")])


def test_a_session_begun_plain_asks_for_acknowledgement_again_in_the_next_handshake() -> None:
    session = connected()
    answered(session, b"45,1")
    play(session, [(b"80", b"abc"), (b"81,abc,/5010", b""), (b"83,abc", b"86,,,handshake"), (b"80,true", b"def")])


def test_the_number_of_the_last_answer_is_kept_over_answers_without_one() -> None:
    play(
        connected(),
        [(POLL, b"88,1"), (NUMBERED_POLL, b""), (NUMBERED_POLL, b"500,1\n88,2"), (POLL + b",2", b"")],
    )


def test_an_acknowledged_answer_that_breaks_off_comes_again_whole_so_nothing_of_it_counts() -> None:
    session = connected(batch="1")
    session.request()
    session.receive(b"500,1\n501,2\n88,2\n")
    turn = session.broken("reset")
    assert (turn.rows, turn.gap, turn.state) == ([], "", State.CONNECT)
    assert turn.failure is not None and turn.failure.reason == "connection_lost"
    play(session, [(NUMBERED_POLL, b"500,1\n501,2\n88,2")])


def test_of_an_unacknowledged_answer_that_breaks_off_the_whole_rows_are_kept_and_the_gap_is_told() -> None:
    session = connected()
    session.request()
    session.receive(b"  500,1\n501,2")
    turn = session.broken("reset")
    assert (turn.rows, turn.gap, turn.covered) == ([Row(X_ID, ("500", "1"))], "answer_lost", True)


def test_an_unacknowledged_poll_without_an_answer_may_have_lost_one() -> None:
    session = connected()
    session.request()
    assert session.broken("silence").gap == "answer_lost"


def test_a_request_that_was_never_sent_lost_nothing() -> None:
    session = connected()
    session.request()
    turn = session.unreachable("connection refused")
    assert (turn.gap, turn.state) == ("", State.CONNECT)
    assert turn.failure is not None and turn.failure.reason == "unreachable"


def test_an_outage_of_the_network_does_not_cost_the_session() -> None:
    session = connected(batch="1")
    for _ in range(50):
        session.request()
        session.unreachable("connection refused")
    play(session, [(NUMBERED_POLL, b"")])


def test_error_rows_that_may_pass_cost_the_session_only_if_they_do_not() -> None:
    session = connected()
    states = [answered(session, b"50,1,503")[1].state for _ in range(3)]
    assert states == [State.CONNECT, State.CONNECT, State.HANDSHAKE]
    patient = connected()
    for body in [b"50,1,503", b"50,1,503", b""] * 3:
        assert answered(patient, body)[1].state is State.CONNECT


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 503])
def test_a_status_that_may_pass_keeps_the_session(status: int) -> None:
    session = connected()
    _, turn = answered(session, b"<html>", status)
    assert (turn.state, turn.gap, turn.unreadable) == (State.CONNECT, "", [])


def test_a_refused_channel_is_told_and_the_others_go_on() -> None:
    session = Session(realtime("/5010", "/5011"))
    turns = play(
        session,
        [
            (b"", b"20,1"),
            (b"80,true", b"abc"),
            (b"81,abc,/5010\n81,abc,/5011", b"50,1,403"),
            (b"81,abc,/5010", b"50,1,403"),
            (b"81,abc,/5011", b""),
            (b"83,abc", b""),
        ],
    )
    refused = turns[3].refused
    assert refused is not None and (refused.channel, refused.error.reason) == ("/5010", "row_refused")
    assert [turn.refused for turn in turns if turn.refused] == [refused]
    assert turns[-1].state is State.CONNECT
    answered(session, b"86,,,handshake")
    play(session, [(b"80,true", b"def"), (b"81,def,/5010\n81,def,/5011", b"")])


def test_when_every_channel_is_refused_perhaps_the_session_is() -> None:
    session = Session(realtime())
    play(session, [(b"", b"20,1"), (b"80,true", b"abc")])
    _, turn = answered(session, b"50,1,403")
    assert turn.state is State.HANDSHAKE and turn.failure is not None and turn.refused is not None


def test_subscribing_waits_out_what_passes() -> None:
    session = Session(realtime())
    play(session, [(b"", b"20,1"), (b"80,true", b"abc")])
    for status in (401, 500, 503):
        assert answered(session, b"", status)[1].state is State.SUBSCRIBE
    assert answered(session, b"50,1,503")[1].state is State.SUBSCRIBE
    assert answered(session, b"")[1].state is State.CONNECT


def test_what_is_no_row_is_handed_on_to_be_kept() -> None:
    _, turn = answered(connected(), b'500,"a"b\nhello\n500,x')
    assert [broken.raw for broken in turn.unreadable] == [b'500,"a"b', b"hello"]
    assert len(turn.rows) == 1 and turn.state is State.CONNECT


def test_a_proxy_s_page_in_place_of_a_poll_s_answer_is_kept_and_is_a_failure_so_that_nobody_spins() -> None:
    _, turn = answered(connected(), b"<html>\n</html>\n")
    assert turn.state is State.CONNECT and len(turn.unreadable) == 2
    assert turn.failure is not None and turn.failure.reason == "unreadable_answer"


def test_a_proxy_s_page_subscribes_to_nothing() -> None:
    session = Session(realtime())
    play(session, [(b"", b"20,1"), (b"80,true", b"abc")])
    _, turn = answered(session, b"<html>")
    assert (turn.state, turn.covered, turn.unreadable) == (State.SUBSCRIBE, False, [])


def test_an_endless_answer_ends_the_session_and_keeps_what_came_whole() -> None:
    session = connected(batch="1")
    session.request()
    assert session.receive(b"500,1\n")
    assert not session.receive(b"x" * MAX_ANSWER_BYTES)
    turn = session.end(200)
    assert (turn.state, turn.gap, len(turn.rows)) == (State.HANDSHAKE, "session_lost", 1)
    assert turn.failure is not None and turn.failure.reason == "answer_too_large"


@pytest.mark.parametrize("piece", [b"<p>a proxy's page</p>\n", b"50,1,503\n"])
def test_an_endless_answer_of_nothing_that_counts_ends_the_session_too(piece: bytes) -> None:
    session = connected(batch="1")
    session.request()
    while session.receive(piece * 10_000):
        pass
    turn = session.end(200)
    assert (turn.state, turn.gap) == (State.HANDSHAKE, "session_lost")
    assert turn.failure is not None and turn.failure.reason == "answer_too_large"


def test_a_restart_goes_on_with_the_session_and_its_number() -> None:
    before = connected(batch="1")
    again = Session(realtime(), before.value)
    assert again.covered and not again.lost
    _, turn = answered(again, b"500,1\n88,2")
    assert (turn.gap, len(turn.rows)) == ("", 1)


def test_a_restart_finds_the_session_gone_and_says_so() -> None:
    again = Session(realtime(), connected(batch="1").value)
    request, turn = answered(again, b"86,,0,handshake")
    assert (request.body, turn.gap) == (NUMBERED_POLL, "session_lost")


def test_a_restart_while_a_session_is_lost_knows_that_the_gap_is_open() -> None:
    session = connected()
    answered(session, b"86,,0,handshake")
    again = Session(realtime(), session.value)
    assert again.lost and not again.covered
    answered(again, b"20,1")
    answered(again, b"abc")
    later = Session(realtime(), again.value)
    assert (later.lost, later.state) == (True, State.SUBSCRIBE)
    _, turn = answered(later, b"")
    assert turn.covered and not later.lost


def test_a_first_start_has_lost_nothing() -> None:
    session = Session(realtime())
    answered(session, b"20,1")
    answered(session, b"abc")
    _, turn = answered(session, b"86,,,handshake")
    assert (turn.gap, session.lost) == ("", False)


def test_a_restart_with_other_channels_changes_the_session_s_subscriptions() -> None:
    before = connected(realtime("/5010", "/5011"))
    again = Session(realtime("/5010", "/5012"), before.value)
    assert again.covered
    play(again, [(b"82,3k9x0q7w1vj2m5d8t4b6,/5011\n81,3k9x0q7w1vj2m5d8t4b6,/5012", b""), (POLL, b"")])


def test_a_strange_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="memory"):
        Session(realtime(), b"strange")


@pytest.mark.parametrize(("status", "body"), [(200, b""), (404, b""), (200, b"86,,,handshake"), (200, b"40,none")])
def test_closing_ends_the_session_on_the_server_also_if_it_is_gone_already(status: int, body: bytes) -> None:
    session = connected()
    assert session.request() is not None
    session.close()
    request, turn = answered(session, body, status)
    assert (request.body, turn.state, turn.gap) == (b"84," + CLIENT.encode(), State.CLOSED, "")
    assert session.value == b"" and session.request() is None
    session.close()


def test_closing_before_there_is_a_session_asks_nothing() -> None:
    session = Session(realtime())
    session.close()
    assert session.state is State.CLOSED and session.request() is None


def test_a_poll_can_be_abandoned_for_a_planned_stop_while_it_is_quiet() -> None:
    session = connected()
    session.request()
    session.receive(b"   ")
    assert session.quiet
    session.abandon()
    assert Session(realtime(), session.value).covered
    assert session.request() is not None
    session.receive(b"500")
    assert not session.quiet


TOKENS = [b"80", b"86", b"87", b"88", b"20", b"40", b"41", b"45", b"50", b"500", b"abc", b",", b",", b"\n", b"\r\n"]
TOKENS += [b'"', b" ", b"1", b"403", b"503", b"handshake", b"none", b"retry", X_ID.encode(), b"\xff", b"\0", b"402::"]
ANSWERS = st.binary(max_size=60) | st.lists(st.sampled_from(TOKENS), max_size=14).map(b"".join)
STATUSES = st.just(200) | st.integers(100, 599)


class AnyServer(RuleBasedStateMachine):
    """Whatever a server says, in whatever order: rows, a typed failure or a new handshake, and never stuck."""

    def __init__(self) -> None:
        super().__init__()
        known = Template(x_id=X_ID, id="500", columns=("id",), paths=("$.id",))
        self.session = Session(realtime("/5010", "/5011", templates=[known]))
        self.last: Turn | None = None

    def asking(self) -> bool:
        return self.session.state not in RESTING

    @precondition(asking)
    @rule(pieces=st.lists(ANSWERS, max_size=3), status=STATUSES)
    def answer(self, pieces: list[bytes], status: int) -> None:
        self.ask()
        for piece in pieces:
            self.session.receive(piece)
        self.took(self.session.end(status))

    @precondition(asking)
    @rule(answer=st.sampled_from([b"20,1", b"abc", b"", b"88,3\n500,1", b"86,1,2,3,handshake", b"86,,,none"]))
    def answer_well(self, answer: bytes) -> None:
        self.ask()
        self.session.receive(answer)
        self.took(self.session.end(200))

    @precondition(asking)
    @rule(piece=ANSWERS)
    def break_off(self, piece: bytes) -> None:
        self.ask()
        self.session.receive(piece)
        self.took(self.session.broken("reset"))

    @precondition(asking)
    @rule()
    def cannot_connect(self) -> None:
        self.ask()
        self.took(self.session.unreachable("refused"))

    @precondition(lambda self: self.session.state is State.STOPPED)
    @rule()
    def restart(self) -> None:
        self.session.restart()

    @rule()
    def crash(self) -> None:
        before = (self.session.covered, self.session.lost)
        self.session = Session(self.session.realtime, self.session.value)
        assert (self.session.covered, self.session.lost) == before

    def ask(self) -> None:
        request = self.session.request()
        assert request is not None and request.state is self.session.state
        assert 0 <= request.wait_seconds <= 3600 and 60 <= request.silence_seconds <= 720

    def took(self, turn: Turn) -> None:
        assert turn.state is self.session.state and turn.covered is self.session.covered
        assert turn.failure is None or isinstance(turn.failure, SubscriberError)
        assert turn.gap in ("", "session_lost", "answer_lost")
        assert turn.gap != "session_lost" or self.session.lost

    @invariant()
    def covered_or_lost_never_both(self) -> None:
        assert not (self.session.covered and self.session.lost)
        assert self.session.covered or self.session.state is not State.CONNECT
        assert self.session.state in TRANSITIONS


AnyServer.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
test_any_server = AnyServer.TestCase


@given(st.lists(st.sampled_from([b"500,1", b"501,a", b"86,,0,retry", b"87,1,x"]), max_size=8), st.data())
def test_how_an_answer_is_cut_into_pieces_makes_no_difference(lines: list[bytes], data: st.DataObject) -> None:
    body = b" " * data.draw(st.integers(0, 3)) + b"\n".join(lines)
    cut = data.draw(st.integers(0, len(body)))
    whole, parts = connected(), connected()
    _, wanted = answered(whole, body)
    parts.request()
    parts.receive(body[:cut])
    parts.receive(body[cut:])
    assert parts.end(200) == wanted
