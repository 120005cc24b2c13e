"""`register`: the plan of subscriptions, and making it so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import click

from subscriber.cli.service import stopping
from subscriber.cli.session import FAILED, INTERRUPTED, current
from subscriber.cli.tenants import TENANT
from subscriber.cli.terminal import Output, Record, output_option
from subscriber.errors import NotFound
from subscriber.model import MINDSPHERE, Tenant

if TYPE_CHECKING:
    from subscriber.registration import Applied, Change, Plan, Registrar
    from subscriber.store import Store


@click.command()
@click.option("--apply", "applying", is_flag=True, help="Do it; without this, only the plan is shown.")
@click.option("--tenant", type=TENANT, help="Only this tenant: platform/name, or a bare MindSphere name.")
@output_option
def register(out: Output, applying: bool, tenant: Tenant | None) -> None:
    """Subscribe to every topic in every tenant.

    Shows the plan: MDSP_TOPICS for every tenant that the application is provisioned to. --apply makes it so; doing
    it again is harmless. Exit code 1 if a subscription failed, each is told with its cause.
    """
    from subscriber.registration import build

    if tenant is not None and tenant.platform != MINDSPHERE:
        raise click.UsageError(f"only MindSphere tenants are registered, not those of {tenant.platform}")
    stop = threading.Event()
    with current().store() as store, closing(build(current().settings(), store, stop=stop)) as registrar:
        with out.busy("Reading the list of tenants"):
            made = registrar.plan(tenant)
        _tell(out, made, tenant)
        if not applying:
            return _show(out, made)
        with stopping(stop, signal.SIGINT):
            results = _apply(out, registrar, made)
        _report(out, store, results)
    failed = not all(result.ok for result in results)
    click.get_current_context().exit(INTERRUPTED if stop.is_set() else FAILED if failed else 0)


def _tell(out: Output, made: Plan, only: Tenant | None) -> None:
    """What an operator should know before the result."""
    for tenant in made.erased:
        out.warn(f"{tenant} was erased here and is left out until its tombstone is pruned")
    if not made.complete:
        out.warn("the list of tenants kept changing while it was read: run this again later")
    if only is not None and not made.changes and not made.erased:
        raise NotFound(f"the application is not provisioned to {only}; `register` without --tenant shows the plan")


def _show(out: Output, made: Plan) -> None:
    out.table(("tenant", "plan", "topic"), [_record(change) for change in made.changes])
    new = sum(change.why != "keep" for change in made.changes)
    out.say(f"{new} to subscribe, {len(made.changes) - new} in place. Nothing was changed: add --apply to do it.")


def _apply(out: Output, registrar: Registrar, made: Plan) -> list[Applied]:
    with out.progress("Subscribing", len(made.changes)) as advance:
        return registrar.apply(made.changes, lambda applied: advance())


def _report(out: Output, store: Store, results: Sequence[Applied]) -> None:
    records = [
        {**_record(result.change), "ok": result.ok, "reason": result.reason, "detail": result.detail}
        for result in results
    ]
    out.table(("tenant", "topics", "result"), records, people=_by_tenant(results))
    summary = f"{sum(result.ok for result in results)} of {len(results)} subscriptions are in place."
    store.registry.audit("cli", "register", summary)
    out.say(summary)


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


def _by_tenant(results: Iterable[Applied]) -> list[Record]:
    """A line per tenant and result: most often all topics of a tenant fare alike."""
    topics: dict[tuple[Tenant, str], list[str]] = {}
    for result in results:
        key = (result.change.subscription.tenant, result.detail or "in place")
        topics.setdefault(key, []).append(result.change.subscription.topic)
    return [
        {"tenant": tenant, "topics": names[0] if len(names) == 1 else f"{len(names)} topics", "result": outcome}
        for (tenant, outcome), names in sorted(topics.items())
    ]
