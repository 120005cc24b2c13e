"""The error tree: each kind has a slug and a status, and the drawing at the top of the module is true."""

from __future__ import annotations

import re

import pytest

from subscriber import errors
from subscriber.errors import SubscriberError, Unavailable


def kinds(base: type[SubscriberError] = SubscriberError) -> list[type[SubscriberError]]:
    """Those of this module: the web front adds one of its own, which never leaves it."""
    found = [kind for child in base.__subclasses__() for kind in (child, *kinds(child))]
    return [kind for kind in found if kind.__module__ == errors.__name__]


def test_the_drawing_names_every_kind_in_its_place() -> None:
    drawn = re.findall(r"^ {4}([│ ]*)[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE)
    assert sorted(name for _, name in drawn) == sorted(kind.__name__ for kind in kinds())
    nested = {name for indent, name in drawn if indent}
    assert nested == {kind.__name__ for kind in kinds(Unavailable)}


def test_the_base_is_never_raised_itself() -> None:
    with pytest.raises(TypeError):
        SubscriberError("x")


@pytest.mark.parametrize("kind", kinds(Unavailable) + [Unavailable])
def test_whatever_is_our_fault_is_a_503_that_says_when_to_come_again(kind: type[SubscriberError]) -> None:
    assert kind.status == 503 and kind.retry_after_seconds


@pytest.mark.parametrize("kind", kinds())
def test_reasons_are_slugs(kind: type[SubscriberError]) -> None:
    assert re.fullmatch(r"[a-z_]+", kind.reason)


def test_an_error_reads_as_reason_and_detail() -> None:
    assert str(errors.InvalidToken("too old", reason="expired")) == "expired: too old"
    assert str(errors.InvalidToken()) == "token"


def test_a_settings_error_holds_every_problem() -> None:
    assert errors.SettingsError(["a", "b"]).problems == ["a", "b"]
