"""`tunnel`: the address, and where it belongs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.conftest import CREDENTIALS, Run
from tests.small_agent import SmallAgent, tunnel

ADDRESS = "https://a1b2.ngrok-free.app"


@pytest.fixture
def agent(environ: dict[str, str]) -> Iterator[SmallAgent]:
    with SmallAgent() as agent:
        environ.update(NGROK_API_URL=agent.api, PORT="5000")
        agent.tunnels(tunnel("http://localhost:5000"))
        yield agent


def test_the_address_is_shown_with_what_to_enter_in_the_cockpit(run: Run, agent: SmallAgent) -> None:
    result = run("tunnel")
    assert result.code == 0
    assert ADDRESS in result.out and f"{ADDRESS}/health/" in result.out
    assert "direct URL" in result.out and "never the `uri` of a subscription" in result.out


def test_the_subscription_names_the_gateway_whatever_the_tunnel_is(
    run: Run, agent: SmallAgent, environ: dict[str, str]
) -> None:
    environ.update(CREDENTIALS)
    (shown,) = run("tunnel", "--json").objects
    assert shown == {
        "address": ADDRESS,
        "port": 5000,
        "endpoint": "/notifications/mindsphere",
        "health": f"{ADDRESS}/health/",
        "subscription_uri": "https://gateway.eu1.mindsphere.io/api/alarmapi-acmedv/v1/notifications/mindsphere",
    }


def test_a_template_that_names_the_tunnel_is_warned_about(
    run: Run, agent: SmallAgent, environ: dict[str, str]
) -> None:
    environ.update(CREDENTIALS, MDSP_URI_TEMPLATE="{public}/{endpoint}", PUBLIC_URL="ngrok")
    result = run("tunnel", "--json")
    assert result.objects[0]["subscription_uri"] == f"{ADDRESS}/notifications/mindsphere"
    assert result.err.startswith("warning: MDSP_URI_TEMPLATE")


def test_without_a_tunnel_it_fails_in_one_line_that_says_what_to_start(
    run: Run, agent: SmallAgent, environ: dict[str, str]
) -> None:
    environ["PORT"] = "5001"
    result = run("tunnel", "--json")
    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)
    assert "`ngrok http 5001`" in result.err
