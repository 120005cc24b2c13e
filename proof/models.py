"""The stores against a model of a few lines, in thousands of random sequences of calls."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from proof.report import Chapter
from tests.store.machine import StoreMachine
from tests.store.test_postgres import PostgresMachine
from tests.store.test_sqlite import SqliteMachine

SEQUENCES = {SqliteMachine: 2000, PostgresMachine: 500}
STEPS = 40

WHAT = """\
Random sequences of calls (accept, lease, lease in order, settle in four ways, settle with an effect that may fail,
settle what was lost, let leases run out, replay), each compared after every call with a dictionary of states and a
count of effects (`tests/store/machine.py`)."""


def run(scale: float) -> Chapter:
    broken = [text for machine, count in SEQUENCES.items() for text in _try(machine, max(10, round(count * scale)))]
    tried = {machine.__name__: max(10, round(count * scale)) for machine, count in SEQUENCES.items()}
    return Chapter(
        title="Stores against a model",
        what=WHAT,
        tried=sum(tried.values()),
        unit="sequences",
        figures={f"sequences, {name.removesuffix('Machine')}": count for name, count in tried.items()}
        | {"calls in each": STEPS},
        broken=broken,
        unproven="Calls here follow one another; what happens at once is tried by tests in parallel and by ledgers.",
    )


def _try(machine: type[StoreMachine], count: int) -> list[str]:
    how = settings(
        max_examples=count,
        stateful_step_count=STEPS,
        deadline=timedelta(minutes=1),
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    try:
        run_state_machine_as_test(machine, settings=how)
    except AssertionError as error:
        return [f"{machine.__name__}: {error}"]
    return []
