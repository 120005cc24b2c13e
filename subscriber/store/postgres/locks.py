"""Named locks with fencing numbers, by the database's clock; see ``Registry.acquire`` and ``store.Fence``.

Work done under a lock keeps the lock's row FOR KEY SHARE until it commits. Whoever takes the lock over takes the row
FOR UPDATE first, so that every write of the former holder is committed before the new one begins, and none follows.
Renewing a lock changes no key of the row and waits for neither.
"""

from __future__ import annotations

from subscriber.store import Fence
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.driver import Connection

MAKE = "INSERT INTO locks (name, holder, until, fencing) VALUES (%s, '', 0, 0) ON CONFLICT (name) DO NOTHING"
# One after another: whoever comes second sees what the first one made of it.
QUEUE = "SELECT holder, until, fencing FROM locks WHERE name = %s FOR NO KEY UPDATE"
AFTER_THE_WRITERS = "SELECT 1 FROM locks WHERE name = %s FOR UPDATE"
KEEP = "UPDATE locks SET holder = %s, until = %s, fencing = %s WHERE name = %s"
# The row stays: its fencing number must never start again.
RELEASE = "UPDATE locks SET until = 0 WHERE name = %s AND holder = %s"
HELD = """
    SELECT 1 FROM locks WHERE name = %(lock)s AND holder = %(holder)s AND fencing = %(fencing)s FOR KEY SHARE
"""


def acquire(database: Database, name: str, holder: str, seconds: float, connection: Connection) -> int | None:
    """Whoever holds the lock keeps its fencing number; whoever takes it, also over from itself, gets the next."""
    row = connection.execute(QUEUE, (name,)).fetchone()
    if row is None:
        connection.execute(MAKE, (name,))
        row = connection.execute(QUEUE, (name,)).fetchone()
    assert row is not None, "rows of locks are never deleted"
    last_holder, until, fencing = row
    now = database.now(connection)  # asked now that it is our turn: waiting for it took time
    held = until > now
    if held and last_holder != holder:
        return None
    if not held:
        connection.execute(AFTER_THE_WRITERS, (name,))
        now = database.now(connection)
    fencing = int(fencing) + (not held)
    connection.execute(KEEP, (holder, now + int(seconds * 1000), fencing, name))
    return fencing


def release(name: str, holder: str, connection: Connection) -> None:
    connection.execute(RELEASE, (name, holder))


def held(fence: Fence | None, connection: Connection) -> bool:
    """Is the lock still the holder's, with the same number? Then it stays so until the commit.

    Without a fence nobody asks.
    """
    if fence is None:
        return True
    return connection.execute(HELD, fence_values(fence)).fetchone() is not None


def fence_values(fence: Fence) -> dict[str, str | int]:
    """The values of ``HELD``."""
    return {"lock": fence.name, "holder": fence.holder, "fencing": fence.number}
