"""Workers whose handlers and sinks do as they are told, down to the death of their process, and tell the model.

A death is an exception that nothing catches: whoever gets it throws the worker away with all that it had leased.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from subscriber.dispatcher import Dispatcher, RetryPolicy
from subscriber.errors import LeaseLost, OutOfTime, SinkUnavailable
from subscriber.handlers import Dead, Retry, Route
from subscriber.model import Attempt, Decision, Notification
from subscriber.routes import HANDLER, Answer, RunningAttempt
from subscriber.store import Inbox, Settling, Store
from tests.dispatcher.model import APART, EFFECTS, FREE, LATER, LINE, MOST, NEWEST, SHARED, Fate, Known, Model
from tests.dispatcher.stories import TurnableClock

POLICY = RetryPolicy(max_attempts=MOST, base_seconds=10, max_seconds=3600)
THREADS = 4
LEASE_SECONDS = 60.0
WORKERS = 2
SINK = "copy"


class Killed(BaseException):
    """The process of whoever meets it has ended."""


class Watched:
    """The inbox of one worker: whatever it leases and settles, the model is told."""

    def __init__(self, inbox: Inbox, model: Model, known: Known) -> None:
        self._inbox = inbox
        self._model = model
        self._known = known
        self.doomed = False  # the next attempt that is settled meets the end of its process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inbox, name)

    def lease(self, *given: Any) -> list[Attempt]:
        attempts = self._inbox.lease(*given)
        self._model.leased(self._known, attempts)
        return attempts

    def settle(self, attempt: Attempt, decision: Decision, done: frozenset[str] = frozenset()) -> bool:
        self._live_on()
        taken = self._inbox.settle(attempt, decision, done)
        self._model.ended(self._known, attempt, taken=taken)
        return taken

    @contextmanager
    def settling(self, attempt: Attempt) -> Iterator[Settling]:
        verdicts = self._known.verdicts[attempt.notification.key]
        try:
            with self._inbox.settling(attempt) as settling:
                yield settling
                self._live_on()
        except LeaseLost:
            self._model.ended(self._known, attempt, taken=False)
            raise
        except OutOfTime:  # a machine that stood still for seconds
            verdicts[HANDLER] = Fate.ERROR
            raise
        if verdicts.get(HANDLER) is Fate.DONE:
            self._model.ended(self._known, attempt, taken=True)

    def _live_on(self) -> None:
        if self.doomed:
            raise Killed


@dataclass
class Plan:
    """What parts do in their turns: the fates of each in order, then ``luck`` for handlers; sinks are done then."""

    fates: Mapping[str, list[Fate]] = field(default_factory=dict)
    luck: Fate = Fate.DONE

    def next(self, part: str) -> Fate:
        if planned := self.fates.get(part):
            return planned.pop(0)
        return self.luck if part == HANDLER else Fate.DONE


class Stage:
    """Workers on one store, one clock and one model. Turns are taken one after another."""

    def __init__(self, store: Store, clock: TurnableClock) -> None:
        self.store = store
        self.clock = clock
        self.model = Model(clock)
        self.plan = Plan()
        self._workers = [Worker(self) for _ in range(WORKERS)]

    def dispatcher(self, which: int) -> Dispatcher:
        return self._workers[which].dispatcher

    def turn(self, which: int, plan: Plan) -> None:
        """If a worker dies in its turn, a new one takes its place."""
        self.plan = plan
        try:
            self.dispatcher(which).run_once()
        except Killed:
            self._workers[which] = Worker(self)

    def stall(self, stalled: Worker, *, in_transaction: bool) -> None:
        """A lease runs out while its handler runs, and another worker has a turn.

        While a handler is in its transaction, nobody else can write.
        """
        self.clock.forward(seconds=LEASE_SECONDS + 1)
        if not in_transaction:
            plan, self.plan = self.plan, Plan()
            next(worker for worker in self._workers if worker is not stalled).dispatcher.run_once()
            self.plan = plan


class Worker:
    """One process."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._known = Known()
        self._inbox: Any = Watched(stage.store.inbox, stage.model, self._known)
        self.dispatcher = Dispatcher(
            self._inbox,
            stage.store.registry,
            self._routes(),
            sinks=[Sink(self)],
            policy=POLICY,
            threads=THREADS,
            clock=stage.clock,
            jitter=lambda: 0.5,
            lease_seconds=LEASE_SECONDS,
        )

    def _routes(self) -> Sequence[Route]:
        """As ``model`` knows them."""
        return (
            Route(topic=FREE, handler=self._handle),
            Route(topic=LINE, handler=self._handle, ordered=True),
            Route(topic=NEWEST, handler=self._handle, latest_only=True),
            Route(topic=EFFECTS, handler=self._handle_with_effect, transactional=True),
            Route(topic=SHARED, handler=self._handle, action=APART),
            Route(topic=SHARED, handler=self._handle),
        )

    def _handle(self, notification: Notification, attempt: RunningAttempt) -> Answer:
        return self.act(HANDLER, notification)

    def _handle_with_effect(self, notification: Notification, attempt: RunningAttempt) -> Answer:
        attempt.cursor.execute("INSERT INTO effects VALUES (?)", (notification.key.hex(),))
        return self.act(HANDLER, notification)

    def act(self, part: str, notification: Notification) -> Answer:
        """One part's turn."""
        self._stage.model.runs(self._known, notification.key, part)
        fate = self._stage.plan.next(part)
        if fate is Fate.KILLED:
            raise Killed
        if fate is Fate.STALLED:
            self._stage.stall(self, in_transaction=(part, notification.topic) == (HANDLER, EFFECTS))
        self._inbox.doomed |= fate is Fate.KILLED_AFTER
        said = Fate.DONE if fate in (Fate.STALLED, Fate.KILLED_AFTER) else fate
        self._known.verdicts[notification.key][part] = said
        return self._say(said)

    def _say(self, fate: Fate) -> Answer:
        match fate:
            case Fate.ERROR:
                raise ValueError("as it was told")
            case Fate.AWAY:
                raise SinkUnavailable("as it was told")
            case Fate.LATER:
                return Retry(self._stage.clock() + LATER, "later")
            case Fate.DEAD:
                return Dead("spam")
        return None


class Sink:
    name = SINK

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def send(self, notification: Notification) -> Dead | None:
        answer = self._worker.act(SINK, notification)
        assert not isinstance(answer, Retry), "no sink may ask for another attempt"
        return answer if isinstance(answer, Dead) else None
