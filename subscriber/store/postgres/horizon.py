"""Up to where arrivals are complete: below the horizon, no transaction can bring a row any more.

Rows arrive in the order of (xid, seq), but a transaction that started earlier may commit later. The oldest one that
runs anywhere on the server (``pg_snapshot_xmin``) would be a horizon, yet it may belong to another program, or to a
handler that takes its minute. So only those count that have locked the inbox for writing, as every insert does, and
as whoever accepts does before the database gives it a number (``LOCK``).

Ask first, read afterwards, in two statements: what had ended when the horizon was asked for is seen by the reader.
"""

from __future__ import annotations

from subscriber.store.postgres.driver import Connection

# The first statement of a transaction that will insert into the inbox.
LOCK = "LOCK TABLE inbox IN ROW EXCLUSIVE MODE"

# A transaction's lock on its own number says which session it is. It has none for a moment after the number was
# given: one that has none and has not ended is counted, whoever it is.
HORIZON = """
    WITH seen AS MATERIALIZED (SELECT pg_current_snapshot() AS snapshot),
    locks AS MATERIALIZED (
        SELECT locktype, transactionid, virtualtransaction FROM pg_locks
        WHERE granted AND (locktype = 'transactionid' OR (
            locktype = 'relation' AND mode = 'RowExclusiveLock' AND relation = 'inbox'::regclass
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))))
    SELECT least(pg_snapshot_xmax(snapshot), (
        SELECT running FROM pg_snapshot_xip(snapshot) AS running
        LEFT JOIN locks AS own ON own.locktype = 'transactionid' AND own.transactionid = running::xid
        WHERE CASE
            WHEN own.virtualtransaction IS NULL THEN pg_xact_status(running) = 'in progress'
            ELSE own.virtualtransaction IN (SELECT virtualtransaction FROM locks WHERE locktype = 'relation') END
        ORDER BY running LIMIT 1))::text
    FROM seen
"""


def horizon(connection: Connection) -> str:
    """The transaction number (``xid8`` as text) below which every row is there and seen from now on."""
    ((number,),) = connection.execute(HORIZON).fetchall()
    return str(number)
