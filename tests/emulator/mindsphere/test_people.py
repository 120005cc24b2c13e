"""People of the emulated tenants: their roles, tokens and sessions."""

from __future__ import annotations

from pathlib import Path

import jwt
import pytest

from emulator.clock import Clock
from emulator.identity import KeyRing, Tokens
from emulator.journal import Journal
from emulator.knobs import Knobs, Panel
from emulator.mindsphere.access import Access
from emulator.mindsphere.addresses import Addresses
from emulator.mindsphere.people import SESSION_S, SESSIONS_KEPT, Person, Sessions, people_of
from emulator.mindsphere.registry import new_application

APP = new_application("alarmapi", "v1.4.2", "acmeop")


class Wall:
    def __init__(self) -> None:
        self.now = 1_760_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def sessions(tmp_path: Path, wall: Wall) -> Sessions:
    journal, panel, clock = Journal(tmp_path / "state.db"), Panel(Knobs()), Clock(0.0)
    addresses = Addresses(lambda zone: True)
    tokens = Tokens(KeyRing(journal, clock, panel), addresses.issuer, addresses.zone_of, wall)
    return Sessions(Access(tokens, panel), wall)


def unverified(token: str) -> dict[str, object]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_each_tenant_has_an_operator_a_reader_and_somebody_without_a_role() -> None:
    scopes = {person.name: person.scopes(APP) for person in people_of("custaa")}
    assert scopes == {
        "operator@custaa.example": ["alarmapi.default", "alarmapi.read", "alarmapi.operate"],
        "reader@custaa.example": ["alarmapi.default", "alarmapi.read"],
        "visitor@custaa.example": [],
    }


def test_a_person_s_token_names_the_person_and_comes_from_the_tenant_s_zone(sessions: Sessions) -> None:
    person = Person("custaa", "operator")
    _, session = sessions.open(person, APP)
    claims = unverified(sessions.token(session))
    assert (claims["ten"], claims["zid"], claims["user_name"]) == ("custaa", "custaa", "operator@custaa.example")
    assert claims["sub"] == claims["user_id"] == Person("custaa", "operator").id
    assert str(claims["iss"]).endswith("/custaa.piam/oauth/token")


def test_a_token_is_kept_while_it_has_long_to_live_and_then_renewed(sessions: Sessions, wall: Wall) -> None:
    _, session = sessions.open(Person("custaa", "reader"), APP)
    first = sessions.token(session)
    wall.now += 800
    assert sessions.token(session) == first
    wall.now += 200
    assert sessions.token(session) != first


def test_a_session_ends_after_a_working_day_or_when_it_is_closed(sessions: Sessions, wall: Wall) -> None:
    first, _ = sessions.open(Person("custaa", "reader"), APP)
    second, _ = sessions.open(Person("custaa", "reader"), APP)
    assert first != second and sessions.find(first) and sessions.find("made up") is None
    sessions.close(first)
    assert sessions.find(first) is None
    wall.now += SESSION_S
    assert sessions.find(second) is None


def test_sessions_are_bounded(sessions: Sessions) -> None:
    first, _ = sessions.open(Person("custaa", "reader"), APP)
    for _ in range(SESSIONS_KEPT):
        last, _ = sessions.open(Person("custaa", "reader"), APP)
    assert sessions.find(first) is None and sessions.find(last)
