"""The headers that tell a channel's callbacks from anybody else's."""

from __future__ import annotations

import re

from subscriber.platforms.pelion.callback import (
    SECRET_HEADER,
    callback_headers,
    callback_secret,
    registered_characters,
)


def test_a_secret_is_long_printable_and_does_not_show_the_key() -> None:
    secret = callback_secret("cellar", "ak_1MDE2")
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", secret) and "MDE2" not in secret


def test_a_secret_is_the_same_everywhere_and_another_for_each_channel_and_key() -> None:
    assert callback_secret("cellar", "ak_1") == callback_secret("cellar", "ak_1")
    secrets = {callback_secret(channel, key) for channel in ("cellar", "gate") for key in ("ak_1", "ak_2")}
    assert len(secrets) == 4


def test_all_headers_are_those_configured_and_the_secret() -> None:
    headers = callback_headers("cellar", "ak_1", [("X-Site", "north")])
    assert headers == {"X-Site": "north", SECRET_HEADER: callback_secret("cellar", "ak_1")}


def test_a_registration_uses_the_characters_of_address_names_and_values() -> None:
    assert registered_characters("https://x/", {"X-Site": "north", "Y": ""}) == 10 + 6 + 5 + 1
