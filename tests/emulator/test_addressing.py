"""Verbs find the platform of the tenants they name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from emulator.addressing import addressed
from emulator.control import ControlError, Fields, Verb


def echo(seen: list[tuple[str, object, object]], platform: str) -> Verb:
    async def verb(fields: Fields) -> Mapping[str, object]:
        seen.append((platform, fields.words("tenants"), fields.raw("count")))
        return {"messages": 2, "published": 1}

    return verb


def ask(members: Mapping[str, object]) -> tuple[list[tuple[str, object, object]], Mapping[str, object]]:
    seen: list[tuple[str, object, object]] = []
    verb = addressed({name: echo(seen, name) for name in ("mindsphere", "pelion")})
    return seen, asyncio.run(verb(Fields(members)))


def test_a_bare_name_is_mindspheres_and_no_name_too() -> None:
    assert ask({"tenant": "custaa", "count": 3})[0] == [("mindsphere", ["custaa"], 3)]
    assert ask({})[0] == [("mindsphere", [], None)]


def test_each_platform_gets_its_own_tenants_and_numbers_add_up() -> None:
    seen, answer = ask({"tenant": ["pelion/a", "b"], "tenants": ["pelion/c/d"]})
    assert seen == [("pelion", ["a", "c/d"], None), ("mindsphere", ["b"], None)]
    assert answer == {"messages": 4, "published": 2}


def test_a_platform_that_cannot_is_named() -> None:
    with pytest.raises(ControlError, match="there are: mindsphere, pelion"):
        ask({"tenant": "rain/a"})
