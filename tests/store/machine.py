"""The store against a model: a dictionary of states, and a count of effects. Each back end's tests subclass it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from subscriber.model import Attempt, Dead, Done, Hold, Identity, Outcome, Retry, State, Tenant
from subscriber.store import RowFilter, Store
from tests.store.making import ACME, OTHER, Clock, key, notification

NAMES = st.sampled_from("abcd")
TENANTS = st.sampled_from([ACME, OTHER])
SETTLED = (State.DONE, State.DEAD)
MANY = 100

Which = tuple[Tenant, bytes]


class Failed(Exception):
    """What a handler raises."""


def which(attempt: Attempt) -> Which:
    return attempt.notification.tenant, attempt.notification.key


class StoreMachine(RuleBasedStateMachine):
    """The store does what a dictionary of states would do."""

    EFFECT = ""  # SQL that writes an effect of one key, in the marks of the back end

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = self.make()
        self.states: dict[Which, State] = {}  # in order of arrival
        self.attempts: list[Attempt] = []
        self.lost: list[Attempt] = []
        self.done = 0
        self.effects = Counter[str]()

    def make(self) -> Store:
        """An empty store on ``self.clock``, with a table ``effects`` of one text column, ``key``."""
        raise NotImplementedError

    def written(self) -> Sequence[str]:
        """The keys in ``effects``."""
        raise NotImplementedError

    def teardown(self) -> None:
        self.store.close()

    @rule(names=st.lists(NAMES, min_size=1, max_size=4), tenant=TENANTS)
    def add(self, names: list[str], tenant: Tenant) -> None:
        given = [notification(name, tenant=tenant, identity=Identity.TIMED) for name in names]
        for receipt in self.store.inbox.add(given):
            known = (receipt.tenant, receipt.key) in self.states
            assert receipt.outcome is (Outcome.DUPLICATE if known else Outcome.NEW)
            self.states.setdefault((receipt.tenant, receipt.key), State.PENDING)

    @rule(limit=st.integers(1, 3))
    def lease(self, limit: int) -> None:
        pending = [each for each, state in self.states.items() if state is State.PENDING]
        attempts = self.store.inbox.lease(self.store.inbox.lanes(), limit, 60)
        assert len(attempts) == min(limit, len(pending))
        self._taken(attempts)

    @rule(limit=st.integers(1, 3))
    def lease_in_order(self, limit: int) -> None:
        """All are of one source a tenant: only the first that is not settled is free, and only while none runs."""
        first = {
            tenant: (tenant, name) for (tenant, name), state in reversed(self.states.items()) if state not in SETTLED
        }
        running = {tenant for (tenant, _), state in self.states.items() if state is State.RUNNING}
        free = {each for tenant, each in first.items() if tenant not in running}
        lanes = self.store.inbox.lanes()
        attempts = self.store.inbox.lease(lanes, limit, 60, dict.fromkeys(lanes, ("*",)))
        assert len(attempts) == min(limit, len(free))
        assert {which(attempt) for attempt in attempts} <= free
        self._taken(attempts)

    def _taken(self, attempts: list[Attempt]) -> None:
        for attempt in attempts:
            assert self.states[which(attempt)] is State.PENDING
            self.states[which(attempt)] = State.RUNNING
        self.attempts += attempts

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), decision=st.sampled_from(["done", "dead", "retry", "hold"]))
    def settle(self, data: st.DataObject, decision: str) -> None:
        attempt = self.attempts.pop(data.draw(st.integers(0, len(self.attempts) - 1)))
        what, state = {
            "done": (Done(), State.DONE),
            "dead": (Dead("x"), State.DEAD),
            "retry": (Retry(self.clock()), State.PENDING),
            "hold": (Hold(self.clock(), "x"), State.PENDING),
        }[decision]
        assert self.store.inbox.settle(attempt, what) is True  # type: ignore[arg-type]
        self._settled(attempt, state)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), fails=st.booleans())
    def settle_with_an_effect(self, data: st.DataObject, fails: bool) -> None:
        """Both or neither: the row of a handler that fails stays with its holder."""
        attempt = self.attempts.pop(data.draw(st.integers(0, len(self.attempts) - 1)))
        shown = str(which(attempt))
        try:
            with self.store.inbox.settling(attempt) as settling:
                settling.cursor.execute(self.EFFECT, (shown,))
                if fails:
                    raise Failed
                settling.settle(Done())
        except Failed:
            self.attempts.append(attempt)
        else:
            self.effects[shown] += 1
            self._settled(attempt, State.DONE)

    def _settled(self, attempt: Attempt, state: State) -> None:
        self.states[which(attempt)] = state
        self.done += state is State.DONE
        self.lost.append(attempt)

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def settle_what_was_lost(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(self.lost))
        assert self.store.inbox.settle(attempt, Done()) is False

    @rule()
    def let_leases_run_out(self) -> None:
        """Whoever comes next takes them all over."""
        self.clock.advance(minutes=2)
        for attempt in self.attempts:
            self.states[which(attempt)] = State.PENDING
        if self.attempts:
            old, self.attempts = self.attempts, []
            self.lease(MANY)
            self.lost += old

    @rule(name=NAMES, tenant=TENANTS)
    def replay(self, name: str, tenant: Tenant) -> None:
        moved = self.store.inbox.replay(tenant, [key(name)])
        assert moved == (self.states.get((tenant, key(name))) in SETTLED)
        if moved:
            self.states[tenant, key(name)] = State.PENDING

    @invariant()
    def rows_and_counts_agree(self) -> None:
        rows = self.store.reports.rows(RowFilter(), MANY).rows
        assert {(row.notification.tenant, row.notification.key): row.state for row in rows} == self.states
        counts, kept = self.store.reports.counts(), list(self.states.values())
        assert (counts.pending, counts.running) == (kept.count(State.PENDING), kept.count(State.RUNNING))
        assert (counts.dead, counts.done) == (kept.count(State.DEAD), self.done)

    @invariant()
    def effects_are_those_of_settled_attempts(self) -> None:
        assert Counter(self.written()) == self.effects
