"""Dead letters read again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from subscriber.errors import MalformedDelivery, NotReadable
from subscriber.model import Outcome, Tenant
from subscriber.rereading import accept_again, read_again
from subscriber.store import Store
from tests.store.conftest import clock, path, store, url
from tests.store.making import ACME, letter

__all__ = ["clock", "path", "store", "url"]

BODY = (Path(__file__).parent / "samples" / "mindsphere" / "asset_update.json").read_bytes()


def test_what_can_be_read_now_is_accepted_once(store: Store) -> None:
    readable = replace(letter(), body=BODY)
    assert [receipt.outcome for receipt in accept_again(store.inbox, readable, ())] == [Outcome.NEW]
    assert [receipt.outcome for receipt in accept_again(store.inbox, readable, ())] == [Outcome.DUPLICATE]


def test_only_what_is_for_the_letters_tenant_is_read() -> None:
    foreign = replace(letter(tenant=Tenant("mindsphere", "custzz")), body=BODY)
    assert read_again(foreign, ()) == []
    assert [one.tenant for one in read_again(foreign, ("custzz",))] == [ACME]


def test_what_is_still_not_readable_is_said_to_be_so() -> None:
    with pytest.raises(MalformedDelivery):
        read_again(letter(), ())


def test_without_a_body_or_a_codec_there_is_nothing_to_read() -> None:
    with pytest.raises(NotReadable, match="no body"):
        read_again(replace(letter(), body=None), ())
    for platform in ("cumulocity", "smartrest", "pelion"):
        with pytest.raises(NotReadable, match=f"deliveries of {platform} cannot be read again"):
            read_again(letter(tenant=Tenant(platform, "t1")), ())
