"""One tenant of the seed world on the shared emulator, whose clock stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from emulator.clock import Clock
from emulator.cumulocity.changes import Change, Feed
from emulator.cumulocity.documents import Documents
from emulator.cumulocity.inventory import Inventory
from emulator.journal import Journal
from tests.emulator.conftest import World
from tests.emulator.cumulocity.running import Tenant


@pytest.fixture
def user(world: World) -> Iterator[Callable[..., Tenant]]:
    """``user("t124", name="service_notification-hub")``: somebody of some tenant."""
    made: list[Tenant] = []

    def make(tenant: str = "t123", **more: str) -> Tenant:
        made.append(Tenant(world.emulator, tenant, **more))
        return made[-1]

    yield make
    for tenant in made:
        tenant.end()


@pytest.fixture
def tenant(user: Callable[..., Tenant]) -> Tenant:
    return user()


# for modules that need no sockets


@pytest.fixture
def changes() -> list[Change]:
    """Everything the feed said."""
    return []


@pytest.fixture
def feed(changes: list[Change]) -> Feed:
    feed = Feed()
    feed.listen(changes.append)
    return feed


@pytest.fixture
def documents(journal: Journal) -> Documents:
    return Documents(journal)


@pytest.fixture
def inventory(journal: Journal, documents: Documents, feed: Feed, still: Clock) -> Inventory:
    return Inventory(journal, documents, feed, still)
