"""A team's handler for journeys: each notification of a device leaves one row in the service's own database.

Ordered and transactional, so the rows say how often handlers took effect, and in which order for each device.
"""

from __future__ import annotations

from subscriber.handlers import Notification, Route
from subscriber.routes import RunningAttempt

SCHEMA = "CREATE TABLE taken (number {serial}, id text NOT NULL, source text NOT NULL, fact bigint NOT NULL)"
SQLITE = SCHEMA.format(serial="INTEGER PRIMARY KEY AUTOINCREMENT")
POSTGRESQL = SCHEMA.format(serial="bigserial PRIMARY KEY")
INSERT = "INSERT INTO taken (id, source, fact) VALUES ({0}, {0}, {0})"
TAKEN = "SELECT id, source, fact FROM taken ORDER BY number"


def _note(placeholder: str, notification: Notification, attempt: RunningAttempt) -> None:
    """The platform numbers what devices report: a later fact has the larger number."""
    about = (notification.id, notification.source, int(notification.payload["id"]))
    attempt.cursor.execute(INSERT.format(placeholder), about)


def on_sqlite(notification: Notification, attempt: RunningAttempt) -> None:
    _note("?", notification, attempt)


def on_postgresql(notification: Notification, attempt: RunningAttempt) -> None:
    _note("%s", notification, attempt)


sqlite_routes = [Route(platform="cumulocity", handler=on_sqlite, ordered=True, transactional=True)]
postgresql_routes = [Route(platform="cumulocity", handler=on_postgresql, ordered=True, transactional=True)]
