"""Cumulocity put together: builds the parts, starts and stops them, and does what an operator of it does.

The only module of the package that knows all the others. The API answers below ``/c8y`` and at the root alike: some
clients in the field cut the path off a base address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from aiohttp import web

from emulator.clock import Clock
from emulator.cumulocity.access import Access
from emulator.cumulocity.application_api import ApplicationApi
from emulator.cumulocity.changes import Feed, stamp
from emulator.cumulocity.composer import composed, device
from emulator.cumulocity.directory import ADMIN, BOOTSTRAP, OWNER, SEED_TENANTS, Directory
from emulator.cumulocity.documents import Document, Documents
from emulator.cumulocity.endpoint import Endpoint
from emulator.cumulocity.errors import Refused
from emulator.cumulocity.forwarding import Forwarding
from emulator.cumulocity.inventory import Inventory
from emulator.cumulocity.inventory_api import InventoryApi
from emulator.cumulocity.messaging import Messaging
from emulator.cumulocity.realtime.realtime import Realtime
from emulator.cumulocity.realtime.rehearsal import conversation
from emulator.cumulocity.records import KINDS, Records
from emulator.cumulocity.records_api import RecordsApi
from emulator.cumulocity.rules import Rules
from emulator.cumulocity.subscriptions_api import SubscriptionsApi
from emulator.cumulocity.tokens import NotificationTokens
from emulator.cumulocity.tokens_api import TokensApi
from emulator.faults import Chance, Faults
from emulator.journal import Journal
from emulator.knobs import Panel
from emulator.ledger import Book

PREFIXES = ("/c8y", "")
CHUNK = 200  # objects per transaction: some milliseconds in which nothing else runs
SHOWN_DEVICES = 2000  # in the credentials


@dataclass(slots=True)
class Published:
    """What a call to publish came to."""

    messages: int = 0  # objects made or changed
    published: int = 0  # message x consumer and row x session, as the ledger counts
    refused: int = 0  # requests answered 500 because a backlog was full


class Cumulocity:
    """The platform. Also a player of the timekeeper: messages expire, sessions and polls end."""

    def __init__(self, journal: Journal, clock: Clock, faults: Faults, chance: Chance, panel: Panel) -> None:
        self._journal = journal
        self._clock = clock
        self._chance = chance
        self._panel = panel
        self.public = ""  # the emulator's own address, told by the server
        self.directory = Directory(journal)
        self.documents = Documents(journal)
        self.feed = Feed()
        self.inventory = Inventory(journal, self.documents, self.feed, clock)
        self.records = Records(journal, self.documents, self.inventory, self.feed, clock)
        self.rules = Rules(journal)
        self.messaging = Messaging(journal, clock, faults, chance, panel)
        self.forwarding = Forwarding(self.rules, self.inventory, self.messaging, clock, panel)
        self.tokens = NotificationTokens(journal)
        access = Access(self.directory, faults)
        shared = (journal, self.documents, self.inventory, self.feed, access, clock, faults, panel)
        self.realtime = Realtime(*shared, lambda: self.public + PREFIXES[0])
        self.feed.listen(self.forwarding.hear)  # last: it refuses when a backlog is full
        self._services = (
            ApplicationApi(access, self.directory),
            InventoryApi(access, self.inventory),
            RecordsApi(access, self.records),
            SubscriptionsApi(access, self.inventory, self.rules, clock, faults, panel),
            TokensApi(access, self.rules, self.tokens, self.messaging, faults, panel),
            Endpoint(self.directory, self.tokens, self.rules, self.messaging, faults, panel),
            self.realtime,
        )
        self._plant(SEED_TENANTS)

    def _plant(self, tenants: Iterable[str]) -> None:
        """Each tenant has its first devices."""
        with self._journal.transaction():
            for tenant in tenants:
                if not self.inventory.devices(tenant, 1):
                    for number in range(1, self._panel.now.c8y_devices + 1):
                        self.inventory.create(tenant, ADMIN, device(number))

    def routes(self) -> list[web.RouteDef]:
        return [route for base in PREFIXES for service in self._services for route in service.routes(base)]

    @property
    def book(self) -> Book:
        return self.messaging.backlog

    def on_alarm(self, nudge: Callable[[], None]) -> None:
        """``nudge`` is told whenever ``next_moment`` may be earlier."""
        self.messaging.on_alarm = self.realtime.bayeux.polls.on_alarm = nudge

    def close_sockets(self) -> None:
        """Say goodbye to every client, as a platform does that restarts."""
        self.messaging.close_all("restart")
        self.realtime.bayeux.restart()

    def stop(self) -> None:
        self.messaging.flush()
        self.realtime.stop()

    def reset(self) -> None:
        """The seed world: no rules, no topics, the first devices. Credentials and the token key stay."""
        with self._journal.transaction():
            self.messaging.clear()
            self.realtime.clear()
            self.rules.clear()
            self.directory.reset()
            self.documents.clear()
            self.inventory.clear()
            self.records.clear()
        self._plant(SEED_TENANTS)

    # the timekeeper's player

    def next_moment(self) -> float | None:
        moments = (self.messaging.next_moment(), self.realtime.next_moment())
        return min((moment for moment in moments if moment is not None), default=None)

    def next_leap(self) -> float | None:
        return self.next_moment()

    def play(self) -> None:
        self.messaging.play()
        self.realtime.play()

    async def settle(self) -> None:
        await asyncio.sleep(0)  # frames and answers go out by their own tasks

    # what an operator does

    def provision(self, tenants: Sequence[str]) -> list[str]:
        """These tenants subscribe to the application. The answer: for whom it was news."""
        news = self.directory.subscribe(tenants)
        self._plant(news)
        return news

    def deprovision(self, tenants: Sequence[str]) -> list[str]:
        """They end it; the service user is gone at once, what it made stays with the tenant."""
        return self.directory.unsubscribe(tenants)

    async def publish(
        self, tenants: Sequence[str], apis: Sequence[str], count: int, body: Document | None
    ) -> Published:
        """``count`` objects for each tenant and API, spread over its devices; or ``count`` times ``body``."""
        done = Published()
        before = self._published()
        rng = Random(f"{self._chance.seed}/{self.documents.new_id()}")
        devices = {tenant: self.inventory.devices(tenant, self._panel.now.c8y_devices) for tenant in tenants}
        work = [(tenant, api) for tenant in tenants for api in apis for _ in range(count)]
        for start in range(0, len(work), CHUNK):
            with self._journal.transaction():
                for offset, (tenant, api) in enumerate(work[start : start + CHUNK]):
                    number = start + offset
                    source = devices[tenant][number % len(devices[tenant])]
                    done.refused += not self._do(tenant, api, source, self._members(api, source, body, rng))
                    done.messages += 1
            await asyncio.sleep(0)  # let frames and requests through
        done.published = self._published() - before
        return done

    def _published(self) -> int:
        """Deliveries ever planned: by topics and by real-time sessions."""
        return self.forwarding.published + self.realtime.book.totals.published

    def _members(self, api: str, source: str, body: Document | None, rng: Random) -> Document:
        if body is not None:
            return body
        return composed(api, source, int(self.documents.new_id()), stamp(self._clock.now()), rng)

    def _do(self, tenant: str, api: str, source: str, members: Document) -> bool:
        """What a device's request would do; False if the platform failed because a backlog is full."""
        kind = next((kind for kind in KINDS if kind.api == api), None)
        try:
            if kind is None:
                self.inventory.update(tenant, source, members)
            else:
                self.records.create(tenant, kind, members)
        except Refused as error:
            if error.status != 500:
                raise
            return False
        return True

    def credentials(self, tenant: str = OWNER) -> dict[str, object]:
        """What a subscriber needs to know: the tenant's ``admin``, and the application's bootstrap user."""
        admin, bootstrap = self.directory.user(tenant, ADMIN), self.directory.user(OWNER, BOOTSTRAP)
        return {
            "base_url": self.public + PREFIXES[0],
            "tenant": tenant,
            "user": admin.name,
            "password": admin.password,
            "devices": self.inventory.devices(tenant, SHOWN_DEVICES),
            "bootstrap": {"tenant": bootstrap.tenant, "user": bootstrap.name, "password": bootstrap.password},
            "realtime": [conversation(tenant)],
        }
