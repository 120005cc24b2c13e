"""Facts and channels on PostgreSQL, where several processes write at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from subscriber.errors import StoreUnavailable
from subscriber.model import Tenant
from subscriber.store import Store
from subscriber.store.postgres import open_store
from tests.store.making import ACME, channel, fact, notification
from tests.store.postgres.asking import aside, ask


def test_processes_that_write_the_same_facts_in_any_order_all_come_through(store: Store, url: str) -> None:
    facts = [fact(channel=f"c{number}") for number in range(40)]
    with closing(open_store(url)) as another, ThreadPoolExecutor(2) as threads:

        def write(store: Store, turn: int) -> int:
            given = facts if turn % 2 else [fact(b"", channel=fact_.channel) for fact_ in facts[::-1]]
            return len(store.inbox.add([notification(f"{turn}")], facts=[*given, *facts[:20]]))

        work = [threads.submit(write, (store, another)[turn % 2], turn) for turn in range(40)]
        assert [future.result() for future in work] == [1] * 40
    assert store.registry.channel_fact(ACME, "c0", "client") == b"seen"


def test_channels_put_at_once_in_any_order_are_all_kept(store: Store) -> None:
    rows = [channel(f"n{number}", tenant=Tenant("cumulocity", f"t{number % 9}")) for number in range(90)]

    def put(turn: int) -> None:
        store.registry.put_channels(rows if turn % 2 else rows[::-1])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(put, range(24)))
    assert len(store.registry.channels()) == 90


def test_an_erasure_waits_for_those_who_write_facts_and_takes_them_along(store: Store, url: str) -> None:
    store.inbox.add([notification()])
    with ThreadPoolExecutor(1) as threads, aside(url) as writing:
        writing.execute("SELECT 1 FROM tenants FOR KEY SHARE")
        writing.execute("INSERT INTO channel_facts SELECT id, 'c', 'client', 'x' FROM tenants")
        going = threads.submit(store.inbox.erase, ACME)
        writing.commit()
        assert going.result(5) == 1
    assert ask(url, "SELECT 1 FROM channel_facts") == []


def test_an_older_program_that_forgets_a_tenant_takes_its_channels_along(store: Store, url: str) -> None:
    store.inbox.add([], facts=[fact()])
    store.registry.put_channels([channel()])
    ask(url, "DELETE FROM tenants")
    assert ask(url, "SELECT 1 FROM channel_facts UNION ALL SELECT 1 FROM channels") == []


def test_a_channel_in_a_state_that_there_is_not_is_refused(store: Store) -> None:
    with pytest.raises(StoreUnavailable) as refusal:
        store.registry.put_channels([channel(), channel("odd", state="odd")])
    assert refusal.value.reason == "unstorable"
    assert store.registry.channels() == []
