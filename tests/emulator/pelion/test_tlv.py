"""Object values in LwM2M's own form."""

from __future__ import annotations

import base64

import pytest

from emulator.pelion.tlv import OBJECT_INSTANCE, RESOURCE, encode, entry

VALUES = {"/3303/0/5700": b"21.5", "/3303/0/5701": b"Cel", "/3303/1/5700": b"7", "/3/0/0": b"x"}


def test_an_instance_is_its_resources() -> None:
    """The same bytes as the published sample of a temperature sensor."""
    assert base64.b64encode(encode("/3303/0", VALUES)) == b"5BZEMjEuNeMWRUNlbA=="


def test_an_object_is_its_instances() -> None:
    inner = encode("/3303/0", VALUES)
    assert encode("/3303", VALUES) == entry(OBJECT_INSTANCE, 0, inner) + entry(
        OBJECT_INSTANCE, 1, entry(RESOURCE, 5700, b"7")
    )


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (0, bytes([0b11000000, 5])),
        (7, bytes([0b11000111, 5])),
        (8, bytes([0b11001000, 5, 8])),
        (256, bytes([0b11010000, 5, 1, 0])),
        (65_536, bytes([0b11011000, 5, 1, 0, 0])),
    ],
)
def test_lengths_take_as_few_bytes_as_they_need(length: int, head: bytes) -> None:
    assert entry(RESOURCE, 5, b"x" * length) == head + b"x" * length
