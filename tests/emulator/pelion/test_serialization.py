"""What a registration may ask for, and the batches that follow."""

from __future__ import annotations

import json
from typing import Any

import pytest

from emulator.pelion.errors import Refusal
from emulator.pelion.serialization import Item, Serialization, batch, parse
from tests.emulator.pelion.conftest import FULL

PLAIN = Serialization()
CORE = '{"ep":"d1","path":"/1/2/3","ct":"text/plain","payload":"MQ==","max-age":0}'


def item(category: str = "notifications", core: str = CORE) -> Item:
    return Item(category, "d1", "cellar-07", core, "uid-1", 1_772_619_330.25)


def written(*items: Item, wishes: Serialization = PLAIN, **more: bool) -> Any:
    return json.loads(batch(items, wishes, **{"loose": False, "sparse": False, **more}))


def test_by_default_nothing_is_added_and_ends_are_bare_ids() -> None:
    found = written(item(), item("de-registrations", '{"ep":"d1"}'), item("registrations-expired", '{"ep":"d1"}'))
    assert found == {
        "notifications": [json.loads(CORE)],
        "de-registrations": ["d1"],
        "registrations-expired": ["d1"],
    }


def test_flags_add_id_time_and_name() -> None:
    extra = {"uid": "uid-1", "timestamp": 1_772_619_330_250, "original-ep": "cellar-07"}
    found = written(item(), item("de-registrations", '{"ep":"d1"}'), wishes=parse(FULL))
    assert found["notifications"] == [json.loads(CORE) | extra]
    assert found["de-registrations"] == [{"ep": "d1", **extra}]


def test_numbers_may_travel_as_text_and_optional_members_may_be_missing() -> None:
    [loose] = written(item(), wishes=parse(FULL), loose=True)["notifications"]
    assert (loose["max-age"], loose["timestamp"]) == ("0", "1772619330250")
    [sparse] = written(item(), sparse=True)["notifications"]
    assert sparse == {"ep": "d1", "path": "/1/2/3", "payload": "MQ=="}


def test_words_and_numbers_may_be_quoted() -> None:
    found = parse({"type": "v2", "max_chunk_size": "100", "cfg": {"include_uid": "true", "include_timestamp": False}})
    assert (found.max_chunk_size, found.include_uid, found.include_timestamp) == (100, True, False)
    assert parse(None) == Serialization()


@pytest.mark.parametrize(
    "asked",
    [
        [],
        {},
        {"type": "v1"},
        {"type": "v2", "max_chunk_size": 99},
        {"type": "v2", "max_chunk_size": 10_001},
        {"type": "v2", "max_chunk_size": True},
        {"type": "v2", "max_chunk_size": "many"},
        {"type": "v2", "cfg": [1]},
        {"type": "v2", "cfg": {"include_uid": "yes"}},
    ],
)
def test_what_the_contract_does_not_allow_is_refused(asked: object) -> None:
    with pytest.raises(Refusal) as caught:
        parse(asked)
    assert caught.value.status == 400
