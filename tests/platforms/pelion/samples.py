"""Messages as the platform documents them, with made-up values."""

from __future__ import annotations

import json
from typing import Any

CELLAR, GATE = "018a3c5e77100000000000010010a1b2", "018a3c5e77100000000000010010c3d4"


def value(**changes: Any) -> dict[str, Any]:
    """A resource's value in the default serialization; None takes a member away."""
    item = {"ep": CELLAR, "path": "/3303/0/5700", "ct": "text/plain", "payload": "MjEuNQ==", "max-age": 0} | changes
    return {name: member for name, member in item.items() if member is not None}


def message(**arrays: Any) -> bytes:
    """Names with _ for -, since Python has them so."""
    return json.dumps({name.replace("_", "-"): items for name, items in arrays.items()}).encode()
