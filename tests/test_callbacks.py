"""Pelion's callbacks: who is believed, what is kept, what is the last one again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import migrations
from subscriber.callbacks import WAITING_CALLBACKS, Callback, Callbacks
from subscriber.errors import InvalidToken, Overloaded, RefusedDelivery, StoreUnavailable
from subscriber.intake import Kept
from subscriber.model import Tenant
from subscriber.platforms.pelion.callback import SECRET_HEADER
from subscriber.platforms.pelion.resends import number_value
from subscriber.settings import PelionChannel
from subscriber.store import RowFilter, Store, open_store
from tests.platforms.pelion.samples import GATE, message, value
from tests.servers.postgres import shared

START = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
CELLAR = Tenant("pelion", "cellar")
CHANNELS = [
    PelionChannel(name="cellar", api_key="ak_1", host="https://h", mode="callback", headers=(("X-Site", "north"),)),
    PelionChannel(name="gate", api_key="ak_2", host="https://h", mode="callback"),
]
HEADERS = {name.lower(): text for name, text in CHANNELS[0].callback_headers.items()}
LONG = 20.0  # seconds for what takes a moment
VALUES = message(notifications=[value(), value(payload="Mg==")])


class Front:
    """Callbacks over a real store. Times are whatever ``now`` says."""

    def __init__(self, url: str, **options: Any) -> None:
        migrations.apply(url)
        self.store: Store = open_store(url)
        self.now = START
        self.callbacks = self.process(**options)

    def process(self, **options: Any) -> Callbacks:
        """As another process sees the same store."""
        options = {"doubt_seconds": 0.0} | options
        return Callbacks(self.store.inbox, self.store.registry, CHANNELS, lambda: self.now, **options)

    def read(self, body: bytes) -> Callback:
        self.now += timedelta(seconds=1)
        return self.callbacks.read(CELLAR, body)

    def deliver(self, body: bytes, *, answered: bool = True) -> Kept:
        """``answered``: the answer leaves in time."""
        callback = self.read(body)
        kept = self.callbacks.keep(callback)
        if answered:
            self.callbacks.answered(callback, 0.1)
            self.await_note(callback)
        return kept

    def await_note(self, callback: Callback) -> None:
        """That an answer has left is written down a moment later."""
        give_up_at = time.monotonic() + LONG
        while callback.number and self.fact("answered") != number_value(callback.number):
            assert time.monotonic() < give_up_at, "the note does not come"
            time.sleep(0.002)

    def fact(self, name: str) -> bytes:
        return self.store.registry.channel_fact(CELLAR, "cellar", name)

    def bodies(self) -> list[Any]:
        rows = self.store.reports.rows(RowFilter(tenant=CELLAR), 1000).rows
        return [row.notification.payload for row in reversed(rows)]

    def letters(self) -> list[Any]:
        return self.store.reports.dead_letters(CELLAR, 100)


def sqlite_in(folder: str | Path) -> str:
    return f"sqlite:///{folder}/inbox.db"


# What is remembered of a channel is the store's business, so each store shows that it remembers.
BOTH_STORES = pytest.mark.parametrize("front", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    on_postgres = getattr(request, "param", "sqlite") == "postgres"
    url = shared().fresh() if on_postgres else sqlite_in(tmp_path)
    made = Front(url)
    yield made
    made.store.close()
    if on_postgres:
        shared().drop(url)


def refused(callbacks: Callbacks, channel: str, headers: dict[str, str], names: list[str]) -> str:
    with pytest.raises(InvalidToken) as caught:
        callbacks.authenticate(channel, headers, names)
    return caught.value.reason


def test_a_callback_with_all_headers_of_its_channel_is_believed(front: Front) -> None:
    assert front.callbacks.authenticate("cellar", {**HEADERS, "accept": "*/*"}, []) == CELLAR


@pytest.mark.parametrize(
    ("channel", "headers", "reason"),
    [
        ("cellar", {}, "callback_secret"),
        ("cellar", HEADERS | {SECRET_HEADER.lower(): ""}, "callback_secret"),
        ("cellar", HEADERS | {SECRET_HEADER.lower(): "wrong"}, "callback_secret"),
        ("cellar", HEADERS | {SECRET_HEADER.lower(): "\xe4"}, "callback_secret"),
        ("gate", HEADERS, "callback_secret"),
        ("nobody", HEADERS, "callback_secret"),
        ("nobody", {}, "callback_secret"),
        ("cellar", {SECRET_HEADER.lower(): HEADERS[SECRET_HEADER.lower()]}, "callback_headers"),
        ("cellar", HEADERS | {"x-site": "south"}, "callback_headers"),
    ],
)
def test_any_other_is_not(front: Front, channel: str, headers: dict[str, str], reason: str) -> None:
    assert refused(front.callbacks, channel, headers, []) == reason


@pytest.mark.parametrize("names", [[], ["somebody.example"], ["notify.example", "somebody.example"]])
def test_where_a_client_certificate_is_demanded_it_is_the_service_s(front: Front, names: list[str]) -> None:
    demanding = front.process(client_cn="notify.example")
    assert refused(demanding, "cellar", HEADERS, names) == "client_certificate"
    assert demanding.authenticate("cellar", HEADERS, ["notify.example"]) == CELLAR


def test_a_client_certificate_alone_proves_nothing(front: Front) -> None:
    demanding = front.process(client_cn="notify.example")
    assert refused(demanding, "cellar", {}, ["notify.example"]) == "callback_secret"


@pytest.mark.parametrize("body", [b"", b"{}"])
@BOTH_STORES
def test_a_probe_is_no_delivery(front: Front, body: bytes) -> None:
    assert front.deliver(body) is Kept.PROBE
    assert front.bodies() == [] and front.letters() == []


@BOTH_STORES
def test_items_are_kept_and_known_again(front: Front) -> None:
    body = message(notifications=[value(uid="u-1")], async_responses=[{"id": "r-1", "status": 200}])
    assert (front.deliver(body), front.deliver(body)) == (Kept.ACCEPTED, Kept.DUPLICATE)
    assert len(front.bodies()) == 2


@BOTH_STORES
def test_what_cannot_be_read_is_kept_beside_what_can(front: Front) -> None:
    assert front.deliver(message(notifications=[value(), {"path": "/1"}])) is Kept.DEAD_LETTER
    assert front.deliver(b"not json") is Kept.DEAD_LETTER
    assert len(front.bodies()) == 1
    assert sorted(letter.letter.body for letter in front.letters()) == [b"not json", b'{"path": "/1"}']


@BOTH_STORES
def test_an_id_with_another_content_is_set_aside(front: Front) -> None:
    front.deliver(message(notifications=[value(uid="u-1")]))
    assert front.deliver(message(notifications=[value(uid="u-1", payload="Mg==")])) is Kept.DEAD_LETTER
    assert [letter.letter.reason for letter in front.letters()] == ["conflicting_duplicate"]


@BOTH_STORES
def test_a_callback_refused_unread_leaves_a_trace(front: Front) -> None:
    front.callbacks.refuse(CELLAR, RefusedDelivery("too much", reason="too_large", status=413), "70000000")
    (letter,) = front.letters()
    assert (letter.letter.reason, letter.letter.body) == ("too_large", None)


@BOTH_STORES
def test_what_cannot_be_stored_is_not_acknowledged(front: Front) -> None:
    callback = front.read(VALUES)
    front.store.close()
    with pytest.raises(StoreUnavailable):
        front.callbacks.keep(callback)
    front.callbacks.answered(callback, 0.1)  # a store that is away takes no note, and nobody is troubled


# Items without id and time.


@BOTH_STORES
def test_an_equal_callback_after_an_answer_is_a_new_one(front: Front) -> None:
    outcomes = [front.deliver(VALUES) for _ in range(4)]
    assert outcomes == [Kept.ACCEPTED] * 4 and len(front.bodies()) == 8


@BOTH_STORES
def test_a_callback_whose_answer_was_lost_is_known_again_and_counted(front: Front) -> None:
    assert front.deliver(VALUES, answered=False) is Kept.ACCEPTED
    assert front.deliver(VALUES, answered=False) is Kept.DUPLICATE
    assert front.deliver(VALUES) is Kept.DUPLICATE
    assert front.deliver(VALUES) is Kept.ACCEPTED
    assert len(front.bodies()) == 4 and front.store.reports.counts().duplicates == 4


@BOTH_STORES
def test_newer_items_behind_a_callback_sent_again_are_new(front: Front) -> None:
    front.deliver(message(notifications=[value()], de_registrations=[GATE]), answered=False)
    recut = message(notifications=[value(), value()], de_registrations=[GATE], reg_updates=[{"ep": GATE}])
    assert front.deliver(recut, answered=False) is Kept.ACCEPTED
    assert front.deliver(recut) is Kept.DUPLICATE
    assert len(front.bodies()) == 4


@pytest.mark.parametrize(
    "other",
    [
        message(notifications=[value()]),
        message(notifications=[value(payload="Mg=="), value()]),
        message(de_registrations=[GATE]),
    ],
)
@BOTH_STORES
def test_a_callback_that_does_not_begin_like_the_last_one_is_new_in_any_case(front: Front, other: bytes) -> None:
    front.deliver(VALUES, answered=False)
    assert front.deliver(other) is Kept.ACCEPTED
    assert len(front.bodies()) == 2 + len(sum(json.loads(other).values(), []))


@BOTH_STORES
def test_an_answer_after_twenty_seconds_may_not_have_counted(front: Front) -> None:
    callback = front.read(VALUES)
    front.callbacks.keep(callback)
    front.callbacks.answered(callback, 20.0)
    assert front.deliver(VALUES) is Kept.DUPLICATE


@BOTH_STORES
def test_another_callback_taken_in_between_ends_the_doubt(front: Front) -> None:
    front.deliver(VALUES, answered=False)
    front.deliver(message(notifications=[value(uid="u-1")]))
    assert front.deliver(VALUES) is Kept.ACCEPTED


@BOTH_STORES
def test_another_process_knows_the_last_callback_too(front: Front) -> None:
    front.deliver(VALUES, answered=False)
    front.callbacks = front.process()
    assert front.deliver(VALUES) is Kept.DUPLICATE
    front.callbacks = front.process()
    assert front.deliver(VALUES) is Kept.ACCEPTED


@BOTH_STORES
def test_the_same_callback_in_two_processes_at_once_is_kept_once(front: Front) -> None:
    front.deliver(message(notifications=[value(payload="MA==")]))
    one, other = front.read(VALUES), front.process().read(CELLAR, VALUES)
    assert front.callbacks.keep(one) is Kept.ACCEPTED
    assert front.callbacks.keep(other) is Kept.DUPLICATE


@BOTH_STORES
def test_a_process_that_stood_still_does_not_turn_back_what_others_have_stored(front: Front) -> None:
    front.deliver(message(notifications=[value(payload="MA==")]))
    late = front.read(VALUES)
    front.deliver(VALUES)  # sent again, to a process that was awake
    front.deliver(message(notifications=[value(payload="Mw=="), value(payload="NA==")]))
    assert front.callbacks.keep(late) is Kept.DUPLICATE
    front.callbacks.answered(late, 0.1)
    front.deliver(message(notifications=[value(payload="NQ=="), value(payload="NA==")]))
    assert [body["payload"] for body in front.bodies()[-4:]] == ["Mw==", "NA==", "NQ==", "NA=="]
    assert front.fact("answered") == number_value(late.number + 2)


@BOTH_STORES
def test_a_callback_quicker_than_the_note_of_the_last_answer_waits_for_it(front: Front) -> None:
    first = front.read(VALUES)
    front.callbacks.keep(first)
    patient = front.process(doubt_seconds=LONG)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(patient.read, CELLAR, VALUES)
        front.callbacks.answered(first, 0.1)
        assert patient.keep(second.result(LONG)) is Kept.ACCEPTED


def test_a_last_callback_of_long_ago_is_not_waited_for(front: Front) -> None:
    front.deliver(VALUES, answered=False)
    front.now += timedelta(seconds=LONG)
    patient = front.process(doubt_seconds=LONG)
    assert patient.keep(patient.read(CELLAR, VALUES)) is Kept.DUPLICATE


@BOTH_STORES
def test_few_callbacks_of_a_process_wait_and_others_come_again(front: Front) -> None:
    first = front.read(VALUES)
    front.callbacks.keep(first)
    patient = front.process(doubt_seconds=LONG)
    with ThreadPoolExecutor(WAITING_CALLBACKS + 1) as pool:
        reading = [pool.submit(patient.read, CELLAR, VALUES) for _ in range(WAITING_CALLBACKS + 1)]
        refused, waiting = wait(reading, LONG, FIRST_COMPLETED)
        assert [type(one.exception()) for one in refused] == [Overloaded]
        front.callbacks.answered(first, 0.1)
        assert {one.result(LONG).number for one in waiting} == {first.number + 1}


@BOTH_STORES
def test_channels_do_not_share_a_memory(front: Front) -> None:
    front.deliver(VALUES, answered=False)
    gate = front.callbacks.read(Tenant("pelion", "gate"), VALUES)
    assert front.callbacks.keep(gate) is Kept.ACCEPTED


@BOTH_STORES
def test_items_that_speak_for_themselves_leave_nothing_to_remember(front: Front) -> None:
    front.deliver(message(notifications=[value(uid="u-1"), value(timestamp=5)]))
    assert (front.fact("stored"), front.fact("answered")) == (b"", b"")


ITEMS = st.lists(st.sampled_from([value(), value(payload="Mg=="), value(ep=GATE)]), min_size=1, max_size=3)


@settings(max_examples=20)
@given(st.lists(ITEMS, max_size=8))
def test_equal_values_are_never_suppressed_outside_the_retry_window(batches: list[list[dict[str, Any]]]) -> None:
    with TemporaryDirectory() as folder:
        front = Front(sqlite_in(folder))
        for items in batches:
            assert front.deliver(message(notifications=items)) is Kept.ACCEPTED
        assert front.bodies() == sum(batches, [])
        front.store.close()


@settings(max_examples=20)
@given(st.lists(st.tuples(ITEMS, st.lists(ITEMS | st.just([]), max_size=2)), max_size=5))
def test_inside_it_everything_is_kept_once(
    story: list[tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]],
) -> None:
    """Each callback is sent again, perhaps with newer items behind, until its answer arrives."""
    with TemporaryDirectory() as folder:
        front = Front(sqlite_in(folder))
        published: list[dict[str, Any]] = []
        for items, additions in story:
            sent = list(items)
            for more in additions:
                front.deliver(message(notifications=sent), answered=False)
                sent += more
            front.deliver(message(notifications=sent))
            published += sent
        assert front.bodies() == published
        front.store.close()
