"""Which WebSocket channels there shall be, and what their connections tell."""

from __future__ import annotations

from subscriber.pelion.standing import Standing
from subscriber.pelion.wanted import Book, Wanted
from subscriber.settings import Settings
from subscriber.store import Store
from tests.pelion.conftest import CELLAR, World
from tests.store.making import START, Clock, notification


def wanted(world: World, store: Store, *modes: str) -> Wanted:
    names = ("cellar", "gates", "mill")
    channels = [world.channel(name, mode) for name, mode in zip(names, modes, strict=False)]
    settings = Settings.from_environ(world.environ(*channels)).pelion
    assert settings is not None
    return Wanted(settings.channels, store.registry)


def test_every_configured_websocket_is_wanted_and_no_callback(world: World, store: Store) -> None:
    found = wanted(world, store, "websocket", "callback", "websocket")
    assert [one.name for one in found()] == ["cellar", "mill"]
    assert found()[0].api_key == world.keys["cellar"] and found.configured
    assert not wanted(world, store, "callback").configured


def test_an_erased_tenant_has_none(world: World, store: Store) -> None:
    store.inbox.add([notification(tenant=CELLAR)])
    store.inbox.erase(CELLAR)
    assert [one.name for one in wanted(world, store, "websocket", "websocket")()] == ["gates"]


def test_a_connection_s_registration_is_booked_as_any_other(store: Store, clock: Clock) -> None:
    book = Book(Standing(store, clock), store.registry)
    assert book.before("cellar") is None
    book.enrolled("cellar", True, None, None)
    before = book.before("cellar")
    assert (before, store.registry.gaps()) == (clock(), [])
    assert [row.state for row in store.registry.subscriptions("pelion")] == ["active"]
    clock.advance(hours=1)
    book.enrolled("cellar", False, before, START)
    assert store.registry.gaps() == []
    book.enrolled("cellar", True, book.before("cellar"), clock())
    assert [gap.lost_from for gap in store.registry.gaps()] == [clock()]
