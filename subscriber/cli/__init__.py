"""The command line: the edge of the process. Environment in, commands, exit codes out.

Exit codes: 0 done, 1 failed, 2 misuse (arguments or settings), 130 interrupted. A failure is one line on stderr that
names the next step, never a traceback. Commands are thin over the modules they name, and import them only when run,
so that `inbox list` does not pay for what `work` needs. This package alone reads the process's environment, which in
development includes the file ``.env`` of the working folder.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path

import click

from subscriber.cli import dead, inbox, operate, register, service, tail, tenants, tunnel
from subscriber.cli.session import FAILED, INTERRUPTED, MISUSE, Session, current, read_env_file
from subscriber.cli.terminal import Output, output_option, printable
from subscriber.errors import (
    AlreadyRunning,
    PlatformUnavailable,
    SettingsError,
    StoreBusy,
    StoreUnavailable,
    SubscriberError,
)

PROGRAM = "python -m subscriber"

NEXT_STEPS: dict[type[SubscriberError], str] = {
    StoreBusy: "try again in a moment",
    StoreUnavailable: f"see what `{PROGRAM} check` says",
    PlatformUnavailable: "try again later",
    AlreadyRunning: "stop that one first, or use another PORT and DATABASE_URL",
}


def main(arguments: Sequence[str] | None = None, environ: MutableMapping[str, str] = os.environ) -> int:
    """Run one command and return the exit code. ``environ`` gains what ``.env`` adds: child processes need it too."""
    try:
        return _run(arguments, environ)
    except click.UsageError as error:
        error.show()
        return MISUSE
    except click.ClickException as error:
        return _fail(FAILED, error.message)
    except SettingsError as error:
        return _fail(MISUSE, *error.problems)
    except SubscriberError as error:
        step = NEXT_STEPS.get(type(error))
        code = MISUSE if isinstance(error, AlreadyRunning) else FAILED  # a supervisor must not try that again
        return _fail(code, f"{error.detail or error.reason}{f'; {step}' if step else ''}")
    except (click.Abort, KeyboardInterrupt):
        return _fail(INTERRUPTED, "interrupted")
    except BrokenPipeError:
        # whoever read our output (`| head`) has gone; the interpreter must not complain about that at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _run(arguments: Sequence[str] | None, environ: MutableMapping[str, str]) -> int:
    # Commands tell of failures themselves; `serve` and `work` send the log to stderr.
    logging.getLogger("subscriber").addHandler(logging.NullHandler())
    added = {} if "VCAP_APPLICATION" in environ else read_env_file(Path(".env"))
    from_file = frozenset(name for name in added if name not in environ)
    environ.update({name: added[name] for name in from_file})
    session = Session(environ, from_file)
    code = commands.main(args=arguments, prog_name=PROGRAM, standalone_mode=False, obj=session)
    sys.stdout.flush()  # here, where a reader that has gone is expected
    return code if isinstance(code, int) else 0


def _fail(code: int, *lines: str) -> int:
    for line in lines:
        click.echo(f"error: {printable(line)}", err=True)
    return code


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Receive notifications of industrial IoT platforms, reliably and per tenant."""


@click.command()
@click.option("--list", "only_list", is_flag=True, help="Show what is pending, change nothing.")
@output_option
def migrate(out: Output, only_list: bool) -> None:
    """Bring the database's schema up to date."""
    import migrations

    url = current().settings().database_url
    try:
        names = migrations.pending(url) if only_list else migrations.apply(url)
    except migrations.MigrationFailed as error:
        raise click.ClickException(str(error)) from error
    state = "pending" if only_list else "applied"
    out.table(("migration", "state"), [{"migration": name, "state": state} for name in names])
    if not names:
        out.say("The schema is current.")


inbox.inbox.add_command(tail.tail)
for command in (
    service.serve,
    service.work,
    migrate,
    service.settings,
    register.register,
    register.unregister,
    tenants.tenants,
    inbox.inbox,
    dead.dead,
    operate.pause,
    operate.resume,
    operate.prune,
    operate.check,
    tunnel.tunnel,
):
    commands.add_command(command)
