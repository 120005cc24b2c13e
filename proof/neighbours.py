"""One tenant's life on a store, and every word it is told: the same acts tell the same, whoever else is there.

What is told is what the tenant's applications and handlers get to see. Row numbers, and with them the text of sealed
places, count all tenants' rows: they are used to go on, and not compared.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson

from subscriber.model import (
    Attempt,
    Dead,
    DeadLetter,
    Decision,
    Done,
    Hold,
    Identity,
    Lane,
    Notification,
    Receipt,
    Retry,
    State,
    Tenant,
)
from subscriber.store import DeadFilter, Reports, RowFilter, Store
from subscriber.web.api import listing
from subscriber.web.api.items import detailed
from subscriber.web.api.places import Seal
from tests.store.making import Clock, letter, notification

NAMES, SOURCES, TOPICS = "abc", ("s1", "s2"), ("t1", "t2")  # few, so that everybody's collide
KINDS = {"deliver": 6, "lease": 4, "settle": 5, "read": 6, "replay": 1, "leave": 0.1}
LEASE_SECONDS = 60.0
PAGES = 50  # of one list; a life has far fewer rows
AGO = timedelta(hours=1)  # charts look back that far
SEAL = Seal("the installation's secret")


class Act(NamedTuple):
    """One call. ``seed`` decides everything about it that the tenant's own past leaves open."""

    kind: str
    seed: int
    at: datetime


class Batch(NamedTuple):
    notifications: Sequence[Notification]
    letters: Sequence[DeadLetter]


def drawn(chance: random.Random, at: datetime) -> Act:
    (kind,) = chance.choices(list(KINDS), list(KINDS.values()))
    return Act(kind, chance.getrandbits(32), at)


