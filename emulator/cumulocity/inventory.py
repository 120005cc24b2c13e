"""Managed objects: devices and assets, their children, and what changes in them.

Core OpenAPI specification, Inventory. A managed object is a free document; the platform adds ``id``, ``owner``,
``creationTime`` and ``lastUpdated``. Children hang below by ``childDevices``, ``childAssets`` or ``childAdditions``.
A member set to null is removed by an update.
"""

from __future__ import annotations

from collections.abc import Iterator

from emulator.clock import Clock
from emulator.cumulocity.changes import Action, Change, Feed, stamp
from emulator.cumulocity.documents import Document, Documents
from emulator.cumulocity.errors import not_found, unprocessable
from emulator.journal import Journal

KIND, API = "managedObject", "managedobjects"
CHILD_KINDS = ("childDevices", "childAssets", "childAdditions")
FIXED = frozenset({"id", "self", "creationTime", "lastUpdated", *CHILD_KINDS})  # only the platform sets them

SCHEMA = """
CREATE TABLE IF NOT EXISTS c8y_children (
  tenant TEXT NOT NULL, parent TEXT NOT NULL, kind TEXT NOT NULL, child TEXT NOT NULL,
  PRIMARY KEY (tenant, parent, kind, child)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS c8y_children_child ON c8y_children (tenant, child)
"""


class Inventory:
    """Managed objects of all tenants. Every change is committed, then told to the feed."""

    def __init__(self, journal: Journal, documents: Documents, feed: Feed, clock: Clock) -> None:
        self._journal = journal
        self._documents = documents
        self._feed = feed
        self._clock = clock
        journal.extend(SCHEMA)

    # reading

    def find(self, tenant: str, id: str) -> Document | None:
        return self._documents.get(tenant, KIND, id)

    def get(self, tenant: str, id: str) -> Document:
        found = self.find(tenant, id)
        if found is None:
            raise not_found("inventory", "Finding device data from database failed")
        return found

    def all(self, tenant: str) -> Iterator[Document]:
        return self._documents.select(tenant, KIND)

    def devices(self, tenant: str, limit: int) -> list[str]:
        """Ids of the first devices, oldest first."""
        found = (str(document["id"]) for document in self.all(tenant) if "c8y_IsDevice" in document)
        return [id for id, _ in zip(found, range(limit), strict=False)]

    def ancestors(self, tenant: str, id: str) -> list[str]:
        """Everything above, by any kind of relation; never the object itself, even in a circle."""
        found: dict[str, None] = {}
        waiting = [id]
        while waiting:
            rows = self._journal.db.execute(
                "SELECT DISTINCT parent FROM c8y_children WHERE tenant = ? AND child = ?", (tenant, waiting.pop())
            )
            fresh = [parent for (parent,) in rows if parent not in found and parent != id]
            found.update(dict.fromkeys(fresh))
            waiting += fresh
        return list(found)

    def children(self, tenant: str, parent: str, kind: str) -> list[str]:
        rows = self._journal.db.execute(
            "SELECT child FROM c8y_children WHERE tenant = ? AND parent = ? AND kind = ?", (tenant, parent, kind)
        )
        return [child for (child,) in rows]

    # changing

    def create(self, tenant: str, owner: str, members: Document) -> Document:
        now = stamp(self._clock.now())
        given = {name: value for name, value in members.items() if name not in FIXED and value is not None}
        document = {"id": self._documents.new_id(), "owner": owner, "creationTime": now, "lastUpdated": now, **given}
        with self._journal.transaction():
            self._documents.put(tenant, KIND, "", document)
        self._feed.emit(Change(tenant, API, Action.CREATE, str(document["id"]), document, document.get("type")))
        return document

    def update(self, tenant: str, id: str, members: Document) -> Document:
        """Given members replace those of the same name, null removes one."""
        document = self.get(tenant, id)
        document |= {name: value for name, value in members.items() if name not in FIXED}
        document = {name: value for name, value in document.items() if value is not None}
        document["lastUpdated"] = stamp(self._clock.now())
        with self._journal.transaction():
            self._documents.put(tenant, KIND, "", document)
        self._feed.emit(Change(tenant, API, Action.UPDATE, id, document, document.get("type")))
        return document

    def delete(self, tenant: str, id: str) -> None:
        """Gone with its relations; what hangs below it stays."""
        document = self.get(tenant, id)
        with self._journal.transaction() as db:
            self._documents.delete(tenant, KIND, id)
            db.execute("DELETE FROM c8y_children WHERE tenant = ? AND ? IN (parent, child)", (tenant, id))
        self._feed.emit(Change(tenant, API, Action.DELETE, id, {"id": id}, document.get("type")))

    def adopt(self, tenant: str, parent: str, kind: str, child: str) -> Document:
        """Hang ``child`` below ``parent``; the answer is the child."""
        self.get(tenant, parent)
        document = self.find(tenant, child)
        if document is None or child == parent:
            raise unprocessable("inventory", "the child is not another managed object of this tenant")
        self._journal.db.execute(
            "INSERT OR IGNORE INTO c8y_children VALUES (?, ?, ?, ?)", (tenant, parent, kind, child)
        )
        return document

    def release(self, tenant: str, parent: str, kind: str, child: str) -> None:
        done = self._journal.db.execute(
            "DELETE FROM c8y_children WHERE tenant = ? AND parent = ? AND kind = ? AND child = ?",
            (tenant, parent, kind, child),
        )
        if done.rowcount == 0:
            raise not_found("inventory", "no such child")

    def clear(self) -> None:
        """Forget all relations; the objects are ``Documents``' to forget."""
        self._journal.db.execute("DELETE FROM c8y_children")
