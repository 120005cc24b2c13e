"""The books of a large run: the platforms' ledger, the inbox and the effects, each read as a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from hashlib import sha256
from typing import Any, NamedTuple

from emulator.balance import Balance, balance
from emulator.cumulocity.realtime.rehearsal import as_stored
from emulator.demo import each_item
from proof.ledgers.party import Party
from proof.taking import KEPT
from subscriber.model import State
from subscriber.store import Reports, Row, RowFilter, open_store
from tests.journeys.rehearsal import EVENTS

PAGE_ROWS = 1000
MOST_GAPS = 10_000  # one for each disturbance of many hours
WANTED_ZERO = ("lost", "unacknowledged", "invented", "handled_twice", "unhandled")


class Books(NamedTuple):
    """``published``: by platform. ``again``: events that were taken as new facts. ``gaps``: how many are told."""

    balance: Balance
    published: Mapping[str, int]
    again: int
    gaps: int
    broken: list[str]


def books_of(party: Party, taken: Iterable[str]) -> Books:
    """``taken``: the id of each effect of a transactional handler. What is only kept has had its effect when done."""
    published: Counter[str] = Counter()
    again: Counter[str] = Counter()
    with closing(open_store(party.environ["DATABASE_URL"])) as store:
        rows = _listed(_rows(store.reports), again)
        gaps = len(store.registry.gaps(MOST_GAPS))
        found = balance(_sent(party, published), rows, taken)
    broken = [f"{getattr(found, name):,} {name}" for name in WANTED_ZERO if getattr(found, name)]
    if found.admitted_twice != again[EVENTS]:
        broken.append(f"{found.admitted_twice:,} admitted twice, {again[EVENTS]:,} of them events that may")
    broken += [f"check says {one['name']}: {one['detail']}" for one in party.run("check", "--offline") if _bad(one)]
    return Books(found, published, again[EVENTS], gaps, broken)


def _sent(party: Party, published: Counter[str]) -> Iterator[Mapping[str, Any]]:
    for item in each_item(party.emulator_url):
        published[item.get("platform", "mindsphere")] += 1
        yield as_stored(item)


def _rows(reports: Reports) -> Iterator[Row]:
    before = None
    while True:
        page = reports.rows(RowFilter(), PAGE_ROWS, before)
        yield from page.rows
        if (before := page.next) is None:
            return


def _listed(rows: Iterable[Row], again: Counter[str]) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        notification = row.notification
        again[notification.topic] += bool(notification.repeat)
        body = notification.body or b""
        yield {
            "id": notification.id,
            "tenant": f"{notification.tenant.platform}/{notification.tenant.name}",
            "body_sha256": sha256(body).hexdigest(),
            **({"handled": row.state is State.DONE} if notification.topic == KEPT else {}),
        }


def _bad(finding: Mapping[str, Any]) -> bool:
    return not finding["ok"] and finding["name"] != "gaps"  # a gap is an answer here, not a fault
