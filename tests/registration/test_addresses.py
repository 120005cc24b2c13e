"""Which address the broker is given: the gateway's in either form of the version, or this service's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import migrations
from subscriber.errors import NoTunnel
from subscriber.registration import build, webhook_uri
from subscriber.settings import Settings
from subscriber.store import Store, open_store
from tests.small_agent import SmallAgent, tunnel
from tests.small_platform import SmallPlatform

DIRECT = "{public}/{endpoint}"


@pytest.fixture
def platform() -> Iterator[SmallPlatform]:
    with SmallPlatform("custaa") as platform:
        yield platform


@pytest.fixture
def agent() -> Iterator[SmallAgent]:
    with SmallAgent() as agent:
        agent.tunnels(tunnel("http://localhost:8080"))
        yield agent


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path}/subscriber.db"
    migrations.apply(url)
    store = open_store(url)
    yield store
    store.close()


def subscribed(platform: SmallPlatform, store: Store, **environ: str) -> set[str]:
    """The addresses that a run leaves with the broker."""
    with closing(build(Settings.from_environ(platform.environ() | environ), store)) as reconciler:
        reconciler.run()
    return set(platform.subscriptions.values())


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("", "/api/alarmapi-acmeop/v1/notifications/mindsphere"),
        ("{gateway}/api/{app}-{host}/{version}/{endpoint}", "/api/alarmapi-acmeop/v1.4.2/notifications/mindsphere"),
    ],
    ids=["major version", "full version"],
)
def test_the_address_names_the_version_as_the_gateway_wants_it(
    platform: SmallPlatform, store: Store, template: str, path: str
) -> None:
    assert subscribed(platform, store, MDSP_URI_TEMPLATE=template) == {platform.url + path}


def test_a_direct_address_is_given_where_the_template_says_so(platform: SmallPlatform, store: Store) -> None:
    addresses = subscribed(platform, store, MDSP_URI_TEMPLATE=DIRECT, PUBLIC_URL="https://me.example/base/")
    assert addresses == {"https://me.example/base/notifications/mindsphere"}


def test_the_tunnel_s_agent_is_asked_only_where_the_template_wants_our_own_address(
    platform: SmallPlatform, store: Store, agent: SmallAgent
) -> None:
    ngrok = {"PUBLIC_URL": "ngrok", "NGROK_API_URL": agent.api}
    gateway = f"{platform.url}/api/alarmapi-acmeop/v1/notifications/mindsphere"
    assert subscribed(platform, store, **ngrok) == {gateway}
    assert agent.asked == []
    address = {"https://a1b2.ngrok-free.app/notifications/mindsphere"}
    assert subscribed(platform, store, **ngrok, MDSP_URI_TEMPLATE=DIRECT) == address


def test_an_address_that_changed_with_the_agent_s_restart_moves_the_subscriptions(
    platform: SmallPlatform, store: Store, agent: SmallAgent
) -> None:
    environ = {"PUBLIC_URL": "ngrok", "NGROK_API_URL": agent.api, "MDSP_URI_TEMPLATE": DIRECT}
    with closing(build(Settings.from_environ(platform.environ() | environ), store)) as reconciler:
        reconciler.run()
        agent.tunnels(tunnel("http://localhost:8080", "https://e5f6.ngrok-free.app"))
        reconciler.run()
    assert set(platform.subscriptions.values()) == {"https://e5f6.ngrok-free.app/notifications/mindsphere"}


def test_without_a_tunnel_nothing_is_subscribed_under_an_address_that_leads_nowhere(
    platform: SmallPlatform, store: Store, agent: SmallAgent
) -> None:
    agent.tunnels()
    with pytest.raises(NoTunnel, match="ngrok http 8080"):
        subscribed(platform, store, PUBLIC_URL="ngrok", NGROK_API_URL=agent.api, MDSP_URI_TEMPLATE=DIRECT)
    assert platform.subscriptions == {}


def test_the_host_in_the_address_is_whoever_the_credentials_belong_to() -> None:
    environ = {
        "MDSP_KEY_STORE_CLIENT_ID": "acmedv-alarmapi-v2.0.1",
        "MDSP_KEY_STORE_CLIENT_SECRET": "s3cr3t",
        "MDSP_OS_VM_APP_NAME": "alarmapi",
        "MDSP_OS_VM_APP_VERSION": "v2.0.1",
    }
    before = Settings.from_environ(environ).mindsphere
    after = Settings.from_environ(environ | {"MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-v2.0.1"}).mindsphere
    assert before and after
    base = "https://gateway.eu1.mindsphere.io/api"
    assert webhook_uri(before) == f"{base}/alarmapi-acmedv/v2/notifications/mindsphere"
    assert webhook_uri(after) == f"{base}/alarmapi-acmeop/v2/notifications/mindsphere"
