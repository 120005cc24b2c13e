"""Sessions from their handshake to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from emulator.clock import Clock
from emulator.cumulocity.changes import Action, Change
from emulator.cumulocity.directory import User
from emulator.cumulocity.documents import Documents
from emulator.cumulocity.inventory import Inventory
from emulator.cumulocity.realtime.advice import Advice
from emulator.cumulocity.realtime.bayeux import Bayeux, Denied, NoChannel, UnknownClient
from emulator.cumulocity.realtime.book import Book
from emulator.cumulocity.realtime.poll import Ending
from emulator.cumulocity.realtime.sessions import Family, Session
from emulator.cumulocity.realtime.template_store import TemplateStore
from emulator.journal import Journal
from emulator.knobs import Panel

USER = User("t1", "ann", "secret", frozenset({"ROLE_ALARM_READ"}))
OTHER = User("t2", "ann", "secret", frozenset())


@pytest.fixture
def alarms() -> list[str]:
    """How often the timekeeper was told."""
    return []


@pytest.fixture
def bayeux(
    journal: Journal,
    documents: Documents,
    inventory: Inventory,
    still: Clock,
    panel: Panel,
    alarms: list[str],
) -> Iterator[Bayeux]:
    made = Bayeux(TemplateStore(journal, documents), inventory, Book(journal), still, panel)
    made.polls.on_alarm = lambda: alarms.append("told")
    yield made


def greeted(bayeux: Bayeux, *, reliable: bool = False) -> Session:
    session = bayeux.handshake(USER, Family.REALTIME, "", reliable=reliable)
    bayeux.subscribe(session, "/alarms/*", (), USER.roles)
    return session


def alarm(bayeux: Bayeux) -> None:
    bayeux.publishing.hear(Change("t1", "alarms", Action.CREATE, "208", {"id": "9"}))


def test_a_session_is_its_users_and_its_endpoints(bayeux: Bayeux) -> None:
    session = greeted(bayeux)
    assert bayeux.session(USER, Family.REALTIME, session.id) is session
    for user, family, id in (
        (OTHER, Family.REALTIME, session.id),
        (USER, Family.OPERATIONS, session.id),
        (USER, Family.REALTIME, "x"),
    ):
        with pytest.raises(UnknownClient):
            bayeux.session(user, family, id)


def test_wrong_and_forbidden_channels_are_refused(bayeux: Bayeux) -> None:
    session = greeted(bayeux)
    with pytest.raises(NoChannel):
        bayeux.subscribe(session, "alarms", (), USER.roles)
    with pytest.raises(Denied):
        bayeux.subscribe(session, "/events/*", (), USER.roles)


def test_a_connect_is_held_until_something_happens(bayeux: Bayeux) -> None:
    async def run() -> None:
        session = greeted(bayeux)
        first = bayeux.hold(session)
        assert first.ending is Ending.NEWS  # the very first one brings the advice
        bayeux.advised(session)
        bayeux.released(session, first)
        held = bayeux.hold(session)
        assert held.ending is None
        alarm(bayeux)
        assert held.ending is Ending.NEWS
        bayeux.written(session, session.draw())
        assert bayeux.book.totals.acknowledged == 1

    asyncio.run(run())


def test_a_hold_of_nothing_ends_at_once(bayeux: Bayeux) -> None:
    session = greeted(bayeux)
    bayeux.advised(session)
    assert bayeux.hold(session, 0).ending is Ending.TIMEOUT


def test_only_a_confirmation_ends_what_is_numbered(bayeux: Bayeux) -> None:
    async def run() -> None:
        session = greeted(bayeux, reliable=True)
        alarm(bayeux)
        bayeux.written(session, session.draw())
        assert bayeux.book.totals.pending() == 1
        bayeux.confirm(session, 1)
        assert bayeux.book.totals.acknowledged == 1

    asyncio.run(run())


def test_what_disappears_on_the_way_is_lost_or_kept(bayeux: Bayeux) -> None:
    async def run() -> None:
        plain, kept = greeted(bayeux), greeted(bayeux, reliable=True)
        alarm(bayeux)
        for session in (plain, kept):
            bayeux.lost(session, session.draw())
        assert (bayeux.book.totals.dropped, bayeux.book.totals.pending()) == (1, 1)

    asyncio.run(run())


def test_what_a_session_held_goes_with_it(bayeux: Bayeux) -> None:
    async def run() -> None:
        session = greeted(bayeux)
        alarm(bayeux)
        batch = session.draw()
        alarm(bayeux)
        bayeux.disconnect(session)
        bayeux.unwritten(session, batch)
        assert bayeux.book.totals.dropped == 2
        assert bayeux.hold(session).ending is Ending.CLOSED

    asyncio.run(run())


def test_a_session_ends_two_hours_after_its_last_request(bayeux: Bayeux, still: Clock, alarms: list[str]) -> None:
    session = greeted(bayeux)
    assert bayeux.next_moment() == still.now() + 7200 and alarms == ["told"]
    still.advance_to(still.now() + 7200)
    bayeux.play()
    with pytest.raises(UnknownClient):
        bayeux.session(USER, Family.REALTIME, session.id)


def test_advice_for_one_session_ends_its_connect(bayeux: Bayeux) -> None:
    session = greeted(bayeux)
    bayeux.advised(session)
    held = bayeux.hold(session)
    bayeux.advise(session, Advice(interval=10))
    assert held.ending is Ending.NEWS
    assert bayeux.advice_news(session) == Advice(None, 10, "retry")
    bayeux.advise(session, Advice(reconnect="handshake"))
    bayeux.advised(session)
    assert bayeux.sessions.get(session.id) is None


def test_a_restart_loses_all_sessions(bayeux: Bayeux) -> None:
    held = bayeux.hold(greeted(bayeux), 1000)
    greeted(bayeux)
    assert bayeux.restart() == 2 and len(bayeux.sessions) == 0
    assert held.ending is Ending.NEWS  # it had one before


def test_a_connection_breaks_and_the_session_stays(bayeux: Bayeux) -> None:
    session = greeted(bayeux)
    assert not bayeux.cut(session)
    bayeux.advised(session)
    held = bayeux.hold(session)
    assert bayeux.cut(session) and held.ending is Ending.CUT
    assert bayeux.sessions.get(session.id) is session
