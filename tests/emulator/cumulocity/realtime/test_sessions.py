"""What waits for a session, and what it has not confirmed."""

from __future__ import annotations

import re

from emulator.cumulocity.realtime.book import Delivery
from emulator.cumulocity.realtime.sessions import Family, Parcel, Session, Sessions


def session(*, reliable: bool = False, tenant: str = "t1", family: Family = Family.REALTIME) -> Session:
    return Session(tenant, "admin", family, "x", reliable, 0.0)


def queued(target: Session, *ids: int) -> None:
    target.queue.extend(Parcel([Delivery(id)]) for id in ids)


def ids(parcels: list[Parcel]) -> list[int]:
    return [delivery.id for parcel in parcels for delivery in parcel.deliveries]


def test_ids_are_opaque_and_of_their_own() -> None:
    first, second = session(), session()
    assert re.fullmatch("[0-9a-z]{24}", first.id) and first.id != second.id


def test_a_batch_takes_all_that_waits_and_is_forgotten() -> None:
    plain = session()
    queued(plain, 1, 2)
    batch = plain.draw()
    assert (batch.number, ids(batch.parcels)) == (0, [1, 2])
    assert plain.waiting() == [] and plain.draw().parcels == []


def test_what_could_not_be_written_goes_to_the_end_of_the_queue() -> None:
    plain = session()
    queued(plain, 1, 2)
    batch = plain.draw()
    queued(plain, 3)
    plain.put_back(batch)
    assert ids(plain.draw().parcels) == [3, 1, 2]


def test_numbered_batches_are_kept_until_they_are_confirmed() -> None:
    kept = session(reliable=True)
    queued(kept, 1)
    assert kept.draw().number == 1
    queued(kept, 2)
    assert kept.draw().number == 2
    assert [entry.id for entry in kept.confirm(1)] == [1]
    queued(kept, 3)
    again = kept.draw()
    assert (again.number, ids(again.parcels)) == (3, [2, 3])
    assert [entry.id for entry in kept.waiting()] == [2, 3]
    assert [entry.id for entry in kept.confirm(7)] == [2, 3] and kept.waiting() == []


def test_no_number_confirms_nothing() -> None:
    kept = session(reliable=True)
    queued(kept, 1, 2)
    batch = kept.draw()
    kept.put_back(batch)  # it is kept already
    assert kept.confirm(-1) == []
    assert ids(kept.draw().parcels) == [1, 2]


def test_channels_are_found_by_tenant_and_endpoint() -> None:
    sessions = Sessions()
    one, two, other = session(), session(), session(tenant="t2")
    agent = session(family=Family.OPERATIONS)
    for entry in (one, two, other, agent):
        sessions.add(entry)
        sessions.subscribe(entry, "/a", ())
    sessions.subscribe(one, "/a", ("y",))
    assert sessions.at("t1", Family.REALTIME, "/a") == [one, two]
    assert one.subscriptions == {"/a": ("y",)}
    sessions.unsubscribe(one, "/a")
    sessions.unsubscribe(one, "/a")
    sessions.remove(two)
    assert sessions.at("t1", Family.REALTIME, "/a") == [] and len(sessions) == 3
    assert sessions.get(two.id) is None and sessions.get(one.id) is one
