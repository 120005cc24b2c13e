"""(h) Does a page or an API call take longer when the inbox is large? 10,000 rows and 5,000,000, of 500 tenants each.

The two databases are alike but for their handled rows: the same tenants, the same rows that wait and that died, and
the same counters of a minute, as many as 500 busy tenants have in a week. Each address is asked of both in turn.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pysqlite3
from flask import Flask

import migrations
from bench.report import line, paired
from bench.world import APP, HOST, World
from subscriber import services
from subscriber.model import to_millis
from subscriber.settings import Settings
from subscriber.store import Retention
from subscriber.web import create_app

FEW, MANY = 10_000, int(os.environ.get("MANY_ROWS", "5000000"))
TENANTS = 500
ROUNDS = int(os.environ.get("ROUNDS", "15"))
WEEK = timedelta(days=7)
MINUTES = 7 * 24 * 60
TOPIC = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"
KEEP = Retention(horizon=52 * WEEK, payload=52 * WEEK, dead=52 * WEEK, tombstone=52 * WEEK)
TENANT = "c00007"  # the one with half of the rows

TENANT_ROWS = """
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :tenants)
    INSERT INTO tenants (platform, name, state, since) SELECT 'mindsphere', printf('c%05d', i), 'active', 0 FROM n
"""
# Handled rows of a week, then 200 that died and 100 that wait for their next attempt. Half of all are one tenant's,
# who fills a page and all that one page looks at in the small inbox already; each source has five.
INBOX_ROWS = """
    WITH RECURSIVE n (i, at) AS (SELECT 1, :start UNION ALL SELECT i + 1, :start + :span * (i + 1) / :count FROM n
        WHERE i < :count)
    INSERT INTO inbox (tenant_id, key, identity, topic, channel, source, action, occurred_at, received_at, state,
                       attempts, not_before, settled_at, reason, body)
    SELECT CASE i % 2 WHEN 1 THEN 7 ELSE 1 + i % :tenants END,
           CAST(unhex(printf('%012x', at)) || randomblob(16) AS BLOB), 'timed', :topic, '',
           'm-' || (i % (:count / 5)), 'UPDATE', at, at,
           CASE WHEN i > :count - 100 THEN 'pending' WHEN i > :count - 300 THEN 'dead' ELSE 'done' END,
           1, at, CASE WHEN i > :count - 100 THEN NULL ELSE at END,
           CASE WHEN i > :count - 300 THEN 'refused' ELSE '' END,
           x'7b2261223a317d'
    FROM n
"""
COUNTERS = """
    WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :minutes * :tenants - 1)
    INSERT INTO minutes (minute, tenant_id, event, writer, count)
    SELECT :minute + i / :tenants, 1 + i % :tenants, event, 0, 1 FROM n
    CROSS JOIN (SELECT 'accepted' AS event UNION ALL SELECT 'done') ON true WHERE true
    ON CONFLICT DO UPDATE SET count = excluded.count
"""
LETTERS = """
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
    INSERT INTO dead_letters (tenant_id, reason, digest, detail, buried_at, last_at, body)
    SELECT 1 + i % :tenants, 'malformed', randomblob(16), 'not JSON', :start, :start, x'7b' FROM n
"""
OPERATOR = ("", "?period=24h", "?period=7d", "inbox", "inbox?state=dead", "inbox?state=pending")
OPERATOR += (f"inbox?tenant={TENANT}", f"inbox?tenant={TENANT}&source=m-7", "inbox?topic=none", "dead", "letters")
OPERATOR += ("subscriptions", "tenants", f"tenants/mindsphere/{TENANT}?period=7d", "channels", "pauses", "live")
OPERATOR += ("live/events", "health", "actions")
READER = ("/api/notifications", "/api/notifications?state=dead", "/api/notifications?source=m-7")
READER += ("/api/notifications?topic=none", "/api/openapi.json")


class Site:
    """The application over one database."""

    def __init__(self, world: World, folder: Path, count: int) -> None:
        environ = world.environ(folder, DATABASE_URL=f"sqlite:///{folder}/{count}.db")
        fill(folder / f"{count}.db", count)
        self.services = services.build(Settings.from_environ(environ))
        while not summed(folder / f"{count}.db"):
            self.services.store.inbox.prune(KEEP)
        self._app: Flask = create_app(self.services)
        self._client = self._app.test_client()
        operate = world.token(ten=HOST, scope=[f"{APP}.operate"], user_name="ann")
        read = world.token(ten=TENANT, scope=[f"{APP}.read"])
        self._tokens = {True: operate, False: read}

    def ask(self, path: str) -> float:
        """Milliseconds for one answer."""
        headers = {"Authorization": f"Bearer {self._tokens[path.startswith('/console')]}", "Accept": "text/html"}
        started = time.perf_counter()
        answer = self._client.get(path, headers=headers)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:200])
        return (time.perf_counter() - started) * 1000

    def one(self) -> str:
        """The address of a notification, below the console."""
        page = self._client.get(
            f"/console/inbox?tenant={TENANT}", headers={"Authorization": f"Bearer {self._tokens[True]}"}
        ).text
        found = re.search(r'href="\./(inbox/mindsphere/[^"?]+)"', page)
        assert found
        return found[1]

    def close(self) -> None:
        self.services.store.close()


def main() -> None:
    world = World()
    with tempfile.TemporaryDirectory() as name:
        sites = {count: Site(world, Path(name), count) for count in (FEW, MANY)}
        worst = 0.0
        for page, few, many in measured(sites):
            slowdown = paired(many, few)
            worst = max(worst, slowdown)
            line("pages", page, median(many), "ms", vs=f"{FEW} rows", ratio=slowdown, n=ROUNDS)
        for site in sites.values():
            site.close()
    line("pages", "worst", worst, "times", vs=f"{FEW} rows", ratio=worst, n=ROUNDS)
    world.close()


def measured(sites: dict[int, Site]) -> Iterator[tuple[str, list[float], list[float]]]:
    """(address, milliseconds with few rows, milliseconds with many)."""
    shared = [f"/console/{path}" for path in OPERATOR] + list(READER)
    own = {count: site.one() for count, site in sites.items()}
    for page in [*shared, "notification"]:
        times: dict[int, list[float]] = {count: [] for count in sites}
        for number in range(ROUNDS + 2):
            for count, site in sites.items():
                took = site.ask(f"/console/{own[count]}" if page == "notification" else page)
                if number >= 2:  # the first ones fill the caches
                    times[count].append(took)
        yield page, times[FEW], times[MANY]


def fill(path: Path, count: int) -> None:
    migrations.apply(f"sqlite:///{path}")
    now = datetime.now(UTC)
    start = to_millis(now - WEEK)
    known = {
        "tenants": TENANTS,
        "count": count,
        "start": start,
        "span": 7 * 86_400_000 - 1000,
        "topic": TOPIC,
        "minutes": MINUTES,
        "minute": start // 60_000,
    }
    connection = pysqlite3.connect(path)
    with connection:
        connection.execute("PRAGMA synchronous = OFF")
        for statement in (TENANT_ROWS, INBOX_ROWS, COUNTERS, LETTERS):
            connection.execute(statement, known)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def summed(path: Path) -> bool:
    """Are the quarters of an hour summed that are over?"""
    connection = pysqlite3.connect(path)
    ((last,),) = connection.execute("SELECT coalesce(max(quarter), 0) FROM quarters").fetchall()
    connection.close()
    return bool(last >= time.time() // 900 - 2)
