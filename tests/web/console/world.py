"""A console over a store that has something of everything, a small platform behind it, and operators' real tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask import Flask

import migrations
from subscriber.access import ReadingRules
from subscriber.credentials import Credentials
from subscriber.metrics import Metrics
from subscriber.model import Dead, DeadLetter, Done, Lane, Retry, Tenant
from subscriber.people import People
from subscriber.registration.plan import Subscription, as_row
from subscriber.settings import Settings
from subscriber.store import Fence, Gap, RosterUpdate, Store, open_store
from subscriber.tokens import Verifier
from subscriber.web import answer_alike
from subscriber.web.console import add_console
from subscriber.web.console.desk import Desk
from subscriber.web.console.orders import FORM_TYPE
from tests.signing import KeyServer, bearer, broker_claims, jwk, mint
from tests.small_platform import SmallPlatform
from tests.store.making import START, Clock, channel, key, letter, notification

HOST = "acmeop"
DATABASE = "console.db"
CLIENT = "acmeop-alarmapi-v1.4.2"
ACME, OTHER, DEVICES = Tenant("mindsphere", "custaa"), Tenant("mindsphere", "custbb"), Tenant("cumulocity", "t123")
ASSETS = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"
EVENTS = "mdsp.core.eventmanagement.v1.pubsub.eventnotification"
OPERATE = "alarmapi.operate"
OURS = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}  # as a browser sends them from one of our pages
APP = {"MDSP_OS_VM_APP_NAME": "alarmapi", "MDSP_TOPICS": f"{ASSETS},{EVENTS}"}


class World:
    """``clock`` is the store's and the console's. ``more`` adds settings."""

    def __init__(
        self, keys: KeyServer, platform: SmallPlatform, database_url: str, more: Mapping[str, str] | None = None
    ) -> None:
        self.keys = keys
        self.platform = platform
        self.clock = Clock()
        environ = {**platform.environ(), **APP, "DATABASE_URL": database_url, **(more or {})}
        self.settings = Settings.from_environ(environ)
        self.store: Store = open_store(database_url, clock=self.clock)
        self.metrics = Metrics()
        self.desk = Desk(
            settings=self.settings,
            store=self.store,
            people=people(keys, self.store),
            metrics=self.metrics,
            credentials=Credentials(CLIENT, self.store.registry, self.clock),
            clock=self.clock,
        )
        self.app = Flask("console", static_folder=None)
        add_console(self.app, self.desk)
        answer_alike(self.app)
        self.client = self.app.test_client()

    def token(self, tenant: str = HOST, **claims: object) -> str:
        """An operator's; ``claims`` add or replace, None removes."""
        person = {"ten": tenant, "scope": [OPERATE], "user_name": f"ann@{tenant}.example", **claims}
        return mint(broker_claims(self.keys.issuer("core"), **person))

    def get(self, path: str = "", tenant: str = HOST, **headers: str) -> Any:
        given = {"Authorization": bearer(self.token(tenant)), "Accept": "text/html", **headers}
        return self.client.get(f"/console/{path}", headers=given)

    def post(self, path: str, who: str = HOST, headers: dict[str, str] | None = None, **fields: str) -> Any:
        given = {"Authorization": bearer(self.token(who)), **(OURS if headers is None else headers)}
        return self.client.post(f"/console/{path}", headers=given, data=urlencode(fields), content_type=FORM_TYPE)

    def actions(self) -> list[tuple[str, str, str]]:
        """The audit, newest first: who, what, and the detail."""
        return [(row.actor, row.action, row.detail) for row in self.store.registry.audited(100)]

    def die(self, name: str, reason: str = "refused", tenant: Tenant = ACME, topic: str = EVENTS) -> None:
        """A notification arrives and is given up at once."""
        self.store.inbox.add([notification(name, tenant=tenant, topic=topic, received_at=self.clock())])
        (attempt,) = self.store.inbox.lease([Lane(tenant, topic)], 1, 30)
        self.store.inbox.settle(attempt, Dead(reason, "the receiver answered 422"))


def people(keys: KeyServer, store: Store) -> People:
    rules = ReadingRules(app="alarmapi", host_tenant=HOST, zones=frozenset({"core"}), aliases={DEVICES: ACME.name})
    return People(Verifier(keys.issuer, keys.keys_url), rules, store.registry)


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder}/{DATABASE}"


@contextmanager
def world(folder: Path, more: Mapping[str, str] | None = None) -> Iterator[World]:
    """Over the database in ``folder``, made if it is not there. ``more`` adds settings."""
    url = database_url(folder)
    if not (folder / DATABASE).exists():
        migrations.apply(url)
    with KeyServer() as keys, SmallPlatform("custaa", "custbb") as platform:
        keys.publish([jwk()])
        made = World(keys, platform, url, more)
        try:
            yield made
        finally:
            made.store.close()


