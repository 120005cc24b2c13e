"""Leave no byte of what was deleted, in no file of the database.

Deleting zeroes what it frees (``secure_delete``), yet pages that were split or rewritten before may still hold old
copies, and so may the log. So the database is rebuilt from its living rows and copied over itself. SQLite's own
``VACUUM`` would do the same in memory with the driver we use, which takes as much of it as the database is large;
``VACUUM INTO`` a file and a backup from there take next to none.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from subscriber.errors import StoreBusy
from subscriber.store.sqlite.driver import Connection, open_copy

SUFFIX = ".compact"  # of the file beside the database, there only while this runs


def compact(path: str, connection: Connection) -> None:
    """Rebuild the database. ``connection`` is the writer's, outside any transaction.

    Needs as much room on the disk as the database and its copy in the log. Raises ``StoreBusy`` if a reader holds
    on to the old pages: what was deleted is deleted, and running it again finishes the job.
    """
    rebuilt = Path(path + SUFFIX)
    rebuilt.unlink(missing_ok=True)  # one that a crash left behind
    try:
        connection.execute("VACUUM INTO ?", (str(rebuilt),))
        with closing(open_copy(str(rebuilt))) as source:
            source.backup(connection)
    finally:
        rebuilt.unlink(missing_ok=True)
    empty_log(connection)


def empty_log(connection: Connection) -> None:
    """Move everything from the log into the database and cut it to nothing."""
    (blocked, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if blocked:
        raise StoreBusy("a reader holds on to deleted pages; run it again to wipe them")
