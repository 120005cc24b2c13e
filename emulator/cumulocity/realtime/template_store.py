"""Which X-Id has which templates, by tenant.

"SmartREST 1.0, registration process": a collection is made once and never changed; its X-Id, or the id of the object
it is stored as, names it in later requests. Kept with the platform's other documents, so it survives a restart.
"""

from __future__ import annotations

from collections.abc import Sequence

from emulator.cumulocity.documents import Document, Documents
from emulator.cumulocity.realtime.templates import Collection, TemplateError, collection
from emulator.journal import Journal

KIND = "smartRestTemplate"


class TemplateStore:
    """In memory for use, in the state file for keeping; a tenant's are read when first asked for."""

    def __init__(self, journal: Journal, documents: Documents) -> None:
        self._journal = journal
        self._documents = documents
        self._by_name: dict[str, dict[str, Collection]] = {}

    def find(self, tenant: str, x_id: str) -> Collection | None:
        """By X-Id or by the object's id."""
        return self._of(tenant).get(x_id)

    def register(self, tenant: str, x_id: str, rows: Sequence[Sequence[str]]) -> Collection:
        """A new collection; ``TemplateError`` if the X-Id has one, or a row is wrong."""
        if self.find(tenant, x_id):
            raise TemplateError("template object already exists", 1)
        collection("", x_id, rows)  # refused before it gets an id
        document: Document = {"id": self._documents.new_id(), "xId": x_id, "rows": [list(row) for row in rows]}
        with self._journal.transaction():
            self._documents.put(tenant, KIND, "", document)
        return self._know(tenant, document)

    def _of(self, tenant: str) -> dict[str, Collection]:
        if tenant not in self._by_name:
            self._by_name[tenant] = {}
            for document in self._documents.select(tenant, KIND):
                self._know(tenant, document)
        return self._by_name[tenant]

    def _know(self, tenant: str, document: Document) -> Collection:
        rows = document["rows"]
        assert isinstance(rows, list)
        made = collection(str(document["id"]), str(document["xId"]), rows)
        self._by_name[tenant] |= {made.x_id: made, made.id: made}
        return made

    def clear(self) -> None:
        """Forget everything; the documents are ``Documents``' to forget."""
        self._by_name.clear()
