"""Which channels are asked for, and which one was refused."""

from __future__ import annotations

from subscriber.platforms.smartrest.memory import Memory
from subscriber.platforms.smartrest.realtime import Channel
from subscriber.platforms.smartrest.subscriptions import ROWS, Subscriptions


def made(*names: str, held: dict[str, tuple[str, ...]] | None = None) -> tuple[Subscriptions, Memory]:
    memory = Memory(client_id="c1", subscribed=dict(held or {}))
    return Subscriptions([Channel(name=name) for name in names], memory), memory


def test_a_new_session_asks_for_every_channel_in_one_request() -> None:
    subscriptions, memory = made("/1", "/2")
    assert subscriptions.ask() == [("81", "c1", "/1"), ("81", "c1", "/2")]
    subscriptions.granted()
    assert subscriptions.complete and memory.subscribed == {"/1": (), "/2": ()}


def test_many_channels_take_several_requests() -> None:
    subscriptions, memory = made(*(f"/{number}" for number in range(ROWS + 1)))
    assert len(subscriptions.ask()) == ROWS
    subscriptions.granted()
    assert len(subscriptions.ask()) == 1


def test_a_session_that_goes_on_is_given_what_changed() -> None:
    memory = Memory(client_id="c1", subscribed={"/1": (), "/2": ("old",), "/3": ()})
    subscriptions = Subscriptions([Channel(name="/1"), Channel(name="/2", x_ids=("new",))], memory)
    assert subscriptions.ask() == [("82", "c1", "/3"), ("81", "c1", "/2", "new")]
    subscriptions.granted()
    assert memory.subscribed == {"/1": (), "/2": ("new",)}


def test_after_a_refusal_of_several_each_is_asked_for_alone_to_find_out() -> None:
    subscriptions, memory = made("/1", "/2", "/3")
    subscriptions.ask()
    assert subscriptions.refused() == ""
    assert subscriptions.ask() == [("81", "c1", "/1")]
    assert subscriptions.refused() == "/1"
    assert subscriptions.ask() == [("81", "c1", "/2")]
    subscriptions.granted()
    assert subscriptions.ask() == [("81", "c1", "/3")]
    subscriptions.granted()
    assert subscriptions.complete and list(memory.subscribed) == ["/2", "/3"]


def test_giving_up_a_channel_cannot_be_refused() -> None:
    subscriptions, memory = made("/1", held={"/1": (), "/2": ()})
    subscriptions.ask()
    assert subscriptions.refused() == ""
    assert subscriptions.complete and list(memory.subscribed) == ["/1"]
