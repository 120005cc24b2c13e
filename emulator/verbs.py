"""``python -m emulator``: without a verb the server, with one a call to the running server's control interface.

Exit codes: 0 done, 1 failed, 2 misuse (also: port or state file in use). Output fits 80 columns; ``--json`` is for
machines.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import fill
from typing import BinaryIO, TypeVar
from urllib.parse import urlencode

import click

from emulator import server
from emulator.faults import NAMES
from emulator.journal import StateError
from emulator.knobs import KnobError, Knobs, named, split, turn

DEFAULT_PORT = 8090
PAGE = 5000
READY = "emulator ready at"  # first line on stdout, followed by the address: scripts wait for it

Command = TypeVar("Command", bound=Callable[..., None])


class CallFailed(click.ClickException):
    """The server did not answer, or said no."""

    exit_code = 1


class CannotStart(click.ClickException):
    """Port or state file cannot be used."""

    exit_code = 2


def call(port: int, path: str, members: Mapping[str, object] | None = None) -> dict[str, object]:
    """GET without members, else POST; loopback only, so no proxy is asked."""
    url = f"http://127.0.0.1:{port}/_control{path}"
    data = None if members is None else json.dumps(members).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            raise CallFailed(_detail(error.read())) from error
    except (urllib.error.URLError, OSError) as error:
        raise CallFailed(f"no emulator answers on port {port}: {error}") from error
    assert isinstance(answer, dict)
    return answer


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["detail"])
    except (ValueError, KeyError, TypeError):
        return "the server failed: see its log"


def port_option(command: Command) -> Command:
    """``--port`` of a verb; falls back to the one given before the verb."""
    option = click.option("--port", type=click.IntRange(1, 65535), help="Port of the running emulator.")
    return option(command)


def _port(given: int | None) -> int:
    context = click.get_current_context()
    before = context.parent.params.get("port") if context.parent else None
    return given or before or DEFAULT_PORT


def _print(answer: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer))
        return
    for name, value in answer.items():
        click.echo(f"{name:<16} {value if isinstance(value, int | str) else json.dumps(value)}")


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
probability = click.FloatRange(0, 1)


@click.group(invoke_without_command=True, context_settings={"max_content_width": 80})
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen. It signs tokens: think twice.")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0 = any free.")
@click.option(
    "--state", type=click.Path(dir_okay=False, path_type=Path), default="var/emulator.db", show_default=True
)
@click.option("--app", default="http://127.0.0.1:8080", show_default=True, help="The subscriber behind the gateway.")
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same faults.")
@click.option("--clock", type=click.Choice(["real", "virtual"]), default="real", show_default=True)
@click.option("--knob", "knobs", multiple=True, metavar="EMU_NAME=VALUE", help="Turn an assumption; see `knobs`.")
@click.pass_context
def main(
    context: click.Context,
    host: str,
    port: int,
    state: Path,
    app: str,
    seed: int,
    clock: str,
    knobs: tuple[str, ...],
) -> None:
    """Play the industrial platforms on this machine; with a verb, control the running server."""
    if context.invoked_subcommand is not None:
        return
    if not app.startswith(("http://", "https://")):
        raise click.BadParameter(f"not an http address: {app}", param_hint="--app")
    if not -(2**63) <= seed < 2**63:
        raise click.BadParameter("at most 64 bits", param_hint="--seed")
    try:
        turned = turn(Knobs(), split(knobs))
    except KnobError as error:
        raise click.BadParameter(str(error), param_hint="--knob") from error
    _serve(
        server.Config(host=host, port=port, state=state, app=app, seed=seed, virtual=clock == "virtual", knobs=turned)
    )


def _serve(config: server.Config) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        asyncio.run(server.serve(config, lambda url: click.echo(f"{READY} {url}")))
    except (server.PortError, StateError) as error:
        raise CannotStart(str(error)) from error


@main.command()
@click.option("--tenant", multiple=True, help="PLATFORM/NAME; bare = MindSphere, whose tenants are the default.")
@click.option("--topic", multiple=True, help="asset, eventnotification, … or in full; cumulocity: alarms, events, …")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="For each tenant and topic.")
@click.option("--items", type=click.IntRange(1, 1000), default=1, show_default=True, help="Events per message.")
@click.option("--duplicate", type=probability, help="Share sent again after the acknowledgement.")
@click.option("--reorder", type=probability, help="Share that falls back in its queue.")
@click.option("--body", type=click.File("rb"), help="Publish exactly this file instead.")
@click.option("--windowed", is_flag=True, help="Collect as facts; published when the window closes.")
@json_option
@port_option
def publish(
    tenant: tuple[str, ...],
    topic: tuple[str, ...],
    count: int,
    items: int,
    duplicate: float | None,
    reorder: float | None,
    body: BinaryIO | None,
    windowed: bool,
    as_json: bool,
    port: int | None,
) -> None:
    """Publish messages."""
    members: dict[str, object] = {"tenant": list(tenant), "topic": list(topic), "count": count}
    if windowed:
        _print(call(_port(port), "/facts", members), as_json)
        return
    members |= {"items": items, "duplicate": duplicate, "reorder": reorder}
    if body is not None:
        members["body_base64"] = base64.b64encode(body.read()).decode()
    answer = call(_port(port), "/publish", members)
    if answer["published"] == 0:
        click.echo("nobody has subscribed to this: nothing will be delivered", err=True)
    _print(answer, as_json)


@main.command()
@click.argument("tenants", nargs=-1, required=True)
@json_option
@port_option
def provision(tenants: tuple[str, ...], as_json: bool, port: int | None) -> None:
    """Make the application available to TENANTS (bare = MindSphere), and announce it."""
    _print(call(_port(port), "/provision", {"tenants": tenants}), as_json)


@main.command()
@click.argument("tenants", nargs=-1, required=True)
@json_option
@port_option
def deprovision(tenants: tuple[str, ...], as_json: bool, port: int | None) -> None:
    """Take the application from TENANTS (bare = MindSphere)."""
    _print(call(_port(port), "/deprovision", {"tenants": tenants}), as_json)


@main.command("rotate-keys")
@click.option("--zone", multiple=True, help="Default: every zone that has keys.")
@json_option
@port_option
def rotate_keys(zone: tuple[str, ...], as_json: bool, port: int | None) -> None:
    """New signing keys; the old ones stay published for a while."""
    _print(call(_port(port), "/rotate-keys", {"zone": list(zone)}), as_json)


def _fault_list() -> str:
    """The faults one below the other; the mark keeps click from joining the lines."""
    entries = (f"{name:<15} {meaning}" for name, meaning in NAMES.items())
    return "\b\nFaults:\n" + "\n".join(fill(entry, 76, subsequent_indent=" " * 16) for entry in entries)


@main.command(epilog=_fault_list())
@click.argument("name", required=False)
@click.option("--probability", type=probability, default=1.0, show_default=True)
@click.option(
    "--for",
    "for_s",
    type=click.FloatRange(0),
    help="Seconds of the emulator's clock; default: until cleared.",
)
@json_option
@port_option
def fault(name: str | None, probability: float, for_s: float | None, as_json: bool, port: int | None) -> None:
    """Declare the fault NAME; `none` clears all; without a name: list."""
    if name is None:
        answer = call(_port(port), "/fault")
    else:
        answer = call(_port(port), "/fault", {"name": name, "probability": probability, "for_s": for_s})
    _print(answer, as_json)


@main.command()
@click.option("--advance", type=click.FloatRange(0), metavar="SECONDS", help="Leap, firing what is due in between.")
@json_option
@port_option
def clock(advance: float | None, as_json: bool, port: int | None) -> None:
    """Show the emulator's time, or advance it."""
    members = None if advance is None else {"advance": advance}
    _print(call(_port(port), "/clock", members), as_json)


