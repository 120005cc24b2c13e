"""The address on the internet, asked of a small server that answers in the agent's two shapes."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from subscriber.errors import NoTunnel
from subscriber.tunnel import https_address, own_address
from tests.small_agent import SmallAgent, endpoint, tunnel

PORT = 5000


@pytest.fixture
def agent() -> Iterator[SmallAgent]:
    with SmallAgent() as agent:
        yield agent


def refusal(agent: SmallAgent) -> NoTunnel:
    with pytest.raises(NoTunnel) as caught:
        https_address(agent.api, PORT)
    return caught.value


@pytest.mark.parametrize(
    "addr", ["http://localhost:5000", "https://127.0.0.1:5000", "localhost:5000", "http://[::1]:5000", "5000"]
)
def test_the_tunnel_that_ends_at_our_port_is_found(agent: SmallAgent, addr: str) -> None:
    agent.tunnels(tunnel("http://localhost:9", "https://other.ngrok.app"), tunnel(addr))
    assert https_address(agent.api, PORT) == "https://a1b2.ngrok-free.app"
    assert agent.asked == ["/api/tunnels"]


@pytest.mark.parametrize("tunnels", [None, []], ids=["no such list", "an empty one"])
def test_an_agent_of_the_newer_shape_is_understood(agent: SmallAgent, tunnels: list[object] | None) -> None:
    if tunnels is not None:
        agent.tunnels(*tunnels)
    agent.endpoints(endpoint("http://localhost:5000"), endpoint("http://localhost:9", "https://other.ngrok.app"))
    assert https_address(agent.api, PORT) == "https://c3d4.ngrok.app"
    assert agent.asked == ["/api/tunnels", "/api/endpoints"]


def test_an_upstream_without_a_port_ends_at_its_scheme_s(agent: SmallAgent) -> None:
    agent.endpoints(endpoint("https://localhost"))
    assert https_address(agent.api, 443) == "https://c3d4.ngrok.app"


def test_of_one_tunnel_s_two_schemes_the_https_one_is_taken(agent: SmallAgent) -> None:
    agent.tunnels(tunnel("http://localhost:5000", "http://a1b2.ngrok-free.app", "http"), tunnel("5000"))
    assert https_address(agent.api, PORT) == "https://a1b2.ngrok-free.app"


def test_an_address_listed_twice_is_one(agent: SmallAgent) -> None:
    agent.tunnels(tunnel("http://localhost:5000"), tunnel("localhost:5000", "https://a1b2.ngrok-free.app/"))
    assert https_address(agent.api, PORT) == "https://a1b2.ngrok-free.app"


def test_without_an_agent_the_text_says_what_to_start() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listened: nobody answers there
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/api"
        with pytest.raises(NoTunnel, match=r"`ngrok http 5000`.*NGROK_API_URL") as caught:
            https_address(address, PORT)
    assert caught.value.reason == "agent_away"


def test_a_tunnel_to_another_port_does_not_count(agent: SmallAgent) -> None:
    agent.tunnels(tunnel("http://localhost:15000"), tunnel("http://localhost:500"))
    agent.endpoints()
    assert refusal(agent).reason == "tunnel_missing"
    assert "`ngrok http 5000`" in refusal(agent).detail


def test_several_addresses_of_our_port_are_a_question_for_a_person(agent: SmallAgent) -> None:
    agent.tunnels(tunnel("localhost:5000"), tunnel("localhost:5000", "https://second.example"))
    error = refusal(agent)
    assert error.reason == "tunnel_ambiguous"
    assert "https://a1b2.ngrok-free.app, https://second.example" in error.detail and "PUBLIC_URL" in error.detail


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"tunnels": {}}', b""])
def test_something_else_at_that_address_is_named_as_such(agent: SmallAgent, body: bytes) -> None:
    agent.replies["/api/tunnels"] = body
    assert refusal(agent).reason == "agent_unreadable"


@pytest.mark.parametrize(
    "entry",
    [
        7,
        {},
        {"public_url": "https://x.example"},
        {"public_url": "https://x.example", "config": {"addr": 5000}},
        {"public_url": "https://x.example", "config": {"addr": "http://localhost:99999999"}},
        {"public_url": "https://x.example", "config": {"addr": "http://[::1"}},
        {"public_url": "https://x.example\x1b[2J", "config": {"addr": "5000"}},
        {"public_url": "https://", "config": {"addr": "5000"}},
        {"url": "tcp://x.example:1", "upstream": {"url": "localhost:5000"}},
    ],
)
def test_entries_of_no_use_are_passed_over(agent: SmallAgent, entry: object) -> None:
    agent.tunnels(entry)
    assert refusal(agent).reason == "tunnel_missing"


def test_the_setting_is_an_address_or_the_word_that_asks_for_one(agent: SmallAgent) -> None:
    agent.tunnels(tunnel("localhost:5000"))
    assert own_address("ngrok", agent.api, PORT) == "https://a1b2.ngrok-free.app"
    assert own_address("https://me.example", agent.api, PORT) == "https://me.example"
    assert own_address("", agent.api, PORT) == ""
    assert len(agent.asked) == 1
