"""A team's handlers for journeys: each notification leaves one row in the service's own database.

Ordered and transactional, so the rows say how often and in which order handlers took effect.
"""

from __future__ import annotations

from subscriber.handlers import Notification, Route
from subscriber.routes import RunningAttempt

SCHEMA = """
    CREATE TABLE effects (
        number bigserial PRIMARY KEY, id text NOT NULL, tenant text NOT NULL, source text NOT NULL
    )
"""


def note(notification: Notification, attempt: RunningAttempt) -> None:
    attempt.cursor.execute(
        "INSERT INTO effects (id, tenant, source) VALUES (%s, %s, %s)",
        (notification.id, str(notification.tenant), notification.source),
    )


routes = [Route(handler=note, ordered=True, transactional=True)]
