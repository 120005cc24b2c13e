"""Is this database what was promised? Opened by the real store, as after a restart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from proof.power.workload import made
from subscriber.errors import SubscriberError
from subscriber.model import Outcome, State
from subscriber.store import RowFilter, Store, open_store
from subscriber.store.sqlite import driver
from tests.store.making import key

PAGE_ROWS = 1000


@dataclass(slots=True)
class Promised:
    """What the programs had said and been told up to a moment. Names are those of the workload, keys hex."""

    tried: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)  # keys
    effected: set[str] = field(default_factory=set)  # keys

    def note(self, text: str) -> None:
        """Take a mark of the trace into account."""
        word, *names = text.split()
        where = {"try": self.tried, "ack": self.acknowledged, "done": self.settled, "effect": self.effected}
        where[word].update(names)


def judge(path: Path, promised: Promised) -> list[str]:
    """Each promise that does not hold, of a database in one file."""
    return judge_at(f"sqlite:///{path}", partial(_effects, path), promised)


def judge_at(url: str, effects: Callable[[], Mapping[str, int]], promised: Promised) -> list[str]:
    """The same of any database; ``effects`` reads how often there is each effect, by key. Nobody else may write."""
    try:
        with closing(open_store(url)) as store:
            return _compare(store, effects(), promised) + _goes_on(store, promised)
    except SubscriberError as error:
        return [f"the store does not open or answer: {error}"]


def _compare(store: Store, effects: Mapping[str, int], promised: Promised) -> list[str]:
    bad = [f"check says {finding.name}: {finding.detail}" for finding in store.inbox.check() if not finding.ok]
    states = _states(store)
    done = {each for each, state in states.items() if state is State.DONE}
    tried, kept = {key(name).hex() for name in promised.tried}, {key(name).hex() for name in promised.acknowledged}
    counts = store.reports.counts()
    questions = {
        "acknowledged and lost": kept - states.keys(),
        "there, and never handed in": states.keys() - tried,
        "settled and open again": (promised.settled | promised.effected) - done,
        "its effect was promised and is not there": promised.effected - effects.keys(),
        "its effect is there, the row is not done": effects.keys() - done,
        "its effect is there more than once": {each for each, times in effects.items() if times > 1},
    }
    bad += [f"{question}: {len(found)}" for question, found in questions.items() if found]
    if counts.done != len(done) or counts.pending + counts.running != len(states) - len(done):
        bad.append(f"the counters say {counts.done} done of {len(states)}, the rows {len(done)}")
    return bad


def _goes_on(store: Store, promised: Promised) -> list[str]:
    """The sender comes again with everything unacknowledged, and with something that was acknowledged."""
    seed, number = next(iter(promised.acknowledged), "0-0").split("-")
    known = made(int(seed), int(number))
    wanted = Outcome.DUPLICATE if promised.acknowledged else Outcome.NEW
    (receipt,) = store.inbox.add([known])
    if receipt.outcome is not wanted and promised.acknowledged:
        return [f"an acknowledged notification came again and was {receipt.outcome}"]
    open_ones = [name.split("-") for name in sorted(promised.tried - promised.acknowledged)]
    store.inbox.add([made(int(seed), int(number)) for seed, number in open_ones])
    missing = {key(name).hex() for name in promised.tried} - _states(store).keys()
    return [f"came again and still not there: {len(missing)}"] if missing else []


def _states(store: Store) -> dict[str, State]:
    """State by key, hex, of every row."""
    found: dict[str, State] = {}
    cursor = ""
    while True:
        tail = store.reports.after(RowFilter(), cursor, PAGE_ROWS)
        found |= {row.notification.key.hex(): row.state for row in tail.rows}
        if not tail.rows and not tail.more:
            return found
        cursor = tail.cursor


def _effects(path: Path) -> Mapping[str, int]:
    with closing(driver.open_reader(str(path))) as connection:
        return dict(connection.execute("SELECT name, count(*) FROM effects GROUP BY name").fetchall())
