"""`register` and `unregister`: the plan of subscriptions, and making it so.

Ten thousand tenants are forty thousand subscriptions: programs get one object a line as they are done, people a line
per tenant, and no more lines than anybody reads.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from subscriber.cli.service import stopping
from subscriber.cli.session import FAILED, INTERRUPTED, current
from subscriber.cli.tenants import TENANT
from subscriber.cli.terminal import Output, Record, output_option
from subscriber.errors import LockHeld, NotFound, PlatformRefused, PlatformUnavailable
from subscriber.model import Tenant

if TYPE_CHECKING:
    from subscriber.registrars import Registrar
    from subscriber.registration.apply import Applied, Observe, Report
    from subscriber.registration.census import Survey
    from subscriber.registration.plan import Change
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

    Shows what would change: MDSP_TOPICS and C8Y_SUBSCRIPTIONS for every tenant that the application is provisioned
    to, templates and stopped sessions of C8Y_REALTIME, and PELION_CHANNELS. --apply makes it so; doing it again is
    harmless. Exit code 1 if a subscription failed, each is told with its cause.
    """
    if confirmed and (tenant is not None or not applying):
        raise click.UsageError("--confirm-shrink goes with --apply, for all tenants")

    def one(store: Store, registrar: Registrar, stop: threading.Event) -> bool:
        with out.busy("Reading the list of tenants"):
            survey = registrar.survey(confirmed=confirmed, only=tenant)
        _tell(out, store, registrar, survey, tenant)
        if not applying:
            return _show(out, registrar.changes(survey, tenant), "to change", len(survey.verdict.served))

        def work(observe: Observe) -> Report:
            if tenant is not None:
                return registrar.register(tenant, observe)
            return registrar.run(confirmed=confirmed, observe=observe).report

        planned = sum(1 for _ in registrar.changes(survey, tenant))
        return _apply(out, store, registrar, "register", planned, work, stop)

    _each(out, tenant, one)


@click.command()
@APPLY
@ONLY
@click.option("--again", is_flag=True, help="Then register anew, as if for the first time.")
@output_option
def unregister(out: Output, applying: bool, tenant: Tenant | None, again: bool) -> None:
    """Remove subscriptions, consumers and channels.

    Of every tenant, or of one: subscriptions first, then consumers and channels with what the platform keeps for
    them. A worker that runs registers again at its next turn: stop it first, unless that is what you want.
    """

    def one(store: Store, registrar: Registrar, stop: threading.Event) -> bool:
        if not applying:
            return _show(out, registrar.registered(tenant), "to remove", 0)
        planned = sum(1 for _ in registrar.registered(tenant))

        def work(observe: Observe) -> Report:
            return registrar.unregister(tenant, observe)

        def anew(observe: Observe) -> Report:
            return registrar.run(observe=observe).report if tenant is None else registrar.register(tenant, observe)

        removed = _apply(out, store, registrar, "unregister", planned, work, stop)
        return _apply(out, store, registrar, "register", planned, anew, stop) if again and removed else removed

    _each(out, tenant, one)


def _each(out: Output, tenant: Tenant | None, one: Callable[[Store, Registrar, threading.Event], bool]) -> None:
    """Do it for each platform that is on, or for the tenant's own. A platform that is away stops no other."""
    fine = True
    with _opened(out, tenant) as (store, registrars, stop):
        for registrar in registrars:
            try:
                fine = not stop.is_set() and one(store, registrar, stop) and fine
            except (PlatformRefused, PlatformUnavailable) as error:
                if len(registrars) == 1:
                    raise
                out.warn(f"{registrar.platform}: {error.detail}")
                fine = False
    click.get_current_context().exit(INTERRUPTED if stop.is_set() else 0 if fine else FAILED)


@contextmanager
def _opened(out: Output, tenant: Tenant | None) -> Iterator[tuple[Store, Sequence[Registrar], threading.Event]]:
    from subscriber.registrars import open_registrars
    from subscriber.registration import build
    from subscriber.registration.patience import PERSON_SECONDS

    settings, stop = current().settings(), threading.Event()

    def told(error: PlatformUnavailable) -> None:
        out.warn(f"no answer yet, trying for up to {PERSON_SECONDS:.0f} s: {error.detail}")

    with (
        current().store() as store,
        open_registrars(settings, store, stop, by_hand=True, told=told) as registrars,
    ):
        if not registrars:
            build(settings, store)  # refuses, and says which settings there are
        asked = [one for one in registrars if tenant is None or one.platform == tenant.platform]
        if not asked:
            raise click.UsageError(f"nothing is registered at {tenant.platform if tenant else 'any platform'} here")
        yield store, asked, stop


def _tell(out: Output, store: Store, registrar: Registrar, survey: Survey, only: Tenant | None) -> None:
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
    stale = store.registry.tally(registrar.platform).get("subscriptions_stale", 0)
    if stale:
        out.warn(f"{stale} older subscriptions are stale: these credentials cannot remove them")
    if only is not None and only not in verdict.served and only not in verdict.erased:
        raise NotFound(f"the application is not provisioned to {only}; `register` without --tenant shows the plan")


def _show(out: Output, changes: Iterable[Change], what: str, tenants: int) -> bool:
    """The plan; programs get its sum as the last object. Always fine."""
    lines = Lines(out)
    count = replaced = unsure = 0
    for change in changes:
        count += 1
        replaced += change.why == "differs"
        unsure += change.why == "unsure"
        lines.add(_record(change), (change.subscription.tenant, change.why))
    lines.close(("tenant", "topics", "plan"))
    if replaced:
        out.warn(
            f"{replaced} that differ are deleted and made anew: what happens in between is lost, some may come twice"
        )
    if unsure:
        out.warn(f"{unsure} are unsure: the platform does not say what there is; `check` tells why")
    summary = f"{count} {what}. Nothing was changed: add --apply to do it."
    out.done({"changes": count, "tenants": tenants}, summary)
    return True


def _apply(
    out: Output,
    store: Store,
    registrar: Registrar,
    action: str,
    planned: int,
    work: Callable[[Observe], Report],
    stop: threading.Event,
) -> bool:
    """Do it and tell of each. True if everything is as planned."""
    lines = Lines(out)
    with stopping(stop, signal.SIGINT), out.progress(action.capitalize(), planned) as advance:

        def observe(applied: Applied) -> None:
            if applied.change.why != "keep" or not applied.ok or applied.repaired:
                advance()
                lines.add(_result(applied), (applied.change.subscription.tenant, applied.detail or applied.outcome))

        report = _in_turn(out, lambda: work(observe), stop)
    lines.close(("tenant", "topics", "result"))
    _report(out, store, registrar, action, report)
    return report.ok


def _in_turn(out: Output, work: Callable[[], Result], stop: threading.Event) -> Result:
    """Wait while a worker is at the same: then there is less to do, or nothing."""
    until, told = time.monotonic() + TURN_SECONDS, False
    while True:
        try:
            return work()
        except LockHeld:
            if not told:
                out.warn(
                    f"another instance is at the same: waiting for up to {TURN_SECONDS:.0f} s until it is through"
                )
            told = True
            if time.monotonic() > until or stop.wait(POLL_SECONDS):
                raise


def _report(out: Output, store: Store, registrar: Registrar, action: str, report: Report) -> None:
    tally = store.registry.tally(registrar.platform)
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