def furnish(made: World, *, minutes: int = 60) -> None:
    """Something of everything: ``minutes`` of traffic, what was handled, what died, what could not be read."""
    for tenant in (ACME, OTHER, DEVICES):
        made.store.registry.put_tenant(tenant, "active")
    made.store.registry.put_tenant(Tenant("mindsphere", "custcc"), "leaving")
    _traffic(made, minutes)
    _dead(made)
    _connections(made)
    _subscriptions(made)
    made.store.registry.see_credentials(CLIENT)
    made.store.registry.count_refused(12)
    made.store.registry.audit("cli", "register", "mindsphere: 4 done, 1 failed, 0 stale")
    made.store.inbox.add([asset("waits", ACME, made.clock() - timedelta(seconds=20))])
    made.clock.advance(minutes=12, seconds=5)
    made.store.inbox.add([asset("newest", OTHER, made.clock())])


BODY = (
    b'{"topic":"asset","data":{"id":"d8f3f0a1c7b24e0d8f3f0a1c7b24e0d8","name":"Pump <3>","typeId":"core.basicpump",'
    b'"twinType":"performance","location":{"country":"Austria","locality":"Linz"}},"action":"UPDATE"}'
)


def asset(name: str, tenant: Tenant, at: Any) -> Any:
    return notification(
        name, tenant=tenant, topic=ASSETS, source="pump-0017", body=BODY, received_at=at, occurred_at=at
    )


def _traffic(made: World, minutes: int) -> None:
    inbox = made.store.inbox
    for minute in range(minutes):
        count = 3 + minute * 7 % 11
        for tenant in (ACME, OTHER):
            names = [f"{tenant.name}-{minute}-{number}" for number in range(count if tenant == ACME else 2)]
            inbox.add([asset(name, tenant, made.clock()) for name in names])
            if minute % 3 == 0:
                inbox.add([asset(names[0], tenant, made.clock())])
        for attempt in inbox.lease(inbox.lanes(), 100, 30):
            inbox.settle(attempt, Done(), frozenset({"forward"}))
        made.clock.advance(minutes=1)


def _dead(made: World) -> None:
    for number in range(5):
        made.die(f"refused-{number}")
    made.die("unrouted", "unrouted")
    made.die("theirs", "unrouted", OTHER)
    made.clock.advance(minutes=1)
    made.store.inbox.add([notification("retries", tenant=ACME, topic=EVENTS, received_at=made.clock())])
    (attempt,) = made.store.inbox.lease([Lane(ACME, EVENTS)], 1, 30)
    made.store.inbox.settle(attempt, Retry(made.clock() + timedelta(hours=1), "timeout", "no answer in 30 s"))
    letters = [
        letter(f"l{number}", tenant=tenant, at=made.clock()) for number, tenant in enumerate([ACME, ACME, OTHER])
    ]
    refused = DeadLetter(
        tenant=ACME, reason="too_large", detail="the body exceeds 10485760 bytes", digest=key("large"), body=None,
        buried_at=made.clock(),
    )  # fmt: skip
    made.store.inbox.add([], [*letters, refused, letters[0]])


def _connections(made: World) -> None:
    now = made.clock()
    rows = [
        channel("service-0", tenant=DEVICES, channel="alarms", since=now),
        channel(
            "service-1", tenant=DEVICES, channel="alarms", state="waiting", detail="the server closed it", since=now
        ),
    ]
    made.store.registry.put_channels(rows)
    made.store.registry.add_gap(
        Gap(
            tenant=None,
            platform="mindsphere",
            channel="",
            lost_from=START - timedelta(days=9),
            lost_until=START - timedelta(days=7),
            reason="away",
            noticed_at=START - timedelta(days=3),
        )
    )
    made.store.registry.pause("topic", "mdsp.core.timeseries.v1.pubsub.data.ingest")


def _subscriptions(made: World) -> None:
    platform, registry = made.platform, made.store.registry
    number = registry.acquire("registration", "test", 60)
    assert number is not None
    fence = Fence(name="registration", holder="test", number=number)
    registry.update_roster("mindsphere", RosterUpdate(present=[ACME, OTHER]), fence)
    registry.release("registration", "test")
    for tenant, topic, state in ((ACME, ASSETS, "active"), (ACME, EVENTS, "failed"), (OTHER, ASSETS, "active")):
        uri = f"{platform.url}/api/alarmapi-{HOST}/v1/notifications/mindsphere"
        subscription = Subscription(tenant=tenant, topic=topic, subscriber="alarmapi", version="v1.4.2", uri=uri)
        detail = "403: the topic is not allowed for this application" if state == "failed" else ""
        registry.put_subscription(as_row(subscription, state, detail))
