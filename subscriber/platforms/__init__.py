"""What a platform module offers, stated once, and the table of platforms.

A codec is a plain module of pure functions: no I/O, no clock. It is the only place that knows a platform's words.
To add a platform: write the module, add its line to ``PLATFORMS``, its samples and its test. Platforms that reach us
by channels, and Pelion, whose callbacks have a door of their own (``subscriber.callbacks``), have no line there.
"""

from __future__ import annotations

from typing import Protocol

from subscriber.model import Delivery, Notification
from subscriber.platforms import mindsphere


class Webhook(Protocol):
    """A platform that calls us."""

    def decode(self, delivery: Delivery) -> list[Notification]:
        """The notifications in a delivery, at least one. Raises ``MalformedDelivery``; anything else is a bug."""


PLATFORMS: dict[str, Webhook] = {"mindsphere": mindsphere}