@dataclass(slots=True)
class Life:
    """``told`` is everything so far, one entry a call."""

    store: Store
    clock: Clock
    tenant: Tenant
    told: list[bytes] = field(default_factory=list)
    _keys: list[bytes] = field(default_factory=list)
    _held: list[Attempt] = field(default_factory=list)
    _place: str = ""  # in the list by arrival

    def take(self, act: Act) -> None:
        self._come_to(act.at)
        chance = random.Random(act.seed)
        if act.kind == "deliver":
            self.receive(self.store.inbox.add(*self.batch(act)))
            return
        acts: dict[str, Callable[[random.Random], object]] = {
            "lease": self._lease,
            "settle": self._settle,
            "read": self._read,
            "replay": self._replay,
            "leave": lambda _: self.store.inbox.erase(self.tenant),
        }
        self._hear(act.kind, acts[act.kind](chance))

    def batch(self, act: Act) -> Batch:
        """What is delivered; whoever hands it in gives the receipts to :meth:`receive`."""
        self._come_to(act.at)
        chance = random.Random(act.seed)
        made = [self._made(chance) for _ in range(chance.randint(1, 3))]
        letters = [letter(chance.choice(NAMES), tenant=self.tenant, at=act.at)] if chance.random() < 0.2 else []
        return Batch(made, letters)

    def receive(self, receipts: Sequence[Receipt]) -> None:
        self._keys += [receipt.key for receipt in receipts if receipt.key not in self._keys]
        self._hear("deliver", [(receipt.key.hex(), receipt.outcome) for receipt in receipts])

    def leave_off(self, at: datetime) -> None:
        """The last act: everything there is to be read."""
        self._come_to(at)
        for read in READS:
            self._hear("read", read(self, random.Random(0)))

    def _come_to(self, now: datetime) -> None:
        """Any lease takes back whatever ran out, of all tenants: what a dispatcher does all the time happens now."""
        self.clock.now = now
        if any(attempt.lease_until <= now for attempt in self._held):
            self.store.inbox.lease([Lane(self.tenant, "")], 1, LEASE_SECONDS)

    def _made(self, chance: random.Random) -> Notification:
        identity = chance.choice(list(Identity))
        return notification(
            f"{chance.choice(NAMES)} {identity}",
            tenant=self.tenant,
            identity=identity,
            content=chance.choice((b"x", b"y")) if identity is Identity.ID else None,
            source=chance.choice(SOURCES),
            topic=chance.choice(TOPICS),
            received_at=self.clock.now,
        )

    def _lease(self, chance: random.Random) -> object:
        lanes = sorted(lane for lane in self.store.inbox.lanes() if lane.tenant == self.tenant)
        ordered = dict.fromkeys(lanes, ("*",)) if chance.random() < 0.5 else None
        attempts = self.store.inbox.lease(lanes, chance.randint(1, 3), LEASE_SECONDS, ordered)
        self._held += attempts
        return [
            (one.notification.key.hex(), one.notification.tenant, one.number, one.lease_until) for one in attempts
        ]

    def _settle(self, chance: random.Random) -> object:
        if not self._held:
            return None
        attempt = self._held.pop(chance.randrange(len(self._held)))
        soon = self.clock.now + timedelta(seconds=chance.choice((0, 40)))
        decisions: Sequence[Decision] = (Done(), Dead("given_up"), Retry(soon), Hold(soon, "held"))
        return self.store.inbox.settle(attempt, chance.choice(decisions), frozenset({"sink"}))

    def _replay(self, chance: random.Random) -> object:
        if chance.random() < 0.5:
            return self.store.inbox.replay_dead(self.tenant, None)
        return self.store.inbox.replay(self.tenant, self._keys[: chance.randint(0, 3)])

    # what is read

    def _read(self, chance: random.Random) -> object:
        return chance.choice(READS)(self, chance)

    def _reports(self) -> Reports:
        return self.store.reports.within([self.tenant])

    def _question(self, chance: random.Random, place: str) -> listing.Question:
        state, topic = chance.choice((None, *State)), chance.choice((None, None, *TOPICS))
        wanted = RowFilter(state=state, topic=topic, source=chance.choice((None, None, *SOURCES)))
        return listing.Question(self._reports(), self.tenant.name, wanted, place, chance.randint(1, 5))

    def newest(self, chance: random.Random) -> object:
        """A list to its end."""
        question, pages = self._question(chance, ""), []
        for _ in range(PAGES):
            page = listing.newest(question, SEAL)
            pages.append([page["items"], page["searched_to"], page["next"] is None])
            if page["next"] is None:
                break
            question = question._replace(place=page["next"])
        return pages

    def arrived(self, chance: random.Random) -> object:
        """What came since it was last asked."""
        question = self._question(random.Random(0), self._place)._replace(wanted=RowFilter(), limit=PAGES)
        page = listing.arrived(question, SEAL)
        self._place = page["resume"]
        return [page["items"], page["next"] is None]

    def one(self, chance: random.Random) -> object:
        """By a key of one's own, or of a name that others use too."""
        made = self._made(chance)
        found = [self._reports().row(self.tenant, key) for key in (*self._keys[:2], made.key)]
        return [row and (detailed(row), row.detail, sorted(row.sinks_done)) for row in found]

    def figures(self, chance: random.Random) -> object:
        reports, since = self._reports(), self.clock.now - AGO
        return [
            reports.counts(), reports.counts(self.tenant), reports.oldest_pending(), reports.minutes(since),
            reports.quarters(since), reports.dead_by_reason(DeadFilter()), reports.letters_by_reason(),
        ]  # fmt: skip

    def letters(self, chance: random.Random) -> object:
        rows = self._reports().dead_letters(None, PAGES, reason=chance.choice((None, "malformed")))
        return [(row.count, row.last_at, row.letter.detail, row.letter.digest.hex()) for row in rows]

    def _hear(self, kind: str, answer: object) -> None:
        self.told.append(kind.encode() + b" " + orjson.dumps(answer, default=list))


READS = (Life.newest, Life.arrived, Life.one, Life.figures, Life.letters)
