"""`register` and `unregister`: the plan of subscriptions, and making it so.

Ten thousand tenants are forty thousand subscriptions: programs get one object a line as they are done, people a line
per tenant, and no more lines than anybody reads.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from subscriber.cli.service import stopping
from subscriber.cli.session import FAILED, INTERRUPTED, current
from subscriber.cli.tenants import TENANT
from subscriber.cli.terminal import Output, Record, output_option
from subscriber.errors import LockHeld, NotFound
from subscriber.model import MINDSPHERE, Tenant

if TYPE_CHECKING:
    from subscriber.registration.apply import Applied, Observe, Report
    from subscriber.registration.plan import Change
    from subscriber.registration.reconciler import Reconciler, Survey
    from subscriber.store import Store

Result = TypeVar("Result")

TURN_SECONDS = 600.0  # a worker's first run over ten thousand tenants is through by then
POLL_SECONDS = 0.5
SHOWN_LINES = 50  # of tenants; a screen or two
APPLY = click.option("--apply", "applying", is_flag=True, help="Do it; without this, only the plan is shown.")
ONLY = click.option("--tenant", type=TENANT, help="Only this tenant: platform/name, or a bare MindSphere name.")


@click.command()
@APPLY
@ONLY
@click.option("--confirm-shrink", "confirmed", is_flag=True, help="Let go whom a list lacks that shrank by a lot.")
@output_option
def register(out: Output, applying: bool, tenant: Tenant | None, confirmed: bool) -> None:
    """Subscribe to every topic in every tenant.

    Shows what would change: MDSP_TOPICS for every tenant that the application is provisioned to. --apply makes it so;
    doing it again is harmless. Exit code 1 if a subscription failed, each is told with its cause.
    """
    if confirmed and (tenant is not None or not applying):
        raise click.UsageError("--confirm-shrink goes with --apply, for all tenants")
    with _opened(tenant) as (store, reconciler, stop):
        with out.busy("Reading the list of tenants"):
            survey = reconciler.host_alone() if tenant == reconciler.host else reconciler.survey(confirmed=confirmed)
        _tell(out, store, survey, tenant)
        if not applying:
            return _show(out, reconciler.changes(survey, tenant), "to change", len(survey.verdict.served))

        def work(observe: Observe) -> Report:
            if tenant is not None:
                return reconciler.register(tenant, observe)
            return reconciler.run(confirmed=confirmed, observe=observe).report

        _apply(out, store, "register", sum(1 for _ in reconciler.changes(survey, tenant)), work, stop)


@click.command()
@APPLY
@ONLY
@click.option("--again", is_flag=True, help="Then register anew, as if for the first time.")
@output_option
def unregister(out: Output, applying: bool, tenant: Tenant | None, again: bool) -> None:
    """Remove subscriptions.

    Of every tenant, or of one. A worker that runs registers again at its next turn: stop it first, unless that is
    what you want.
    """
    with _opened(tenant) as (store, reconciler, stop):
        if not applying:
            return _show(out, reconciler.registered(tenant), "to remove", 0)
        planned = sum(1 for _ in reconciler.registered(tenant))

        def work(observe: Observe) -> Report:
            return reconciler.unregister(tenant, observe)

        def anew(observe: Observe) -> Report:
            return reconciler.run(observe=observe).report if tenant is None else reconciler.register(tenant, observe)

        _apply(out, store, "unregister", planned, work, stop, last=not again)
        if again:
            _apply(out, store, "register", planned, anew, stop)


@contextmanager
def _opened(tenant: Tenant | None) -> Iterator[tuple[Store, Reconciler, threading.Event]]:
    from subscriber.registration import build

    if tenant is not None and tenant.platform != MINDSPHERE:
        raise click.UsageError(f"only MindSphere tenants are registered, not those of {tenant.platform}")
    settings, stop = current().settings(), threading.Event()
    with current().store() as store, closing(build(settings, store, stop=stop)) as reconciler:
        yield store, reconciler, stop


def _tell(out: Output, store: Store, survey: Survey, only: Tenant | None) -> None:
    """What an operator should know before the result."""
    verdict = survey.verdict
    for tenant in verdict.erased:
        out.warn(f"{tenant} was erased here and is left out until its tombstone is pruned")
    if not survey.complete and only is None:
        out.warn("the list of tenants kept changing while it was read: run this again later")
    if verdict.waiting:
        out.warn(
            f"the list lacks {len(verdict.waiting)} of our tenants at once, among them {verdict.waiting[0]}: they "
            "are kept until `register --apply --confirm-shrink` lets them go"
        )
    stale = store.registry.tally(MINDSPHERE).get("subscriptions_stale", 0)
    if stale:
        out.warn(f"{stale} older subscriptions are stale: these credentials cannot remove them")
    if only is not None and only not in verdict.served and only not in verdict.erased:
        raise NotFound(f"the application is not provisioned to {only}; `register` without --tenant shows the plan")


def _show(out: Output, changes: Iterable[Change], what: str, tenants: int) -> None:
    """The plan; programs get its sum as the last object."""
    lines = Lines(out)
    count = 0
    for change in changes:
        count += 1
        lines.add(_record(change), (change.subscription.tenant, change.why))
    lines.close(("tenant", "topics", "plan"))
    summary = f"{count} {what}. Nothing was changed: add --apply to do it."
    out.done({"changes": count, "tenants": tenants}, summary)


def _apply(
    out: Output,
    store: Store,
    action: str,
    planned: int,
    work: Callable[[Observe], Report],
    stop: threading.Event,
    *,
    last: bool = True,
) -> None:
    lines = Lines(out)
    with stopping(stop, signal.SIGINT), out.progress(action.capitalize(), planned) as advance:

        def observe(applied: Applied) -> None:
            if applied.change.why != "keep" or not applied.ok or applied.repaired:
                advance()
                lines.add(_result(applied), (applied.change.subscription.tenant, applied.detail or applied.outcome))

        report = _in_turn(out, lambda: work(observe), stop)
    lines.close(("tenant", "topics", "result"))
    _report(out, store, action, report)
    if last or not report.ok:
        click.get_current_context().exit(INTERRUPTED if stop.is_set() else 0 if report.ok else FAILED)


def _in_turn(out: Output, work: Callable[[], Result], stop: threading.Event) -> Result:
    """Wait while a worker is at the same: then there is less to do, or nothing."""
    until = time.monotonic() + TURN_SECONDS
    while True:
        try:
            return work()
        except LockHeld:
            if time.monotonic() > until or stop.wait(POLL_SECONDS):
                raise


def _report(out: Output, store: Store, action: str, report: Report) -> None:
    tally = store.registry.tally(MINDSPHERE)
    in_place, count = tally.get("subscriptions_active", 0), report.outcomes
    wrong = count["failed"] + count["unanswered"]
    summary = f"{count['done']} done, {wrong} failed, {count['stale']} stale; {in_place} subscriptions are in place."
    if report.cut_short:
        out.warn(f"ended early ({report.cut_short}): run it again, it goes on where this one ended")
    store.registry.audit("cli", action, summary)
    out.done({"done": count["done"], "failed": wrong, "stale": count["stale"], "in_place": in_place}, summary)


class Lines:
    """Results as they come: programs get each at once, people a line per tenant and result at the end."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._topics: dict[tuple[Tenant, str], list[str]] = {}
        self._more = 0  # results of tenants beyond those that are shown

    def add(self, record: Record, line: tuple[Tenant, str]) -> None:
        self._out.table((), [record], people=())  # people get their lines at the end
        if line in self._topics or len(self._topics) < SHOWN_LINES:
            self._topics.setdefault(line, []).append(str(record["topic"]))
        else:
            self._more += 1

    def close(self, columns: tuple[str, str, str]) -> None:
        tenant, topics, result = columns
        people = [
            {tenant: who, topics: names[0] if len(names) == 1 else f"{len(names)} topics", result: what}
            for (who, what), names in sorted(self._topics.items())
        ]
        self._out.table(columns, (), people)
        if self._more:
            self._out.say(f"… and {self._more} more; --json tells each.")


def _record(change: Change) -> Record:
    subscription = change.subscription
    return {
        "tenant": subscription.tenant,
        "plan": change.why,
        "topic": subscription.topic,
        "subscriber": subscription.subscriber,
        "version": subscription.version,
        "uri": subscription.uri,
    }


def _result(applied: Applied) -> Record:
    outcome = {"ok": applied.ok, "outcome": applied.outcome, "reason": applied.reason, "detail": applied.detail}
    return {**_record(applied.change), **outcome}
