"""Objects as JSON: by tenant, kind and source, ids that do not come again."""

from __future__ import annotations

import pytest

from emulator.cumulocity.documents import Documents, number
from emulator.journal import Journal


def test_documents_are_found_by_tenant_and_kind_only(documents: Documents) -> None:
    documents.put("t1", "alarm", "7", {"id": "1", "text": "ü"})
    documents.put("t1", "alarm", "7", {"id": "1", "text": "changed"})
    assert documents.get("t1", "alarm", "1") == {"id": "1", "text": "changed"}
    assert documents.get("t2", "alarm", "1") is None and documents.get("t1", "event", "1") is None


def test_they_are_listed_by_id_and_source(documents: Documents) -> None:
    for id, source in (("2", "7"), ("10", "7"), ("3", "8")):
        documents.put("t1", "event", source, {"id": id})
    assert [entry["id"] for entry in documents.select("t1", "event")] == ["2", "3", "10"]
    assert [entry["id"] for entry in documents.select("t1", "event", "7", newest_first=True)] == ["10", "2"]


def test_ids_of_deleted_documents_do_not_come_again_after_a_restart(journal: Journal) -> None:
    first = Documents(journal)
    id = first.new_id()
    first.put("t1", "event", "", {"id": id})
    first.delete("t1", "event", id)
    assert int(Documents(journal).new_id()) > int(id)


def test_after_a_clearing_ids_begin_anew(documents: Documents) -> None:
    id = documents.new_id()
    documents.put("t1", "event", "", {"id": id})
    documents.clear()
    assert documents.get("t1", "event", id) is None and documents.new_id() == id


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "٣", "9" * 30])
def test_what_is_no_id_is_nothings_id(text: str) -> None:
    assert number(text) == -1
