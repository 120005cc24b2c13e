"""Four days of outage, rehearsed: the emulator's clock leaps over them, then delivers what waited. And five days."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from emulator.balance import balance
from emulator.demo import all_items
from emulator.journal import Journal
from emulator.mindsphere.publisher import Order
from emulator.mindsphere.subscriptions import Key
from emulator.processes import call
from emulator.server import Config, Emulator
from proof.drain import Pace, Watch, accept_paces, in_words, live_pace
from proof.report import Chapter
from subscriber.model import MINDSPHERE
from subscriber.settings import BROKER_RETENTION_DAYS
from subscriber.store import Gap, open_store
from tests.journeys.rehearsal import TENANTS, TOPICS, Rehearsal

NOTIFICATIONS = 100_000
OTHER_PLATFORMS = ("C8Y_", "PELION_", "APPLICATION_NAME")
LATE = 0.1  # of that many are published into the second outage
LIVE = 0.2  # of that many are published without an outage
DRAINED = 0.5  # of the accept rate
DAY = 86_400.0
# An hour short of how long the broker tries: what is published at its beginning is still wanted at its end.
LONG_OUTAGE, LONGER_OUTAGE = 4 * DAY - 3600, 5 * DAY
AFTERWARDS = 1200.0  # the longest pause between two attempts with its jitter is 1,080 s
MARGIN = 60.0  # of the outage are left when the books are looked at: the clock goes on in between
SKIP_SECONDS = 10.0
ADVANCE_SECONDS = 1800.0  # of waiting for one leap with its deliveries
ATTEMPTS = 300  # of each notification at least: four days in pauses of a quarter of an hour
PLANNED = 2000  # notifications of a publishing plan
MORNING = datetime(2026, 3, 2, 10, tzinfo=UTC).timestamp()

WHAT = """\
Emulator and service run as processes. An outage of four days but for an hour is declared, for the broker tries no
longer than four days; notifications are published to all tenants and topics, and the emulator's clock leaps to its
last minute: every attempt that the broker would have made is computed and
journalled. Then all of them are due at once, and it delivers while the service's worker handles what came. Delivered
is what the broker saw acknowledged; handling is another figure. The *accept rate* is the accept benchmark's, of the
web processes alone under a load generator in C, taken before and after. The *live rate* is the emulator's own without
an outage, from the first message published to the last one acknowledged. All share the machine's processors, and no
process is stopped or put last: so the drain is also held against the accept rate for each second of processor time
that the web processes got. After that the service is stopped for five days, longer than the broker keeps a
message: it drops them, and a heartbeat in the service's database, by a clock five days on, finds and records the gap.
A publishing plan is made twice
from one seed, and once from another."""

UNPROVEN = """\
The service's own clock does not leap: that its next start notices five days is tried by calling what it calls then.
The real broker's pauses between attempts are not documented; the emulator's are assumed. The emulator delivers in
Python on the processors of the service: a broker on machines of its own would leave them to the service."""

MISSED = """\
The drain as a whole reached {} of the accept rate, not the 0.5 that was asked for: of the processors that the accept
rate has for the web processes alone, the emulator and the worker took the shares shown."""


class Alone(Rehearsal):
    """MindSphere and nobody else: connections of the other platforms would be kept alive, ping by ping, in a leap."""

    def start_emulator(self) -> None:
        super().start_emulator()
        for name in [name for name in self.environ if name.startswith(OTHER_PLATFORMS)]:
            del self.environ[name]


def run(scale: float) -> Chapter:
    each = max(2, round(NOTIFICATIONS * scale / len(TENANTS) / len(TOPICS)))
    accepts = accept_paces() if scale >= 1 else []
    with tempfile.TemporaryDirectory() as name, Alone(Path(name), FORWARD_URL="", RETRY_BASE_SECONDS="1") as world:
        world.start()
        figures, broken, drained = _four_days(world, each)
        live = live_pace(world, lambda: _publish(world, max(1, round(each * LIVE))))
        more, found = _five_days(world, max(1, round(each * LATE)))
        broken += found + _books(world)
    accepts += accept_paces() if scale >= 1 else []
    speeds, slow, missed = _speeds(drained, live, accepts)
    broken += slow
    first, again, other = (plan(seed) for seed in (1, 1, 2))
    broken += ["the same seed gave another publishing plan"] if first != again else []
    broken += ["another seed gave the same publishing plan"] if first == other else []
    return Chapter(
        title="Outages of four and five days",
        what=WHAT,
        tried=each * len(TENANTS) * len(TOPICS),
        unit="notifications",
        figures=figures | speeds | more | {"notifications of a publishing plan": PLANNED},
        broken=broken,
        unproven=" ".join([UNPROVEN, *missed]),
    )


def _four_days(world: Rehearsal, each: int) -> tuple[dict[str, int | float | str], list[str], Pace]:
    """The last: of the deliveries afterwards."""
    ends_at = _declare(world, LONG_OUTAGE)
    _publish(world, each)
    published = world.control("ledger")["published"]
    started = time.monotonic()
    _advance(world, ends_at - MARGIN - world.control("clock")["now"])
    skipped = time.monotonic() - started
    waiting: Mapping[str, int] = world.control("ledger")
    watch, started = Watch(world), time.monotonic()
    _drain(world)
    watch.stop()
    world.settle()
    handled = time.monotonic() - started
    broken = [
        *([f"the leap took {skipped:.1f} s"] if skipped > SKIP_SECONDS else []),
        *([f"{waiting['acknowledged']} came through the outage"] if waiting["acknowledged"] else []),
        *(["attempts are missing"] if waiting["attempts"] < ATTEMPTS * published else []),
        *(["the broker gave up too early"] if world.control("ledger")["acknowledged"] != published else []),
    ]
    return (
        {
            "attempts computed": waiting["attempts"],
            "seconds to leap over four days": round(skipped, 1),
            "delivered a second afterwards": round(watch.pace.a_second),
            "handled a second, until all were": round(published / handled),
            "processors used while delivering": in_words(watch.shares),
        },
        broken,
        watch.pace,
    )


def _drain(world: Rehearsal) -> None:
    """Until the broker has nothing left. What was refused is due again after a pause; one is leapt over, too."""
    _advance(world, MARGIN + AFTERWARDS, at_once=True)
    if world.control("ledger")["pending"]:
        _advance(world, AFTERWARDS, at_once=True)


def _speeds(
    drained: Pace, live: Pace, accepts: list[Pace]
) -> tuple[dict[str, int | float | str], list[str], list[str]]:
    """Figures, what is broken, what is missed. No ``accepts`` in a small run, where a ratio would say little."""
    figures: dict[str, int | float | str] = {
        "delivered a second without an outage (live rate)": round(live.a_second),
        "drain to live rate": round(drained.a_second / live.a_second, 2),
    }
    if not accepts:
        return figures, [], []
    accept = Pace.middle(accepts)
    whole, cost = (round(ours / theirs, 2) for ours, theirs in zip(drained, accept, strict=True))
    figures |= {
        "accepted a second (accept rate)": round(accept.a_second),
        "drain to accept rate": whole,
        "drain to accept rate, for each second of the web processes": cost,
    }
    broken = (
        [f"a delivery of the drain cost the web processes {1 / cost:.1f} times an accept"] if cost < DRAINED else []
    )
    return figures, broken, [] if whole >= DRAINED else [MISSED.format(whole)]


def _five_days(world: Rehearsal, each: int) -> tuple[dict[str, int | float | str], list[str]]:
    assert world.service is not None
    world.service.stop()
    before = world.control("ledger")["acknowledged"]
    ends_at = _declare(world, LONGER_OUTAGE)
    _publish(world, each)
    _advance(world, ends_at + AFTERWARDS - world.control("clock")["now"])
    ledger = world.control("ledger")
    gap = _heartbeat_after(world.environ["DATABASE_URL"], LONGER_OUTAGE)
    world.start_service()
    _publish(world, 1)
    world.settle()
    expected = each * len(TENANTS) * len(TOPICS)
    came = world.control("ledger")["acknowledged"] - before
    (shown,) = (finding["detail"] for finding in world.run("check", "--offline") if finding["name"] == "gaps")
    broken = [
        *([f"{ledger['expired']} of {expected} were dropped"] if ledger["expired"] != expected else []),
        *([f"{came} came afterwards"] if came != len(TENANTS) * len(TOPICS) else []),
        *(["no gap was recorded"] if gap is None else []),
        *([f"check says of gaps: {shown}"] if not str(shown).startswith("1,") else []),
    ]
    lost = 0.0 if gap is None else (gap.lost_until - gap.lost_from).total_seconds() / 3600
    return {"dropped by the broker after four days": ledger["expired"], "hours in the gap": round(lost, 1)}, broken


def _books(world: Rehearsal) -> list[str]:
    rows = world.run("inbox", "list", "--limit", str(10 * NOTIFICATIONS))
    found = balance(all_items(world.emulator_url), rows, [row["id"] for row in rows])
    return [] if found.even else [f"the books differ: {found.as_json()}"]


def _declare(world: Rehearsal, seconds: float) -> float:
    """When it ends, on the emulator's clock."""
    world.control("fault", {"name": "none"})
    faults = world.control("fault", {"name": "outage", "for_s": seconds})["faults"]
    return float(faults[0]["ends_at"])