@main.command()
@click.option("--items", is_flag=True, help="One JSON line per message and subscription.")
@json_option
@port_option
def ledger(items: bool, as_json: bool, port: int | None) -> None:
    """What was published, attempted, acknowledged, expired, and is pending."""
    if not items:
        _print(call(_port(port), "/ledger"), as_json)
        return
    for item in pages(_port(port), "/ledger/items"):
        click.echo(json.dumps(item))


def pages(port: int, path: str) -> Iterator[object]:
    """Every item of a paged listing."""
    after: object = 0
    while after is not None:
        answer = call(port, f"{path}?{urlencode({'after': after, 'limit': PAGE})}")
        items = answer["items"]
        assert isinstance(items, list)
        yield from items
        after = answer["next"]


@main.command()
@port_option
def reset(port: int | None) -> None:
    """Back to the seed world: no messages, subscriptions or faults."""
    call(_port(port), "/reset", {})


@main.command()
@click.option("--tenant", help="Whose: a hosting tenant, or cumulocity/NAME.")
@click.option("--env", "as_env", is_flag=True, help="Print the subscriber's settings as KEY=VALUE.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (the default).")
@port_option
def credentials(tenant: str | None, as_env: bool, as_json: bool, port: int | None) -> None:
    """What a subscriber needs to know, secrets included."""
    if as_env and as_json:
        raise click.UsageError("choose one of --env and --json")
    query = f"?{urlencode({'tenant': tenant})}" if tenant else ""
    answer = call(_port(port), f"/credentials{query}")
    click.echo("\n".join(environment(answer)) if as_env else json.dumps(answer))


