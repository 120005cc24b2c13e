"""Tenants, their tokens and their notifications, and the application that serves them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import migrations
from subscriber.model import Tenant
from subscriber.services import Services, build
from subscriber.settings import Settings
from subscriber.web import create_app
from tests.signing import KeyServer, bearer, broker_claims, jwk, mint
from tests.store.making import TOPIC, key, notification

READ = "alarmapi.read"
HOST = "acmeop"
ZONES = ("core", HOST, "custaa", "custbb")
ACME, OTHER = Tenant("mindsphere", "custaa"), Tenant("mindsphere", "custbb")
ALIAS = Tenant("cumulocity", "t1234")  # custaa's users may see it


def environment(keys: KeyServer, database_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "MDSP_PIAM_URL": keys.url + "/{tenant}.piam",
        "MDSP_KEY_STORE_CLIENT_ID": f"{HOST}-alarmapi-v1.4.2",
        "MDSP_KEY_STORE_CLIENT_SECRET": "secret",
        "MDSP_OS_VM_APP_NAME": "alarmapi",
        "MDSP_OS_VM_APP_VERSION": "v1.4.2",
        "TENANT_ALIASES": json.dumps({str(ALIAS): ACME.name}),
    }


class World:
    """The application over a store of its own."""

    def __init__(self, keys: KeyServer, database_url: str) -> None:
        self.keys = keys
        self.services: Services = build(Settings.from_environ(environment(keys, database_url)))
        self.client = create_app(self.services).test_client()

    def token(self, tenant: str = ACME.name, *, zone: str = "core", **claims: object) -> str:
        """A reader's; ``claims`` add or replace, None removes."""
        return mint(broker_claims(self.keys.issuer(zone), **{"ten": tenant, "scope": [READ], "zid": zone, **claims}))

    def arrive(self, name: str, tenant: Tenant = ACME, **parts: Any) -> None:
        """A notification is accepted now."""
        made = {"received_at": datetime.now(UTC), "source": f"{tenant.name}-source", "body": b'{"a":1}', **parts}
        self.services.store.inbox.add([notification(name, tenant=tenant, **made)])

    def get(self, path: str, token: str | None = None, **headers: str) -> Any:
        """The answer; as a reader of custaa unless another token is given."""
        given = {"Authorization": bearer(token or self.token())}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers=given)

    def listed(self, query: str = "", token: str | None = None) -> Any:
        answer = self.get(f"/api/notifications{query}", token)
        assert answer.status_code == 200, answer.text
        return answer.json


@contextmanager
def world(folder: Path, database_url: str = "") -> Iterator[World]:
    """Everything on SQLite in ``folder``, unless another database is named."""
    url = database_url or f"sqlite:///{folder}/inbox.db"
    migrations.apply(url)
    with KeyServer() as keys:
        for zone in ZONES:
            keys.publish([jwk()], zone)
        made = World(keys, url)
        try:
            yield made
        finally:
            made.services.store.close()


def address(name: str, tenant: Tenant = ACME) -> str:
    return f"/api/notifications/{tenant.platform}/{tenant.name}/{key(name).hex()}"


__all__ = ["ACME", "ALIAS", "HOST", "OTHER", "TOPIC", "World", "address", "environment", "world"]