def _publish(world: Rehearsal, each: int) -> None:
    for tenant in TENANTS:
        for topic in TOPICS:
            order = {"tenant": tenant, "topic": topic, "count": each}
            call(f"{world.emulator_url}/_control/publish", order, timeout=ADVANCE_SECONDS)


def _advance(world: Rehearsal, seconds: float, *, at_once: bool = False) -> None:
    """``at_once``: in one step, so that everything due in it waits together."""
    leap = {"advance": max(0.0, seconds)} | ({"step": seconds} if at_once else {})
    call(f"{world.emulator_url}/_control/clock", leap, timeout=ADVANCE_SECONDS)


def _heartbeat_after(url: str, seconds: float) -> Gap | None:
    """What a service says that begins to work so much later. (Tokens live in real time, so a whole one cannot.)"""
    with closing(open_store(url, clock=lambda: datetime.now(UTC) + timedelta(seconds=seconds))) as store:
        return store.registry.heartbeat(MINDSPHERE, timedelta(days=BROKER_RETENTION_DAYS))


def plan(seed: int) -> bytes:
    """A digest of all messages, and of when, in which place and how often each is to be delivered."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_planned(seed, Path(folder) / "emulator.db"))


async def _planned(seed: int, state: Path) -> bytes:
    with closing(Journal(state)) as journal:
        journal.remember("clock", [MORNING, time.time(), 0.0])
    emulator = Emulator(Config(state=state, seed=seed, virtual=True))
    try:
        application = emulator.mindsphere.hosted_by(TENANTS[0])
        for tenant in TENANTS:
            for topic in TOPICS:
                key = Key(tenant, topic, application.name, application.version)
                emulator.mindsphere.subscriptions.put(key, "https://application.example/")
        count = PLANNED // len(TENANTS) // len(TOPICS)
        contexts = [(tenant,) for tenant in TENANTS]
        order = Order(contexts=contexts, topics=TOPICS, count=count, duplicate=0.3, reorder=0.3)
        await emulator.mindsphere.publisher.publish(order)
        digest = sha256()
        for table in ("messages", "deliveries"):
            for row in emulator.journal.db.execute(f"SELECT * FROM {table} ORDER BY id"):
                digest.update(repr(row).encode())
        return digest.digest()
    finally:
        emulator.journal.close()
