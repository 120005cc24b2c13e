"""What a variable may say, and what is told to whoever wrote something else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from subscriber.settings import parsers


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parsers.words, " a, b,, ", ("a", "b")),
        (parsers.whole_number, "-3", -3),
        (parsers.at_least(2), "2", 2),
        (parsers.port_number, "65535", 65535),
        (parsers.flag, "1", True),
        (parsers.http_url, "https://x/y/", "https://x/y"),
        (parsers.public_address, "ngrok", "ngrok"),
        (parsers.json_pointer, "/a/b", "/a/b"),
        (parsers.database_address, "sqlite:///var/x.db", "sqlite:///var/x.db"),
        (parsers.database_address, "postgres://u:p@h:5432/d", "postgres://u:p@h:5432/d"),
        (parsers.database_address, "postgresql://h1,h2/d?sslmode=require", "postgresql://h1,h2/d?sslmode=require"),
        (parsers.database_address, "postgresql:///d?host=/run", "postgresql:///d?host=/run"),
        (parsers.amqp_address, "amqp://u:p@h/v", "amqp://u:p@h/v"),
        (parsers.amqp_address, "amqps://h:5671", "amqps://h:5671"),
        (parsers.exchange_name, "x" * 255, "x" * 255),
        (parsers.header_name, "X-SSL-Client-Subject", "X-SSL-Client-Subject"),
    ],
)
def test_a_value_that_fits_is_taken(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "wanted"),
    [
        (parsers.whole_number, "canary", "whole number"),
        (parsers.at_least(2), "1", "at least 2"),
        (parsers.port_number, "65536", "between 1 and 65535"),
        (parsers.flag, "yes", "0 or 1"),
        (parsers.http_url, "ftp://canary", "http:// or https://"),
        (parsers.json_pointer, "canary", "JSON pointer"),
        (parsers.database_address, "sqlite:///", "sqlite:///path"),
        (parsers.database_address, "mysql://canary/d", "postgresql://"),
        (parsers.database_address, "postgresql:canary", "postgresql://"),
        (parsers.amqp_address, "amqp:///canary", "amqps://"),
        (parsers.amqp_address, "amqp://h:canary", "amqps://"),
        (parsers.amqp_address, "amqp://[canary", "amqps://"),
        (parsers.amqp_address, "http://canary", "amqps://"),
        (parsers.exchange_name, "ä" * 128, "255 bytes"),
        (parsers.exchange_name, "amq.canary", "amq."),
        (parsers.header_name, "X_canary", "letters, digits and -"),
    ],
)
def test_any_other_is_refused_with_what_is_wanted_and_without_the_text(
    parse: Callable[[str], object], text: str, wanted: str
) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert wanted in str(caught.value) and "canary" not in str(caught.value)
