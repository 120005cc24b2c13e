"""A tenant among others is told, byte for byte, what it is told alone: random interleavings of calls, both stores."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from typing import NamedTuple

import migrations
from proof.neighbours import Act, Life, drawn
from proof.report import Chapter
from subscriber.model import MINDSPHERE, Tenant
from subscriber.store import Store, open_store
from tests.servers.postgres import running
from tests.store.making import MEMORY, START, Clock

INTERLEAVINGS = {"SQLite": 90_000, "PostgreSQL": 10_000}
CALLS = 6  # of each tenant, before it reads everything
PAIRS = 100  # on one database; then a new one, so that no list outgrows what one page looks at
PAUSES = (0.0, 0.5, 20.0, 65.0, 1000.0)  # seconds between calls: leases of 60 s run out, events may repeat
JOINED = 0.5  # of neighbouring deliveries that arrive in one batch
LEAST = 4
QUICKER = 1.5  # power of the scale: a quick run would take a minute
HURRIED = {"fsync": "off", "autovacuum": "off"}  # a vacuum's transaction would hold back readers for a moment

WHAT = """\
Two tenants, whose notifications have the same keys, sources and topics, live on one database: they deliver, in one
batch now and then, lease, settle in four ways, let leases run out, replay, are erased, and read lists, single
notifications, figures and dead letters by the functions of the API, over reports that see only them. The order of
their calls is drawn. Each then lives the same life at the same times on a database where the other never was.
Everything it was told, receipts and attempts included, must be the same bytes."""

Opened = Callable[[], Store]


class World(NamedTuple):
    store: Store
    clock: Clock


class Step(NamedTuple):
    who: int
    act: Act
    joined: bool  # arrives in the batch of the step before


def run(scale: float) -> Chapter:
    counts = {name: max(LEAST, round(count * scale**QUICKER)) for name, count in INTERLEAVINGS.items()}
    broken: list[str] = []
    told = 0
    for name, count in counts.items():
        with STORES[name]() as fresh:
            for first in range(0, count // 2, PAIRS):
                words, found = on_new_databases(fresh, range(first, min(count // 2, first + PAIRS)))
                told += words
                broken += [f"{name}: {text}" for text in found]
    return Chapter(
        title="Tenants beside each other",
        what=WHAT,
        tried=sum(counts.values()),
        unit="interleavings",
        figures={f"interleavings, {name}": count for name, count in counts.items()} | {"answers compared": told},
        broken=broken,
        unproven="How long an answer takes: a busy neighbour costs time. Row numbers count all tenants' rows and "
        "are sealed in the API. Calls follow one another here.",
    )


def on_new_databases(fresh: Callable[[], str], numbers: range) -> tuple[int, list[str]]:
    """One database for both tenants of each pair, one for all first ones alone, one for all second ones."""
    with ExitStack() as stack:
        worlds = [_world(stack, fresh()) for _ in range(3)]
        outcomes = [compare(worlds[0], worlds[1:], number) for number in numbers]
    return sum(told for told, _ in outcomes), [text for _, found in outcomes for text in found]


def _world(stack: ExitStack, url: str) -> World:
    clock = Clock()
    return World(stack.enter_context(closing(open_store(url, clock=clock))), clock)


def compare(together: World, alone: Sequence[World], number: int) -> tuple[int, list[str]]:
    """How many answers were compared, and what was told otherwise."""
    names = [Tenant(MINDSPHERE, f"{side}{number}") for side in ("a", "b")]
    steps = interleaved(random.Random(number), together.clock)
    both = [Life(*together, name) for name in names]
    _live(both, steps)
    single = [Life(*world, name) for world, name in zip(alone, names, strict=True)]
    for who, life in enumerate(single):
        for step in steps:
            if step.who == who:
                life.take(step.act)
        life.leave_off(steps[-1].act.at)
    differing = [
        f"interleaving {number}, {name.name}: {_difference(among.told, by_itself.told)}"
        for name, among, by_itself in zip(names, both, single, strict=True)
        if among.told != by_itself.told
    ]
    return sum(len(life.told) for life in single), differing


def interleaved(chance: random.Random, clock: Clock) -> list[Step]:
    """The order of both tenants' calls, from the clock's time on."""
    order = [0, 1] * CALLS
    chance.shuffle(order)
    steps: list[Step] = []
    now = max(clock.now, START)
    for who in order:
        now += timedelta(seconds=chance.choice(PAUSES))
        act = drawn(chance, now)
        last = steps[-1] if steps else None
        apart = last is None or last.joined or last.who == who or {last.act.kind, act.kind} != {"deliver"}
        joined = not apart and chance.random() < JOINED
        if joined and last is not None:
            act = act._replace(at=last.act.at)
        steps.append(Step(who, act, joined))
    return steps


def _live(lives: Sequence[Life], steps: Sequence[Step]) -> None:
    following = [*steps[1:], None]
    for step, after in zip(steps, following, strict=True):
        if step.joined:
            continue
        if after is not None and after.joined:
            _deliver_together(lives, step, after)
        else:
            lives[step.who].take(step.act)
    for life in lives:
        life.leave_off(steps[-1].act.at)


def _deliver_together(lives: Sequence[Life], one: Step, other: Step) -> None:
    first, second = lives[one.who], lives[other.who]
    ours, theirs = first.batch(one.act), second.batch(other.act)
    receipts = first.store.inbox.add([*ours.notifications, *theirs.notifications], [*ours.letters, *theirs.letters])
    first.receive(receipts[: len(ours.notifications)])
    second.receive(receipts[len(ours.notifications) :])


def _difference(among: Sequence[bytes], alone: Sequence[bytes]) -> str:
    for number, (one, other) in enumerate(zip(among, alone, strict=False)):
        if one != other:
            return f"answer {number} is {one[:300]!r} beside another, {other[:300]!r} alone"
    return f"{len(among)} answers beside another, {len(alone)} alone"


@contextmanager
def _sqlite() -> Iterator[Callable[[], str]]:
    """Makes addresses of new databases."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        numbers = iter(range(10**9))

        def fresh() -> str:
            url = f"sqlite:///{folder}/{next(numbers)}.db"
            migrations.apply(url)
            return url

        yield fresh


@contextmanager
def _postgres() -> Iterator[Callable[[], str]]:
    with running(HURRIED) as server:
        yield server.fresh


STORES = {"SQLite": _sqlite, "PostgreSQL": _postgres}
