"""The platform's objects as JSON documents: managed objects, alarms, events, measurements, operations.

One table for all kinds; ids are numbers in texts, unique over all tenants and kinds, rising. Everything is kept until
it is deleted or the emulator is reset. Who may read or write is decided elsewhere; the tenant is in every key.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from emulator.journal import Journal

Document = dict[str, object]
FIRST_ID = 5001  # above zero, so that ids look like the platform's

SCHEMA = """
CREATE TABLE IF NOT EXISTS c8y_documents (
  tenant TEXT NOT NULL, kind TEXT NOT NULL, id INTEGER NOT NULL, source TEXT NOT NULL, document BLOB NOT NULL,
  PRIMARY KEY (tenant, kind, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS c8y_documents_source ON c8y_documents (tenant, kind, source, id)
"""


class Documents:
    """The table ``c8y_documents``. Callers group writes by ``Journal.transaction``."""

    def __init__(self, journal: Journal) -> None:
        self._db = journal.db
        journal.extend(SCHEMA)
        (highest,) = self._db.execute("SELECT max(id) FROM c8y_documents").fetchone()
        kept = journal.recall("c8y_last_id")
        self._last_id = max(highest or FIRST_ID - 1, kept if isinstance(kept, int) else 0)
        self._journal = journal

    def new_id(self) -> str:
        self._last_id += 1
        return str(self._last_id)

    def put(self, tenant: str, kind: str, source: str, document: Document) -> None:
        """Keep a new or changed document under its ``id``."""
        self._db.execute(
            "INSERT INTO c8y_documents VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (tenant, kind, id) DO UPDATE SET document = excluded.document",
            (tenant, kind, int(str(document["id"])), source, orjson.dumps(document)),
        )

    def get(self, tenant: str, kind: str, id: str) -> Document | None:
        row = self._db.execute(
            "SELECT document FROM c8y_documents WHERE tenant = ? AND kind = ? AND id = ?",
            (tenant, kind, number(id)),
        ).fetchone()
        return orjson.loads(row[0]) if row else None

    def delete(self, tenant: str, kind: str, id: str) -> None:
        self._db.execute(
            "DELETE FROM c8y_documents WHERE tenant = ? AND kind = ? AND id = ?", (tenant, kind, number(id))
        )
        self._journal.remember("c8y_last_id", self._last_id)  # a deleted id must not come again

    def select(
        self, tenant: str, kind: str, source: str | None = None, *, newest_first: bool = False
    ) -> Iterator[Document]:
        """All of a tenant and kind, optionally of one source, by id; read as far as the caller goes."""
        where, values = ("", ()) if source is None else (" AND source = ?", (source,))
        order = "DESC" if newest_first else "ASC"
        rows = self._db.execute(
            f"SELECT document FROM c8y_documents WHERE tenant = ? AND kind = ?{where} ORDER BY id {order}",
            (tenant, kind, *values),
        )
        return (orjson.loads(document) for (document,) in rows)

    def clear(self) -> None:
        """Forget everything; ids begin anew, so that the seed world is always the same."""
        self._db.execute("DELETE FROM c8y_documents")
        self._last_id = FIRST_ID - 1
        self._journal.remember("c8y_last_id", self._last_id)


def number(id: str) -> int:
    """An id as the table has it; texts that cannot be one are a number nothing has."""
    return int(id) if id.isascii() and id.isdigit() and len(id) < 19 else -1
