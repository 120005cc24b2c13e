"""What may become of each notification: a dictionary of states, told of every lease, run and end, without a store.

It decides by itself what an attempt must come to and never asks the dispatcher; what it is told that may not be is a
broken promise. Worlds in which it is used run one call after another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from subscriber.dispatcher.holds import PROBE_INTERVAL
from subscriber.model import Attempt, Notification, State
from subscriber.routes import HANDLER
from subscriber.store import Clock

FREE, LINE_A, LINE_B, NEWEST, EFFECTS, SHARED, NOWHERE = (
    "free",
    "line.a",
    "line.b",
    "newest",
    "effects",
    "shared",
    "no",
)
TOPICS = (FREE, LINE_A, LINE_B, NEWEST, EFFECTS, SHARED, NOWHERE)
LINES = (LINE_A, LINE_B)
LINE = "line.*"  # their one route, and one order over both
APART = "DELETE"  # this action of SHARED has a route of its own
MOST = 2  # attempts: a first and a last one
LATER = timedelta(minutes=10)
SETTLED = (State.DONE, State.DEAD)


class Fate(StrEnum):
    """What a handler or a sink does with its turn."""

    DONE = "done"
    ERROR = "error"
    LATER = "later"  # asks for another attempt after LATER
    DEAD = "dead"
    AWAY = "away"  # its receiver
    KILLED = "killed"  # with its process, at once
    KILLED_AFTER = "killed after"  # it is done, and its process ends before that is settled
    STALLED = "stalled"  # done, but only when its lease has run out and another worker had a turn


@dataclass(eq=False)
class Fact:
    """One notification, and what it is now."""

    notification: Notification
    state: State = State.PENDING
    tries: int = 0  # that counted, since it came or was replayed
    done: frozenset[str] = frozenset()  # the parts that have succeeded
    attempt: Attempt | None = None  # the newest lease
    not_before: datetime | None = None  # what its handler asked for

    @property
    def route(self) -> str:
        topic = self.notification.topic
        if topic in LINES:
            return LINE
        return f"{topic}/{APART}" if topic == SHARED and self.notification.action == APART else topic

    @property
    def order(self) -> tuple[str, str] | None:
        """Those with an equal one go one after another."""
        known = self.notification
        return (known.tenant.name, known.source) if known.topic in LINES else None


@dataclass(eq=False)
class Known:
    """What the model knows of one process."""

    attempts: dict[bytes, Attempt] = field(default_factory=dict)  # what it leased last, by key
    verdicts: dict[bytes, dict[str, Fate]] = field(default_factory=dict)  # of the attempt that runs
    held: dict[str, datetime] = field(default_factory=dict)  # routes, and when each may be probed


class Model:
    def __init__(self, clock: Clock) -> None:
        self.facts: dict[bytes, Fact] = {}  # in order of arrival
        self.paused: set[tuple[str, str]] = set()
        self.effects = Counter[str]()  # what transactional handlers have written, by key
        self.broken: list[str] = []
        self._clock = clock

    # what is told

    def came(self, notifications: Iterable[Notification]) -> None:
        for notification in notifications:
            self.facts.setdefault(notification.key, Fact(notification))

    def replayed(self, fact: Fact) -> None:
        fact.done = frozenset() if fact.state is State.DONE else fact.done
        fact.state, fact.tries, fact.not_before = State.PENDING, 0, None

    def leased(self, known: Known, attempts: Sequence[Attempt]) -> None:
        for fact in self.facts.values():
            if fact.state is State.RUNNING and fact.attempt and fact.attempt.lease_until <= self._clock():
                fact.state = State.PENDING
        for attempt in attempts:
            fact = self.facts[attempt.notification.key]
            self._promise(fact.state is State.PENDING, fact, f"leased while {fact.state}")
            self._promise(not self.is_paused(fact), fact, "leased in a pause")
            self._promise(not self.ahead_of(fact), fact, "leased before its turn")
            self._promise((fact.not_before or self._clock()) <= self._clock(), fact, "leased before its time")
            fact.state, fact.tries, fact.attempt = State.RUNNING, fact.tries + 1, attempt
            self._promise(attempt.number == fact.tries, fact, f"attempt {attempt.number} for {fact.tries}")
            known.attempts[attempt.notification.key], known.verdicts[attempt.notification.key] = attempt, {}

    def runs(self, known: Known, key: bytes, part: str) -> None:
        """A handler or a sink is called."""
        fact, attempt = self.facts[key], known.attempts[key]
        held = known.held.get(fact.route, self._clock()) > self._clock()
        self._promise(not held, fact, "run although its receiver is away")
        self._promise(part not in attempt.sinks_done, fact, f"its {part} had succeeded and ran again")
        self._promise(attempt.number <= MOST, fact, f"attempt {attempt.number} of {MOST} ran")
        self._promise(not self.is_paused(fact), fact, "run in a pause")
        self._promise(not self.superseded(fact), fact, "run although a newer one is in")
        if fact.notification.topic == EFFECTS and part == HANDLER:
            self._promise(self._holds(fact, attempt), fact, "run in a transaction without its lease")

    def ended(self, known: Known, attempt: Attempt, *, taken: bool) -> None:
        """The end of an attempt was handed to the store."""
        fact = self.facts[attempt.notification.key]
        verdicts = known.verdicts.pop(attempt.notification.key, {})
        holds = self._holds(fact, attempt)
        self._promise(taken is holds, fact, "settled without its lease" if taken else "not settled by its lease")
        if holds and verdicts:
            self._run_to(fact, verdicts)
        elif holds:
            self._not_run(fact, known)
        if Fate.AWAY in verdicts.values():
            known.held[fact.route] = self._clock() + PROBE_INTERVAL
        elif verdicts:
            known.held.pop(fact.route, None)

    # what must be so

    def is_paused(self, fact: Fact) -> bool:
        known = fact.notification
        kinds = {("tenant", str(known.tenant)), ("topic", known.topic), ("platform", known.platform)}
        return bool(kinds & self.paused)

    def superseded(self, fact: Fact) -> bool:
        one = fact.notification
        return one.topic == NEWEST and any(
            (other.tenant, other.topic, other.source) == (one.tenant, one.topic, one.source)
            and other.occurred_at is not None
            and one.occurred_at is not None
            and other.occurred_at > one.occurred_at
            for other in (each.notification for each in self.facts.values())
        )

    def ahead_of(self, fact: Fact) -> list[Fact]:
        """What an ordered one has to wait for: all before it that is not settled, and whatever of its source runs."""
        same = [each for each in self.facts.values() if each.order is not None and each.order == fact.order]
        before = same[: same.index(fact)] if same else []
        return [
            each
            for each in same
            if each.state is State.RUNNING and each is not fact or each in before and each.state not in SETTLED
        ]

    def stuck(self) -> list[Fact]:
        """Not settled, and no pause is to blame."""
        open_ones = [fact for fact in self.facts.values() if fact.state not in SETTLED]
        return [fact for fact in open_ones if not any(map(self.is_paused, [fact, *self.ahead_of(fact)]))]

    def _run_to(self, fact: Fact, verdicts: dict[str, Fate]) -> None:
        said = set(verdicts.values())
        fact.done |= {part for part, fate in verdicts.items() if fate is Fate.DONE}
        if fact.notification.topic == EFFECTS and verdicts.get(HANDLER) is Fate.DONE:
            self.effects[fact.notification.key.hex()] += 1
        if Fate.AWAY in said:
            fact.state, fact.tries = State.PENDING, fact.tries - 1
        elif said & {Fate.ERROR, Fate.LATER}:
            fact.state = State.DEAD if fact.tries >= MOST else State.PENDING
            fact.not_before = self._clock() + LATER if Fate.LATER in said else None
        else:
            fact.state = State.DEAD if Fate.DEAD in said else State.DONE

    def _not_run(self, fact: Fact, known: Known) -> None:
        if fact.notification.topic == NOWHERE or fact.tries > MOST:
            fact.state = State.DEAD
        elif self.superseded(fact):
            fact.state = State.DONE
        else:
            held = known.held.get(fact.route, self._clock()) > self._clock()
            self._promise(held, fact, "ended without having run")
            fact.state, fact.tries = State.PENDING, fact.tries - 1

    def _holds(self, fact: Fact, attempt: Attempt) -> bool:
        return fact.attempt is attempt and fact.state is State.RUNNING

    def _promise(self, kept: bool, fact: Fact, text: str) -> None:
        if not kept:
            self.broken.append(f"{fact.notification.topic} of {fact.notification.source}: {text}")
