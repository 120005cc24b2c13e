"""What this application does with its notifications: the file to change.

Write a function ``def handler(notification, attempt)`` and give it a line in ``routes`` below; the first line that
matches wins, a notification that none matches is dead as ``unrouted``. A handler

- returns None or ``Done()`` when its work is done,
- returns ``Retry(at, reason)`` to run again at a time (an aware datetime; None: by the retry policy),
- returns ``Dead(reason)`` to give up; an operator may replay it,
- may raise anything: it runs again, later and later, until its attempts run out.

Most notifications are hints: ``attempt.platform.get(path, params)`` reads the state they point to, in the name of the
notification's tenant.

It may run twice for the same notification, for example after a crash: use ``notification.id`` to make that harmless,
or write with ``attempt.cursor`` on a ``Route(transactional=True, ...)``: then what it writes and the end of the
notification are one transaction, and stay exactly once. ``Route(ordered=True, ...)`` keeps the order of each source.

A function ``def on_tenant(tenant, joined)`` in this module is called when a customer gets the application (``joined``
True) or has lost it: at least once for each, and again, later and later, when it raises.
"""

from __future__ import annotations

from subscriber.model import Dead, Done, Notification, Retry
from subscriber.routes import Route, RunningAttempt

__all__ = ["Dead", "Done", "Retry", "Route", "keep", "routes"]


def keep(notification: Notification, attempt: RunningAttempt) -> None:
    """Nothing more to do: the notification is stored, and visible in lists and pages."""


routes = [
    Route(handler=keep),
]
