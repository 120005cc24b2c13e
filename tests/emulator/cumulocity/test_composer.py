"""What devices of a rehearsal report."""

from __future__ import annotations

from random import Random

import pytest

from emulator.cumulocity.composer import PUBLISHED, composed, device


@pytest.mark.parametrize("api", PUBLISHED)
def test_the_same_seed_makes_the_same_rehearsal(api: str) -> None:
    one, two = (composed(api, "7", 1, "2026-01-01T00:00:00.000Z", Random(1)) for _ in range(2))
    assert one == two != composed(api, "7", 2, "2026-01-01T00:00:00.000Z", Random(2))


def test_a_device_is_one() -> None:
    assert "c8y_IsDevice" in device(1)