ENVIRONMENT = {
    "MDSP_GATEWAY_URL": "gateway",
    "MDSP_PIAM_URL": "piam",
    "MDSP_KEY_STORE_CLIENT_ID": "client_id",
    "MDSP_KEY_STORE_CLIENT_SECRET": "client_secret",
    "MDSP_OS_VM_APP_NAME": "app",
    "MDSP_OS_VM_APP_VERSION": "version",
    "MDSP_HOST_TENANT": "host_tenant",
}


def environment(answer: Mapping[str, object]) -> list[str]:
    """The subscriber's settings for this emulator, one ``KEY=VALUE`` each."""
    members = answer["mindsphere"]
    assert isinstance(members, dict)
    pelion = answer["pelion"]
    assert isinstance(pelion, dict)
    channels = json.dumps(pelion["channels"], separators=(",", ":"))
    return [
        *(f"{name}={members[member]}" for name, member in ENVIRONMENT.items()),
        *cumulocity_environment(answer["cumulocity"]),
        f"PELION_CHANNELS={channels}",
    ]


def cumulocity_environment(members: object) -> list[str]:
    """The platform's own names, as it sets them in a microservice's container."""
    assert isinstance(members, dict)
    bootstrap = members["bootstrap"]
    return [
        f"C8Y_BASEURL={members['base_url']}",
        "C8Y_MICROSERVICE_ISOLATION=MULTI_TENANT",
        *(f"C8Y_BOOTSTRAP_{name.upper()}={bootstrap[name]}" for name in ("tenant", "user", "password")),
        *(f"C8Y_{name.upper()}={members[name]}" for name in ("tenant", "user", "password")),
        "APPLICATION_NAME=notification-hub",
    ]


@main.command()
@click.argument("settings", nargs=-1, metavar="[EMU_NAME=VALUE]...")
@json_option
@port_option
def knobs(settings: tuple[str, ...], as_json: bool, port: int | None) -> None:
    """Turn knobs of the running emulator, or list all of them."""
    try:
        changes = split(settings)
    except KnobError as error:
        raise click.UsageError(str(error)) from error
    if not settings:
        _list_knobs(_port(port), as_json)
        return
    call(_port(port), "/knobs", changes)


def _list_knobs(port: int, as_json: bool) -> None:
    answer = call(port, "/knobs")
    if as_json:
        click.echo(json.dumps(answer))
        return
    values = answer["knobs"]
    assert isinstance(values, dict)
    for name, entry in named().items():
        click.echo(f"{name}={values[name]}\n    {entry.metadata['help']}")
