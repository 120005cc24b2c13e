"""Which X-Id has which templates."""

from __future__ import annotations

import pytest

from emulator.cumulocity.documents import Documents
from emulator.cumulocity.realtime.template_store import TemplateStore
from emulator.cumulocity.realtime.templates import TemplateError
from emulator.journal import Journal

ROWS = [("11", "100", "", "$.a", "$.b")]


def test_a_collection_is_found_by_name_and_by_id_in_its_tenant_only(journal: Journal, documents: Documents) -> None:
    store = TemplateStore(journal, documents)
    made = store.register("t1", "x", ROWS)
    assert store.find("t1", "x") == store.find("t1", made.id) == made
    assert store.find("t2", "x") is None and store.find("t1", "y") is None


def test_a_collection_is_made_once_and_a_wrong_one_leaves_nothing(journal: Journal, documents: Documents) -> None:
    store = TemplateStore(journal, documents)
    with pytest.raises(TemplateError):
        store.register("t1", "x", [("11", "100", "", "", "$..b")])
    store.register("t1", "x", ROWS)
    with pytest.raises(TemplateError, match="already exists"):
        store.register("t1", "x", ROWS)


def test_collections_are_kept(journal: Journal, documents: Documents) -> None:
    made = TemplateStore(journal, documents).register("t1", "x", ROWS)
    again = TemplateStore(journal, Documents(journal))
    assert again.find("t1", "x") == made
    documents.clear()
    again.clear()
    assert again.find("t1", "x") is None
