"""(b) Does remembering more keys make accepting slower? 8 notifications a commit, at 10,000 and at 5,000,000 keys.

Both databases are written in turn, so that what the machine does meanwhile happens to both.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from statistics import median

import pysqlite3

import migrations
from bench.report import line, paired
from subscriber.model import Identity, Notification, Tenant, to_millis
from subscriber.store import Store, open_store

FEW, MANY = 10_000, int(os.environ.get("MANY_KEYS", "5000000"))
ROUNDS = 7
COMMITS = 250
PER_COMMIT = 8
BODY = b'{"asset":{"id":"%d","description":"' + b"x" * 540 + b'"}}'
TENANTS = [Tenant("mindsphere", name) for name in ("acmeop", "custaa", "custbb", "custcc")]
ASSETS = 2_000  # objects that notifications are about
TOPIC = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"

# Handled rows of the last seven days, bodies already pruned, keys as the codec makes them: time, then digest.
FILL = """
WITH RECURSIVE n(i, at) AS (SELECT 1, :start UNION ALL SELECT i + 1, at + :step FROM n WHERE i < :count)
INSERT INTO inbox (tenant_id, key, identity, topic, channel, source, action, occurred_at, received_at, state,
                   attempts, not_before, settled_at, body)
SELECT i % 4 + 1, CAST(unhex(printf('%012x', at)) || randomblob(16) AS BLOB), 'timed', :topic, '', 'm-' || (i % 2000),
       'UPDATE', at, at, 'done', 1, at, at, NULL
FROM n
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        stores = {count: filled(Path(name) / f"{count}.db", count) for count in (FEW, MANY)}
        rates: dict[int, list[float]] = {count: [] for count in stores}
        source = notifications()
        for number in range(ROUNDS + 1):
            for count, store in stores.items():
                rate = accepts(store, source)
                if number:  # the first round fills the caches
                    rates[count].append(rate)
        for store in stores.values():
            store.close()
    slowdown = paired(rates[FEW], rates[MANY])
    line("keys", f"rows_per_second_at_{FEW}", median(rates[FEW]), "1/s", n=ROUNDS)
    line("keys", f"rows_per_second_at_{MANY}", median(rates[MANY]), "1/s", n=ROUNDS)
    line("keys", "slowdown", slowdown, "times", vs=f"{FEW} keys", ratio=slowdown, n=ROUNDS)


def filled(path: Path, count: int) -> Store:
    url = f"sqlite:///{path}"
    migrations.apply(url)
    store = open_store(url)
    for tenant in TENANTS:
        store.registry.put_tenant(tenant, "active")
    start = to_millis(datetime.now(UTC) - timedelta(days=7))
    connection = pysqlite3.connect(path)
    with connection:
        connection.execute("PRAGMA synchronous = OFF")
        step = 7 * 86_400_000 // count
        connection.execute(FILL, {"count": count, "start": start, "step": step, "topic": TOPIC})
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return store


def notifications() -> Iterator[Notification]:
    number = 0
    while True:
        number += 1
        now = datetime.now(UTC)
        body = BODY % number
        yield Notification(
            tenant=TENANTS[number % len(TENANTS)],
            key=to_millis(now).to_bytes(6, "big") + blake2b(body, digest_size=16).digest(),
            identity=Identity.TIMED,
            topic=TOPIC,
            source=f"m-{number % ASSETS}",
            action="UPDATE",
            occurred_at=now,
            received_at=now,
            body=body,
        )


def accepts(store: Store, source: Iterator[Notification]) -> float:
    batches = [[next(source) for _ in range(PER_COMMIT)] for _ in range(COMMITS)]
    started = time.perf_counter()
    for batch in batches:
        store.inbox.add(batch)
    return COMMITS * PER_COMMIT / (time.perf_counter() - started)
