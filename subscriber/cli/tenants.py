"""`tenants`: whom the service serves, and forgetting one beyond recovery."""

from __future__ import annotations

import click

from subscriber.cli.session import current
from subscriber.cli.terminal import Output, output_option, tenant_word
from subscriber.errors import NotFound
from subscriber.model import Tenant


class TenantType(click.ParamType[Tenant]):
    """``platform/name``; a bare name is a MindSphere tenant."""

    name = "tenant"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Tenant:
        tenant = value if isinstance(value, Tenant) else Tenant.parse(str(value))
        if not tenant.platform or not tenant.name:
            self.fail("write platform/name, or a bare MindSphere tenant name", param, ctx)
        return tenant


TENANT = TenantType()


@click.group()
def tenants() -> None:
    """Whom the service serves."""


@tenants.command("list")
@output_option
def list_tenants(out: Output) -> None:
    """Show every tenant with its state."""
    with current().store() as store:
        rows = store.registry.tenants()
    columns = ("tenant", "state", "since")
    out.table(columns, [{column: getattr(row, column) for column in columns} for row in rows])
    if not rows:
        out.say("No tenants yet: they come with `register --apply` or with their first notification.")


@tenants.command()
@click.argument("tenant", type=TENANT)
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
def erase(out: Output, tenant: Tenant, yes: bool) -> None:
    """Remove all data of TENANT beyond recovery. Later deliveries for it are acknowledged and not kept."""
    with current().store() as store:
        if tenant not in {row.tenant for row in store.registry.tenants()}:
            raise NotFound(f"there is no tenant {tenant}; `tenants list` shows those there are")
        if not yes:
            _confirm(tenant)
        with out.busy(f"Erasing {tenant}"):
            rows = store.inbox.erase(tenant)
            store.registry.audit("cli", "erase", f"{tenant}: {rows} rows")
    out.done({"tenant": tenant, "rows": rows}, f"{tenant} is erased: {rows} rows are gone.")


def _confirm(tenant: Tenant) -> None:
    word = tenant_word(tenant)
    typed = click.prompt(f"Type {word} to erase all its data for good", default="", show_default=False, err=True)
    if typed != word:
        raise click.UsageError("that is not the tenant's name: nothing was erased")
