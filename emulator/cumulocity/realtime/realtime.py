"""Real-time notifications put together; what the platform asks of them.

The only module of the package that knows all the others, but for the control verbs.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from emulator.clock import Clock
from emulator.cumulocity.access import Access
from emulator.cumulocity.changes import Feed
from emulator.cumulocity.documents import Documents
from emulator.cumulocity.inventory import Inventory
from emulator.cumulocity.realtime.bayeux import Bayeux
from emulator.cumulocity.realtime.book import Book
from emulator.cumulocity.realtime.connects import Connects
from emulator.cumulocity.realtime.csv_dialect import CsvDialect
from emulator.cumulocity.realtime.door import Door
from emulator.cumulocity.realtime.json_dialect import JsonDialect
from emulator.cumulocity.realtime.proxy import Proxy
from emulator.cumulocity.realtime.smartrest_api import SmartRestApi
from emulator.cumulocity.realtime.template_store import TemplateStore
from emulator.faults import Faults
from emulator.journal import Journal
from emulator.knobs import Panel


class Realtime:
    """``base`` tells the address of the REST API."""

    def __init__(
        self,
        journal: Journal,
        documents: Documents,
        inventory: Inventory,
        feed: Feed,
        access: Access,
        clock: Clock,
        faults: Faults,
        panel: Panel,
        base: Callable[[], str],
    ) -> None:
        self.book = Book(journal)
        self.templates = TemplateStore(journal, documents)
        self.bayeux = Bayeux(self.templates, inventory, self.book, clock, panel)
        feed.listen(self.bayeux.publishing.hear)
        connects = Connects(self.bayeux, faults, panel)
        csv = CsvDialect(self.bayeux, connects, self.templates, panel)
        self._services = (
            Door(access, csv, JsonDialect(self.bayeux, connects)),
            SmartRestApi(access, self.templates, Proxy(base), clock, panel),
        )

    def routes(self, base: str) -> list[web.RouteDef]:
        return [route for service in self._services for route in service.routes(base)]

    def stop(self) -> None:
        self.book.flush()

    def clear(self) -> None:
        """No sessions, no templates, nothing in the books."""
        self.bayeux.restart()
        self.book.clear()
        self.templates.clear()

    def next_moment(self) -> float | None:
        return self.bayeux.next_moment()

    def play(self) -> None:
        self.bayeux.play()
