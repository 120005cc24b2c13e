"""Held connects and the time that passes over them."""

from __future__ import annotations

import asyncio

import pytest

from emulator.clock import Clock
from emulator.cumulocity.realtime.poll import Ending
from emulator.cumulocity.realtime.polls import Polls
from emulator.cumulocity.realtime.sessions import Family, Session, Sessions
from emulator.knobs import Panel


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def polls(sessions: Sessions, still: Clock, panel: Panel) -> Polls:
    return Polls(sessions, still, panel)


def made(sessions: Sessions, clock: Clock, channel: str = "/alarms/*", user: str = "admin") -> Session:
    session = Session("t1", user, Family.REALTIME, "x", False, clock.now())
    sessions.add(session)
    sessions.subscribe(session, channel, ())
    return session


def test_a_space_is_due_every_ten_minutes(polls: Polls, sessions: Sessions, still: Clock) -> None:
    start = still.now()
    poll = polls.begin(made(sessions, still), 5400)
    assert polls.next_moment() == start + 600
    still.advance_to(start + 599)
    polls.play()
    still.advance_to(start + 600)
    polls.play()
    assert polls.next_moment() == start + 1200
    assert asyncio.run(poll.next()) == 1


def test_the_timekeeper_is_told_of_every_moment_earlier_than_all_known(
    polls: Polls, sessions: Sessions, still: Clock
) -> None:
    told: list[float | None] = []
    polls.on_alarm = lambda: told.append(polls.next_moment())
    session, start = made(sessions, still), still.now()
    polls.await_next(session)
    poll = polls.begin(session, 5400)
    polls.end(session, poll)
    polls.begin(session, 5400)
    polls.begin(made(sessions, still), 30)
    assert told == [start + 7200, start + 600, start + 30]


def test_a_connect_ends_with_its_timeout(polls: Polls, sessions: Sessions, still: Clock) -> None:
    start = still.now()
    poll = polls.begin(made(sessions, still), 30)
    assert polls.next_moment() == start + 30
    still.advance_to(start + 30)
    polls.play()
    assert poll.ending is Ending.TIMEOUT


def test_the_second_connect_supersedes_the_first(polls: Polls, sessions: Sessions, still: Clock) -> None:
    session = made(sessions, still)
    first = polls.begin(session, 5400)
    second = polls.begin(session, 5400)
    polls.end(session, first)
    assert (first.ending, second.ending, session.poll) == (Ending.SUPERSEDED, None, second)


def test_a_session_without_a_connect_ends_after_two_hours(polls: Polls, sessions: Sessions, still: Clock) -> None:
    session, start = made(sessions, still), still.now()
    poll = polls.begin(session, 5400)
    still.advance_to(start + 100)
    polls.end(session, poll)
    still.advance_to(start + 7299)
    assert polls.play() == [] and polls.next_moment() == start + 7300
    still.advance_to(start + 7300)
    assert polls.play() == [session] and polls.next_moment() is None


def test_ten_connects_of_a_user_are_held_for_a_channel(polls: Polls, sessions: Sessions, still: Clock) -> None:
    held = []
    for _ in range(11):
        held.append(polls.begin(made(sessions, still), 5400))
        still.advance_to(still.now() + 1)
    other = polls.begin(made(sessions, still, user="device"), 5400)
    elsewhere = polls.begin(made(sessions, still, "/events/*"), 5400)
    endings = [poll.ending for poll in (*held, other, elsewhere)]
    assert endings == [Ending.CROWDED, *[None] * 12]
