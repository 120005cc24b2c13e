"""Two tenants side by side: nothing of one is ever visible to the other, whatever the order of events.

The other tenant lives its life in one world and does not exist in a second one; what is answered in the two is
compared, so that also counts, lengths and errors would tell.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from subscriber.model import Tenant
from tests.servers.postgres import shared
from tests.store.making import TOPIC, key
from tests.web.api.world import ACME, OTHER, World, address, world

STEPS = 40
DEADLINE_SECONDS = 20.0
TIMES = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z")
PLACES = re.compile(rb"[A-Za-z0-9_-]{75}")
UNKNOWN = key("nobody's").hex()


class Twins:
    """The world of both tenants, and the one in which the other does not exist."""

    def __init__(self, both: World, alone: World) -> None:
        self.both, self.alone = both, alone
        self.places: dict[str, tuple[str, str]] = {}
        self.tokens = {one: one.token() for one in (both, alone)}

    def arrive(self, name: str, tenant: Tenant, **parts: Any) -> None:
        self.both.arrive(name, tenant, **parts)
        if tenant == ACME:
            self.alone.arrive(name, tenant, **parts)

    def ask(self, path: str, kind: str = "") -> None:
        """The same question in both worlds, going on from each one's own place.

        PostgreSQL tells of arrivals when no earlier transaction runs, and its own housekeeping is one at times: what
        differs is asked again before it counts.
        """
        give_up_at = time.monotonic() + DEADLINE_SECONDS
        answers = self._answers(path, kind)
        while self.without_times(answers[0].data) != self.without_times(answers[1].data):
            assert time.monotonic() < give_up_at, [answer.text for answer in answers]
            answers = self._answers(path, kind)
        assert answers[0].status_code == answers[1].status_code
        assert len(answers[0].data) == len(answers[1].data)
        assert OTHER.name.encode() not in answers[0].data
        if kind:
            self.places[kind] = (_place(answers[0], kind), _place(answers[1], kind))

    def _answers(self, path: str, kind: str) -> list[Any]:
        places = self.places.get(kind, ("", ""))
        return [
            one.get(path + (f"&cursor={place}" if place else ""), self.tokens[one])
            for one, place in zip((self.both, self.alone), places, strict=True)
        ]

    @staticmethod
    def without_times(data: bytes) -> bytes:
        """What is the worlds' own: times, and places, which are sealed."""
        return PLACES.sub(b"place", TIMES.sub(b"time", data))


def _place(answer: Any, kind: str) -> str:
    if kind == "stream":
        found = re.findall(rb"^id: (\S+)$", answer.data, re.MULTILINE)
        return found[-1].decode() if found else ""
    return str(answer.json["next"] or "")


@pytest.fixture(params=["sqlite", "postgres"])
def twins(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Twins]:
    fresh: Callable[[], str] = shared().fresh if request.param == "postgres" else lambda: ""
    with ExitStack() as stack:
        found = []
        for name in ("both", "alone"):
            folder = tmp_path / name
            folder.mkdir()
            found.append(stack.enter_context(world(folder, fresh())))
        yield Twins(*found)


@pytest.mark.parametrize("seed", range(3))
def test_what_the_other_does_changes_nothing_of_what_one_sees(twins: Twins, seed: int) -> None:
    chance = random.Random(seed)
    for step in range(STEPS):
        tenant = chance.choice((ACME, OTHER, OTHER))
        name, topic = f"n{step}", chance.choice(("t.a", "t.b", TOPIC))
        kind = chance.choice(("arrive", "arrive", "newest", "arrival", "stream", "one", "filtered"))
        if kind == "arrive":
            for tenant_too in {tenant, chance.choice((ACME, OTHER))}:  # often the same words to both
                twins.arrive(name, tenant_too, topic=topic, source=f"s{step % 5}")
        elif kind in ("newest", "arrival"):
            twins.ask(f"/api/notifications?order={kind}&limit=2", kind)
        elif kind == "stream":
            twins.ask("/api/stream?platform=mindsphere", kind)
        elif kind == "one":
            asked = f"n{chance.randrange(step + 1)}"
            twins.ask(address(asked, OTHER))
            twins.ask(address(asked, ACME))
        else:
            twins.ask(f"/api/notifications?topic={topic}&source=s{step % 5}&state=pending")
    twins.ask("/api/notifications")


def test_unknown_and_foreign_are_answered_alike_to_the_letter(twins: Twins) -> None:
    twins.arrive("theirs", OTHER)
    twins.arrive("ours", ACME)
    paths = [
        address("theirs", OTHER),  # foreign, and there
        address("nobody's", OTHER),  # foreign, and not there
        address("theirs", ACME),  # ours, and not there: another's key
        f"/api/notifications/mindsphere/custzz/{UNKNOWN}",
        f"/api/notifications/nowhere/custaa/{UNKNOWN}",
        "/api/notifications/mindsphere/custaa/xyz",
        f"/api/notifications/mindsphere/custaa/{UNKNOWN.upper()}",
        f"/api/notifications/mindsphere/custaa/{UNKNOWN}{'00' * 200}",
    ]
    answers = [twins.both.get(path, twins.tokens[twins.both]) for path in paths]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.data for answer in answers}) == 1
    assert len({tuple(answer.headers.items()) for answer in answers}) == 1


def test_a_tenant_s_places_lead_nowhere_for_another(twins: Twins) -> None:
    for number in range(4):
        twins.arrive(f"n{number}", OTHER)
    theirs = twins.both.listed("?limit=1", twins.both.token(OTHER.name))
    for place in (theirs["next"], theirs["resume"]):
        for question in ("/api/notifications?order=newest&", "/api/notifications?order=arrival&", "/api/stream?"):
            answer = twins.both.get(f"{question}cursor={place}")
            assert (answer.status_code, answer.json["error"]["reason"]) == (400, "cursor")
