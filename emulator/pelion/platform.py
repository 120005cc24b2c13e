"""Pelion Device Management put together: builds the parts, starts and stops them, plays what is due.

The only module of the package that knows all the others.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from emulator.clock import Clock
from emulator.faults import Chance, Faults
from emulator.journal import Journal
from emulator.knobs import Panel
from emulator.pelion.callback import Courier
from emulator.pelion.certificates import Certificates
from emulator.pelion.channel_api import ChannelApi
from emulator.pelion.channels import CALLBACK, Channel, Channels
from emulator.pelion.commands import Commands
from emulator.pelion.connection import NORMAL
from emulator.pelion.device_api import DeviceApi
from emulator.pelion.devices import Devices
from emulator.pelion.errors import guarded, wrong_verb
from emulator.pelion.events import VALUE_PATH
from emulator.pelion.feed import Feed
from emulator.pelion.outbox import Outbox
from emulator.pelion.polls import Polls
from emulator.pelion.queue import Queue
from emulator.pelion.registry import SEED, Registry
from emulator.pelion.sockets import Sockets
from emulator.pelion.subscriptions import Subscriptions
from emulator.pelion.upkeep import Upkeep
from emulator.pelion.world import World

PREFIX = "/pelion"  # stands for the host api.us-east-1.mbedcloud.com


class Pelion:
    """The platform. Also a player of the timekeeper."""

    def __init__(self, journal: Journal, clock: Clock, faults: Faults, chance: Chance, panel: Panel) -> None:
        self._journal = journal
        self._faults = faults
        self.public = "http://127.0.0.1:0"
        self.registry = Registry(journal)
        self.devices = Devices(journal)
        self.subscriptions = Subscriptions(journal)
        self.channels = Channels(journal, panel, clock.now())
        self.queue = Queue(journal)
        self.certificates = Certificates(journal)
        self.feed = Feed(journal, self.registry, self.channels, self.queue, clock, faults, chance, panel)
        self.commands = Commands(journal, self.devices, self.feed, clock)
        self.world = World(self.registry, self.devices, self.subscriptions, self.commands, self.feed, clock)
        self.upkeep = Upkeep(self.channels, self.queue, clock, panel)
        outbox = Outbox(self.channels, self.queue, clock, panel)
        self.courier = Courier(self.channels, outbox, self.upkeep, self.certificates, clock, faults, panel)
        self.sockets = Sockets(self.registry, self.channels, outbox, self.upkeep, clock, faults, panel)
        self.polls = Polls(self.registry, self.channels, outbox, self.upkeep, clock, panel)
        self.upkeep.on_removed = self._removed
        self.feed.wake = self._wake
        self._channel_api = ChannelApi(
            self.registry, self.channels, self.queue, self.courier, self.upkeep, clock, panel
        )
        self._device_api = DeviceApi(self.registry, self.devices, self.subscriptions, self.commands, clock, panel)

    def on_alarm(self, nudge: Callable[[], None]) -> None:
        """Whom to tell when something was planned earlier than before."""
        self.courier.on_alarm = self.sockets.on_alarm = self.polls.on_alarm = nudge

    def _wake(self, channel: Channel) -> None:
        self.sockets.wake(channel)
        self.polls.stir(channel.application)
        if channel.kind == CALLBACK:
            self.courier.wake(channel)

    def _removed(self, application: str, reason: str) -> None:
        self.sockets.end(application, NORMAL, f"the channel was removed: {reason}")
        self.polls.stir(application)

    @property
    def host(self) -> str:
        """What a client is given as the platform's address."""
        return self.public + PREFIX

    # addresses

    def routes(self) -> list[web.RouteDef]:
        table = {**self._notification_routes(), **self._device_routes()}
        return [
            web.route(method, PREFIX + path, guarded(handler, self._faults))
            for path, handlers in table.items()
            for method, handler in {**handlers, "*": wrong_verb}.items()
        ]

    def _notification_routes(self) -> dict[str, dict[str, Handler]]:
        api = self._channel_api
        return {
            "/v2/notification/channel": {"GET": api.which},
            "/v2/notification/callback": {
                "PUT": api.put_callback,
                "GET": api.get_callback,
                "DELETE": api.delete_callback,
            },
            "/v2/notification/websocket": {
                "PUT": api.put_websocket,
                "GET": api.get_websocket,
                "DELETE": api.delete_websocket,
            },
            "/v2/notification/websocket-connect": {"GET": self.sockets.connect},
            "/v2/notification/pull": {"GET": self.polls.pull, "DELETE": self.polls.delete},
        }

    def _device_routes(self) -> dict[str, dict[str, Handler]]:
        api = self._device_api
        devices: dict[str, Handler] = {"GET": api.devices}
        return {
            "/v2/subscriptions": {"GET": api.get_rules, "PUT": api.put_rules, "DELETE": api.delete_rules},
            "/v2/subscriptions/{device}": {"GET": api.subscriptions_of, "DELETE": api.unsubscribe_all},
            "/v2/subscriptions/{device}/{path:.+}": {
                "PUT": api.subscribe,
                "GET": api.subscribed,
                "DELETE": api.unsubscribe,
            },
            "/v2/device-requests/{device}": {"POST": api.request_device},
            "/v2/endpoints/{device}": {"GET": api.resources},
            "/v2/endpoints/{device}/{path:.+}": dict.fromkeys(("GET", "PUT", "POST", "DELETE"), api.old_request),
            "/v3/devices": devices,
            "/v3/devices/": devices,
            "/v3/devices/{device}": {"GET": api.device},
            "/v3/accounts/me": {"GET": api.account},
            "/v3/api-keys/me": {"GET": api.key},
        }

    # life

    def start(self) -> None:
        self.courier.start()

    async def farewell(self) -> None:
        """End what clients hold open."""
        self.polls.stop()
        await self.sockets.stop()

    async def stop(self) -> None:
        await self.farewell()
        await self.courier.stop()

    def clear(self) -> None:
        """The seed world again; keys stay. Stop first, start again afterwards."""
        with self._journal.transaction():
            self.channels.clear()
            self.queue.clear()
            self.commands.clear()
            self.subscriptions.clear()
            self.devices.reset()
            self.registry.reset()

    # the timekeeper's player

    def next_moment(self) -> float | None:
        return _earliest(
            self.courier.next_moment(),
            self.sockets.next_moment(),
            self.polls.next_moment(),
            self.upkeep.next_moment(),
            self.world.next_lapse(),
        )

    def next_leap(self) -> float | None:
        return _earliest(self.next_moment(), self.courier.next_limit(), self.sockets.next_limit())

    def play(self) -> None:
        self.world.lapse()
        self.upkeep.play()
        self.polls.turn()
        self.sockets.turn()
        self.courier.turn()

    async def settle(self) -> None:
        await self.sockets.settle()
        await self.courier.settle()

    # what a subscriber is given

    def credentials(self) -> dict[str, object]:
        """Host, keys and devices; ``channels`` are the subscriber's settings for them."""
        applications = [entry for entry in self.registry.applications() if entry.name in SEED]
        return {
            "host": self.host,
            "api_keys": [self.registry.keys(entry)[0] for entry in applications],
            "devices": [
                device.ep for entry in self.registry.accounts() for device in self.devices.of_account(entry.name)
            ],
            "resource": VALUE_PATH,
            "channels": [self._channel_settings(entry.name) for entry in applications],
        }

    def _channel_settings(self, application: str) -> dict[str, object]:
        entry = self.registry.application(application)
        assert entry is not None
        return {
            "name": application,
            "api_key": self.registry.keys(entry)[0],
            "host": self.host,
            "mode": "websocket",
            "presubscriptions": [{"resource-path": [VALUE_PATH]}],
        }


def _earliest(*moments: float | None) -> float | None:
    known = [moment for moment in moments if moment is not None]
    return min(known) if known else None
