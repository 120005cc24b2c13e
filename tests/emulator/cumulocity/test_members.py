"""Members of a body that are not what they should be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from emulator.cumulocity.errors import Refused
from emulator.cumulocity.members import flag, named, words


@pytest.mark.parametrize(
    "read",
    [
        lambda: named("a_b", "x"),
        lambda: named("", "x"),
        lambda: named(None, "x"),
        lambda: named("a" * 201, "x"),
        lambda: words("a", "x"),
        lambda: words([1], "x"),
        lambda: flag({"x": "true"}, "x", False),
    ],
)
def test_the_wrong_kind_is_unprocessable(read: Callable[[], object]) -> None:
    with pytest.raises(Refused) as caught:
        read()
    assert caught.value.status == 422 and "x" in caught.value.message


def test_null_is_absent() -> None:
    """N2-3.3: clients send explicit nulls."""
    assert words(None, "x") is None
    assert flag({"x": None}, "x", True) is True
    assert words(["a", "b"], "x") == ("a", "b")
