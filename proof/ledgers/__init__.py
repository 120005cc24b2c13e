"""All four platforms together against one service while its processes die and stand still: the books at the end."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from emulator.processes import wait_until
from proof.ledgers.books import Books, books_of
from proof.ledgers.disturbing import FEW, HALT_SECONDS, HOUR, Disturber
from proof.ledgers.party import SETTLE_SECONDS, Party
from proof.report import Chapter
from proof.taking import TABLE, TAKEN
from tests.servers.postgres import Server, running

NOTIFICATIONS = 1_000_000  # a database
QUICK_NOTIFICATIONS = 1_500  # of them and of two rounds a quick run says whether the parts still fit
QUICK_SCALE = 0.1  # a smaller one is a quick run
WORKERS = 4
ROUND = 20_000  # notifications published at once: seconds of work, and far below what a platform's queue holds
LEAST_ROUNDS = 2
DAYS = 5  # of the platforms' time over a whole run
PAUSE_SECONDS = (3.0, 7.0)  # between two disturbances
QUICK_PAUSE_SECONDS = (0.5, 1.5)
IN_PEACE = 0.2  # of all are handled undisturbed: some came while the clock was an hour fast, and wait for that hour
MEMORY = Path("/dev/shm")  # a folder without a disk below
MEMORY_BYTES = 8 << 30  # must be free there: a million bodies, twice, with their indexes

WHAT = f"""\
The broker, Notification 2.0, Pelion (callbacks) and SmartREST deliver at once: 30 % come twice, of the broker's and
Pelion's a tenth out of order, a tenth of what these two are told is lost on the way, Notification 2.0's connections
break, and the platforms' clock goes on
by {DAYS} days, one at a time ({LEAST_ROUNDS} in a quick run). On either database {WORKERS} processes handle, and two
more serve. The next notifications are published before the last ones are handled. Until all is published and
{1 - IN_PEACE:.0%} of it handled, processes of the service are killed (SIGKILL) or stand still (SIGSTOP) for up to
{HALT_SECONDS[1]:.0f} seconds at random moments, and the wall clock that they live by is stepped (by a preloaded
library; under Debian's `faketime` threads wait for each other whenever they look at a clock): by up to {FEW} seconds
to stay, and by an hour, forward or back, for some seconds. The platforms and PostgreSQL keep
the true time. In the end the platforms' ledgers, the inbox and the effects are held against each other. An effect is
what a transactional handler wrote; of the values that Pelion's devices report, most of a run, it is the row that is
done. Files lie in memory where there is room: power cuts are a chapter of their own."""
UNPROVEN = (
    "A MindSphere event that comes again a minute after it was handled counts as a new fact, since its published "
    "body does not tell (`repeat`). What SmartREST dropped with a session is told as a gap and not counted as lost. "
    "On SQLite, whose rows, leases and locks go by the machine's clock, what came in while it was an hour fast is "
    "handled when it has come there again, and a process that dies then holds what it had until that time: later, "
    "not lost. The run does not wait for that hour, it steps forward at its end; and nobody dies while the clock is "
    "an hour off."
)

Counted = tuple[dict[str, int], list[str]]


def run(scale: float) -> Chapter:
    figures: dict[str, int | float | str] = {}
    broken: list[str] = []
    for name, (counted, found) in zip(REHEARSALS, _rehearsed(scale), strict=True):
        figures |= {f"{text}, {name}": count for text, count in counted.items()}
        broken += [f"{name}: {text}" for text in found]
    tried = sum(int(count) for text, count in figures.items() if text.startswith("published,"))
    return Chapter(
        title="Ledgers of all platforms",
        what=WHAT,
        tried=tried,
        unit="notifications",
        figures=figures,
        broken=broken,
        unproven=UNPROVEN,
    )


def _rehearsed(scale: float) -> list[Counted]:
    """A small run mostly waits, for programs to start and for leases of the dead to end: together for both databases.

    In processes, so that Ctrl-C reaches each rehearsal, and each ends what it has started.
    """
    if scale >= QUICK_SCALE:
        return [rehearse(scale) for rehearse in REHEARSALS.values()]
    with ProcessPoolExecutor(len(REHEARSALS)) as together:
        return [outcome.result() for outcome in [together.submit(one, scale) for one in REHEARSALS.values()]]


@contextmanager
def _folder() -> Iterator[Path]:
    """In memory, if there is room; else wherever temporary files are."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES
    with tempfile.TemporaryDirectory(dir=MEMORY if roomy else None) as name:
        yield Path(name)


def _on_sqlite(scale: float) -> Counted:
    with _folder() as folder:
        return _beside(folder, folder / "subscriber.db", scale)


def _beside(folder: Path, path: Path, scale: float) -> Counted:

    def prepare() -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(TABLE)

    def taken() -> Iterable[str]:
        with closing(sqlite3.connect(path)) as connection:
            return [id for (id,) in connection.execute(TAKEN)]

    party = Party(folder, WORKERS - 1, HANDLERS="proof.taking:sqlite_routes")
    with party:
        return _rehearse(party, scale, prepare, taken)


def _on_postgres(scale: float) -> Counted:
    with _folder() as folder, running({"fsync": "off"}) as server:
        url = server.fresh()
        settings = {"DATABASE_URL": url, "HANDLERS": "proof.taking:postgresql_routes"}
        party = Party(folder, WORKERS - 1, **settings)
        with party:
            return _rehearse(party, scale, lambda: _prepare(server, url), lambda: _taken(server, url))


REHEARSALS = {"SQLite": _on_sqlite, "PostgreSQL": _on_postgres}


def _prepare(server: Server, url: str) -> None:
    server.admin(f"SET ROLE app; {TABLE}", url.rpartition("/")[2])


def _taken(server: Server, url: str) -> Iterable[str]:
    return [str(id) for (id,) in server.admin(TAKEN, url.rpartition("/")[2])]


def _rehearse(party: Party, scale: float, prepare: Callable[[], None], taken: Callable[[], Iterable[str]]) -> Counted:
    party.open()
    prepare()
    party.start_service()
    quick = scale < QUICK_SCALE
    with Disturber(party, QUICK_PAUSE_SECONDS if quick else PAUSE_SECONDS) as disturber:
        total = QUICK_NOTIFICATIONS if quick else round(NOTIFICATIONS * scale)
        _flow(party, total)
        wait_until("most of the handling", lambda: party.unhandled() <= total * IN_PEACE, SETTLE_SECONDS)
    party.control("fault", {"name": "none"})
    party.clock.step(0)
    party.await_deliveries()
    party.clock.step(HOUR + FEW)  # what was put off by a clock that was fast is due now
    party.await_handling()
    party.clock.step(0)
    books = books_of(party, taken())
    return _figures(books, party, disturber), books.broken


def _flow(party: Party, total: int) -> None:
    """Publish it all, and see it delivered."""
    rounds = max(LEAST_ROUNDS, total // ROUND)
    each = total // rounds
    for number in range(1, rounds + 1):
        party.publish_parts(each)
        wait_until("room for more", lambda: party.undelivered() < each, SETTLE_SECONDS)
        if number % max(1, rounds // DAYS) == 0:
            party.await_deliveries()
            party.advance(1)


def _figures(books: Books, party: Party, disturber: Disturber) -> dict[str, int]:
    return {
        "published": books.balance.published,
        **{f"of them {platform}": count for platform, count in sorted(books.published.items())},
        "deliveries attempted": books.balance.attempts,
        "recognised as duplicates": party.counts()["duplicates"],
        "accepted": books.balance.accepted,
        "effects": books.balance.handled,
        "events taken as new facts": books.again,
        "gaps told": books.gaps,
        "processes killed": disturber.told["killed"],
        "processes halted": disturber.told["halted"],
        "steps of the clock": disturber.told["stepped"],
    }
