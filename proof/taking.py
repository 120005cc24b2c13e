"""A team's handlers for the ledger runs: each notification leaves its id in the service's own database, once or not.

The rows carry no constraint, so an effect that happened twice is there twice. Values that Pelion's devices report are
kept and no more: most of a run, at a tenth of the cost.
"""

from __future__ import annotations

from subscriber.handlers import Route, keep
from subscriber.model import PELION, Notification
from subscriber.routes import RunningAttempt

TABLE = "CREATE TABLE taken (id text NOT NULL)"
TAKEN = "SELECT id FROM taken"
KEPT = "notifications"  # Pelion's topic of what is only kept


def on_sqlite(notification: Notification, attempt: RunningAttempt) -> None:
    attempt.cursor.execute("INSERT INTO taken VALUES (?)", (notification.id,))


def on_postgresql(notification: Notification, attempt: RunningAttempt) -> None:
    attempt.cursor.execute("INSERT INTO taken VALUES (%s)", (notification.id,))


_kept = Route(platform=PELION, topic=KEPT, handler=keep)
sqlite_routes = [_kept, Route(handler=on_sqlite, transactional=True)]
postgresql_routes = [_kept, Route(handler=on_postgresql, transactional=True)]
