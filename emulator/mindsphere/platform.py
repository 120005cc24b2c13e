"""MindSphere put together: builds the parts, starts and stops them, and does what a cockpit does.

The only module of the package that knows all the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from emulator.clock import Clock
from emulator.faults import Chance, Faults
from emulator.identity import KeyRing, Tokens
from emulator.journal import Journal
from emulator.knobs import Panel
from emulator.ledger import Ledger
from emulator.mindsphere.access import Access
from emulator.mindsphere.addresses import Addresses
from emulator.mindsphere.assets import Assets
from emulator.mindsphere.broker import Broker
from emulator.mindsphere.delivery import Courier
from emulator.mindsphere.gateway import Gateway
from emulator.mindsphere.people import Sessions
from emulator.mindsphere.piam import Piam
from emulator.mindsphere.publisher import Publisher
from emulator.mindsphere.registry import SEED_HOST, Application, Registry, RegistryError
from emulator.mindsphere.subscriptions import Subscriptions
from emulator.mindsphere.tokenmanager import TokenManager
from emulator.mindsphere.webapps import WebApplications


class MindSphere:
    """The platform. Also a player of the timekeeper: windows close and deliveries fall due."""

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        clock: Clock,
        faults: Faults,
        chance: Chance,
        panel: Panel,
        direct_url: str,
    ) -> None:
        self._journal = journal
        self._faults = faults
        self._clock = clock
        self.registry = Registry(journal, panel)
        self.addresses = Addresses(self.registry.zone_exists)
        self.keys = KeyRing(journal, clock, panel)
        self.tokens = Tokens(self.keys, self.addresses.issuer, self.addresses.zone_of)
        access = Access(self.tokens, panel)
        self.subscriptions = Subscriptions(journal)
        self.gateway = Gateway(self.registry, access, faults, panel, direct_url)
        self.publisher = Publisher(journal, ledger, self.subscriptions, clock, faults, chance, panel)
        self.courier = Courier(
            ledger, self.subscriptions, self.gateway, access, self.addresses, clock, faults, chance, panel
        )
        self.publisher.wake = self.courier.wake
        self.broker = Broker(
            journal,
            ledger,
            self.registry,
            self.subscriptions,
            self.publisher,
            self.gateway,
            access,
            self.addresses,
            faults,
            panel,
        )
        self.broker.on_dropped = self.courier.forget
        self._services = (
            self.broker,
            TokenManager(self.registry, access, faults, panel),
            Assets(self.registry, access, faults, panel),
            Piam(self.keys, self.registry, access, faults, panel),
            WebApplications(self.registry, Sessions(access), self.gateway, panel),
            self.gateway,  # last: its paths are the most general
        )

    def routes(self) -> list[web.RouteDef]:
        return [route for service in self._services for route in service.routes()]

    async def start(self) -> None:
        await self.gateway.start()
        self.courier.start()

    async def stop(self) -> None:
        await self.courier.stop()
        await self.gateway.close()

    # the timekeeper's player

    def next_moment(self) -> float | None:
        return _earliest(self.courier.next_alarm(), self.publisher.next_window())

    def next_leap(self) -> float | None:
        alarm, outage = self.courier.next_alarm(), self._faults.outage()
        if alarm is not None and outage is not None and outage.active(self._clock.now()):
            alarm = outage.ends_at
        return _earliest(alarm, self.publisher.next_window())

    def play(self) -> None:
        self.publisher.close_windows()
        self.courier.turn()

    async def settle(self) -> None:
        await self.courier.settle()

    # what a cockpit does

    def provision(self, tenants: Sequence[str], *, application: Application) -> list[str]:
        """Make the application available to tenants, without a notice. The answer: for whom it was news."""
        return self.registry.provision(application, tenants)

    def deprovision(self, tenants: Sequence[str], *, application: Application) -> list[str]:
        """Take it away again, with the tenants' subscriptions. The answer: from whom it was taken."""
        with self._journal.transaction():
            leaving = self.registry.deprovision(application, tenants)
            for tenant in leaving:
                for subscription in self.subscriptions.of_tenant(tenant):
                    if subscription.key.subscriber == application.name:
                        self.broker.remove(subscription)
        return leaving

    def credentials(self, host: str = SEED_HOST) -> dict[str, object]:
        """What a subscriber hosted by this tenant is given; the latest registration if there are several."""
        application = self.hosted_by(host)
        return {
            "gateway": self.addresses.gateway,
            "piam": self.addresses.piam,
            "client_id": application.client_id,
            "client_secret": application.secret,
            "app": application.name,
            "version": application.version,
            "host_tenant": application.host,
            "user_tenants": self.registry.user_tenants(application),
        }

    def hosted_by(self, host: str) -> Application:
        found = [entry for entry in self.registry.applications() if entry.host == host]
        if not found:
            raise RegistryError(f"{host[:40]} hosts no application")
        return found[-1]


def _earliest(*moments: float | None) -> float | None:
    known = [moment for moment in moments if moment is not None]
    return min(known) if known else None
