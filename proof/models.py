"""Stores and the dispatcher against models of a few lines, in thousands of random sequences of calls."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from proof.report import Chapter
from tests.dispatcher.machine import DispatcherMachine
from tests.store.test_postgres import PostgresMachine
from tests.store.test_sqlite import SqliteMachine

SEQUENCES: Mapping[type[RuleBasedStateMachine], int] = {
    SqliteMachine: 2000,
    PostgresMachine: 500,
    DispatcherMachine: 2000,
}
LEAST_SEQUENCES = 10
STEPS = 40

WHAT = """\
Stores: random sequences of calls (accept, lease, lease in order, settle in four ways, settle with an effect that may
fail, settle what was lost, let leases run out, replay), each compared after every call with a dictionary of states
and a count of effects (`tests/store/machine.py`).

Dispatcher: two workers take turns on one SQLite store while notifications of two tenants come, some again, time
passes, tenants and topics are paused and resumed, and what has ended is replayed. Routes keep the order of two
topics, want only the newest, write in their transaction, share a topic, or are missing; a sink stands beside them.
Each handler and sink, in each turn, succeeds, fails, gives up, finds its receiver away, stalls until its lease has
run out (and another worker had a turn, unless it is in its transaction), or dies with its process, before or after it
was done; handlers also ask for later. After every step the rows must be
what a model says that never asks the dispatcher (`tests/dispatcher/model.py`): attempts as many as allowed, nothing
run that is paused, held, superseded, settled or not its turn, no part repeated that had succeeded, effects exactly
once; and given time, all that no pause holds back ends."""
UNPROVEN = """\
Calls here follow one another; what happens at once is tried by tests in parallel and by ledgers. The dispatcher's
machine stands on SQLite only; what differs between the stores is the stores' own part."""


def run(scale: float) -> Chapter:
    tried = {machine: max(LEAST_SEQUENCES, round(count * scale)) for machine, count in SEQUENCES.items()}
    broken = [text for machine, count in tried.items() for text in _try(machine, count)]
    return Chapter(
        title="Stores and dispatcher against models",
        what=WHAT,
        tried=sum(tried.values()),
        unit="sequences",
        figures={f"sequences, {machine.__name__.removesuffix('Machine')}": count for machine, count in tried.items()}
        | {"steps in each": STEPS},
        broken=broken,
        unproven=UNPROVEN,
    )


def _try(machine: type[RuleBasedStateMachine], count: int) -> list[str]:
    how = settings(
        max_examples=count,
        stateful_step_count=STEPS,
        deadline=timedelta(minutes=1),
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        database=None,
    )
    logging.disable()  # what fails here is meant to
    try:
        run_state_machine_as_test(machine, settings=how)
    except Exception as error:  # a finding, whatever it is
        return [f"{machine.__name__}: {type(error).__name__}: {error}"]
    finally:
        logging.disable(logging.NOTSET)
    return []
