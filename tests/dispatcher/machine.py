"""The dispatcher against a model (model.py): real dispatchers over a real SQLite store, and a clock to turn.

Two workers take turns, in which handlers and sinks do what hypothesis says (puppets.py).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import timedelta
from functools import cache, partial
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import migrations
from subscriber.model import MINDSPHERE, Notification, Outcome, Tenant
from subscriber.routes import HANDLER
from subscriber.store import open_store
from subscriber.store.sqlite.driver import open_reader, open_writer
from tests.dispatcher.model import APART, SETTLED, TOPICS, Fact, Fate
from tests.dispatcher.puppets import SINK, WORKERS, Plan, Stage
from tests.dispatcher.stories import NOW, TurnableClock, flow, notification, rows_of
from tests.store.making import MEMORY

TENANTS = ("custaa", "custbb")
PAUSES = (
    *(("topic", topic) for topic in TOPICS),
    *(("tenant", str(Tenant(MINDSPHERE, name))) for name in TENANTS),
    ("platform", MINDSPHERE),
)

Make = partial[Notification]  # a new one at each call: sequences are run again to find the shortest


def _arrival(tenant: str, topic: str, source: str, action: str, minute: int) -> Make:
    at = NOW + timedelta(minutes=minute)
    return partial(notification, tenant, topic, source=source, action=action, occurred_at=at)


def _several(fates: Iterable[Fate]) -> st.SearchStrategy[list[Fate]]:
    """In most plans nobody dies: what a process remembers is to be tried as well as what it forgets."""
    every = list(fates)
    calm = [fate for fate in every if fate not in (Fate.KILLED, Fate.KILLED_AFTER)]
    return st.one_of(*(st.lists(st.sampled_from(some), min_size=2, max_size=12) for some in (calm, calm, every)))


ARRIVALS = st.builds(
    _arrival,
    st.sampled_from(TENANTS),
    st.sampled_from(TOPICS),
    st.sampled_from(["pump", "fan"]),
    st.sampled_from(["UPDATE", APART]),
    st.integers(0, 3),
)
PLANS = st.builds(
    lambda handler, sink, luck: Plan({HANDLER: list(handler), SINK: list(sink)}, luck),
    _several(Fate),
    _several(fate for fate in Fate if fate is not Fate.LATER),
    st.sampled_from([Fate.DONE, Fate.ERROR, Fate.LATER, Fate.AWAY]),
)
WHICH = st.integers(0, WORKERS - 1)


class DispatcherMachine(RuleBasedStateMachine):
    """Whatever happens, each notification becomes what the model says, and in the end all are done or dead."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        path = shutil.copy(_empty_database(), self.folder.name)
        self.clock = TurnableClock()
        self.store = open_store(f"sqlite:///{path}", clock=self.clock)
        self.reading = open_reader(path)
        self.stage = Stage(self.store, self.clock)
        self.model = self.stage.model

    def teardown(self) -> None:
        self.reading.close()
        self.store.close()
        self.folder.cleanup()

    @initialize(arrivals=st.lists(ARRIVALS, min_size=10, max_size=30))
    def begin(self, arrivals: Sequence[Make]) -> None:
        self._add([make() for make in arrivals])

    @rule(arrivals=st.lists(ARRIVALS, max_size=10), data=st.data())
    def accept(self, arrivals: Sequence[Make], data: st.DataObject) -> None:
        """Some that are new, and one that comes again."""
        self._add([*(make() for make in arrivals), self._draw(data).notification])

    def _add(self, given: Sequence[Notification]) -> None:
        for receipt in self.store.inbox.add(given):
            assert receipt.outcome is (Outcome.DUPLICATE if receipt.key in self.model.facts else Outcome.NEW)
        self.model.came(given)

    @rule(minutes=st.sampled_from([0, 1, 5, 60]), which=WHICH, plan=PLANS)
    def take_a_turn(self, minutes: int, which: int, plan: Plan) -> None:
        self.clock.forward(minutes=minutes)
        self.stage.turn(which, plan)

    @rule(pause=st.sampled_from(PAUSES))
    def pause_or_resume(self, pause: tuple[str, str]) -> None:
        registry, paused = self.store.registry, pause in self.model.paused
        assert registry.resume(*pause) if paused else registry.pause(*pause)
        self.model.paused ^= {pause}

    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        fact = self._draw(data)
        moved = self.store.inbox.replay(fact.notification.tenant, [fact.notification.key])
        assert moved == (fact.state in SETTLED)
        if moved:
            self.model.replayed(fact)

    @rule(which=WHICH)
    def come_to_rest(self, which: int) -> None:
        """Nothing is forgotten: given time and luck, all that no pause holds back ends."""
        self.stage.plan = Plan()
        for _ in range(3):  # leases and waits run out; a probe lets its route go on; what had stepped aside for it
            self.clock.forward(hours=1)
            flow(self.stage.dispatcher(which))
        stuck = self.model.stuck()
        assert not stuck, [(fact.route, fact.state, fact.tries) for fact in stuck]

    @invariant()
    def no_promise_is_broken(self) -> None:
        assert not self.model.broken, self.model.broken

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        found = {row.notification.key: (row.state, row.attempts, row.sinks_done) for row in rows_of(self.store)}
        wanted = {key: (fact.state, fact.tries, fact.done) for key, fact in self.model.facts.items()}
        routes = {key: fact.route for key, fact in self.model.facts.items()}
        other = {key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)}
        assert not other, [(routes.get(key), found.get(key), wanted.get(key)) for key in other]

    @invariant()
    def effects_happened_exactly_once(self) -> None:
        found = dict(self.reading.execute("SELECT key, count(*) FROM effects GROUP BY key").fetchall())
        assert found == self.model.effects, (len(found), len(self.model.effects))

    def _draw(self, data: st.DataObject) -> Fact:
        return data.draw(st.sampled_from(list(self.model.facts.values())))


@cache
def _empty_database() -> Path:
    """Migrated, with a table for effects; a copy of it is a new one."""
    folder = tempfile.TemporaryDirectory(dir=MEMORY)
    _kept.append(folder)
    path = Path(folder.name) / "inbox.db"
    migrations.apply(f"sqlite:///{path}")
    with closing(open_writer(str(path), lock_wait_seconds=1.0)) as connection:
        connection.execute("CREATE TABLE effects (key TEXT NOT NULL)")
    return path


_kept: list[tempfile.TemporaryDirectory[str]] = []  # until the process ends
