"""The table of the conversation's states, and its drawing."""

from __future__ import annotations

import pytest

from subscriber.platforms.smartrest.transitions import ESTABLISHED, RESTING, TRANSITIONS, Event, State
from tests.platforms.smartrest.diagram import PAGE, rewritten


def test_the_drawing_is_that_of_the_table() -> None:
    text = PAGE.read_text()
    assert rewritten(text) == text, "run `python -m tests.platforms.smartrest.diagram`"


@pytest.mark.parametrize("word", [*State, *Event])
def test_the_page_explains_every_state_and_event(word: str) -> None:
    assert f"| `{word}` |" in PAGE.read_text()


def reachable(start: State, events: set[Event]) -> set[State]:
    found, waiting = {start}, [start]
    while waiting:
        ways = TRANSITIONS[waiting.pop()]
        new = {state for event, state in ways.items() if event in events} - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize("state", State)
def test_every_state_but_the_end_leads_back_to_the_poll(state: State) -> None:
    if state not in (State.DISCONNECT, State.CLOSED):
        assert State.CONNECT in reachable(state, set(Event) - {Event.CLOSE})


@pytest.mark.parametrize("state", State)
def test_closing_ends_every_state_and_tells_the_server_where_there_is_a_session(state: State) -> None:
    first = TRANSITIONS[state][Event.CLOSE]
    assert first is (State.DISCONNECT if state in ESTABLISHED else State.CLOSED)
    assert reachable(first, {Event.DONE}) == {first, State.CLOSED}


@pytest.mark.parametrize("state", sorted(set(State) - RESTING))
def test_whatever_is_asked_may_succeed_or_fail(state: State) -> None:
    assert {Event.DONE, Event.FAILED} <= set(TRANSITIONS[state])


def test_only_a_stopped_session_is_started_again() -> None:
    assert [state for state, ways in TRANSITIONS.items() if Event.RESTART in ways] == [State.STOPPED]
