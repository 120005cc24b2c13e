"""A team's handlers for the ledger runs: each notification leaves its id in the service's own database, once or not.

The rows carry no constraint, so an effect that happened twice is there twice.
"""

from __future__ import annotations

from subscriber.handlers import Route
from subscriber.model import Notification
from subscriber.routes import RunningAttempt

TABLE = "CREATE TABLE taken (id text NOT NULL)"
TAKEN = "SELECT id FROM taken"


def on_sqlite(notification: Notification, attempt: RunningAttempt) -> None:
    attempt.cursor.execute("INSERT INTO taken VALUES (?)", (notification.id,))


def on_postgresql(notification: Notification, attempt: RunningAttempt) -> None:
    attempt.cursor.execute("INSERT INTO taken VALUES (%s)", (notification.id,))


sqlite_routes = [Route(handler=on_sqlite, transactional=True)]
postgresql_routes = [Route(handler=on_postgresql, transactional=True)]
