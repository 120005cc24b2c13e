"""Addresses of brokers: what they say, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from subscriber.errors import SettingsError
from subscriber.sinks.broker import Broker


@pytest.mark.parametrize(
    ("url", "host", "port", "virtual_host", "user", "password"),
    [
        ("amqp://mq.example", "mq.example", 5672, "/", "guest", "guest"),
        ("amqps://mq.example/", "mq.example", 5671, "/", "guest", "guest"),
        ("amqp://u:p@mq.example:1234/v", "mq.example", 1234, "v", "u", "p"),
        ("amqp://u%40x:p%2F%3A@mq.example/a%2Fb", "mq.example", 5672, "a/b", "u@x", "p/:"),
        ("amqp://[::1]:99/%2F", "::1", 99, "/", "guest", "guest"),
    ],
)
def test_an_address_says_where_and_as_whom(
    url: str, host: str, port: int, virtual_host: str, user: str, password: str
) -> None:
    broker = Broker.parse(url)
    assert (broker.host, broker.port, broker.virtual_host) == (host, port, virtual_host)
    assert (broker.user, broker.password) == (user, password)


@pytest.mark.parametrize(
    "url", ["", "mq.example", "http://u:c4nary@mq", "amqp://", "amqp://u:c4nary@mq:port", "amqp://[c4nary"]
)
def test_an_address_that_cannot_be_used_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Broker.parse(url)
    assert "c4nary" not in str(caught.value)


def test_nothing_in_the_address_turns_verification_off() -> None:
    broker = Broker.parse("amqps://mq.example/v?ssl_options=%7B%27cert_reqs%27%3A0%7D&verify=verify_none")
    options = broker.parameters().ssl_options
    assert (
        options is not None and options.context.check_hostname and options.context.verify_mode.name == "CERT_REQUIRED"
    )
    assert options.server_hostname == "mq.example"


def test_a_bundle_of_authorities_that_cannot_be_read_is_told_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with pytest.raises(SettingsError, match="REQUESTS_CA_BUNDLE"):
        Broker.parse("amqps://mq.example")


def test_authorities_may_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    assert Broker.parse("amqps://mq.example").tls


def test_the_password_stays_out_of_sight() -> None:
    broker = Broker.parse("amqp://u:c4nary@mq.example")
    assert "c4nary" not in f"{broker} {broker!r}"
