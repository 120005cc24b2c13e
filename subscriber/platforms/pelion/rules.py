"""What is asked of a Pelion application: rules for all devices, and resources of single ones.

Values only; ``settings`` makes them and has checked them. Limits of presubscriptions: public API contract (April
2020), section on subscriptions.
"""

from __future__ import annotations

from dataclasses import dataclass

CALLBACK, WEBSOCKET = "callback", "websocket"  # how a channel's notifications come

MAX_RULES = 1024
NAME_CHARS = 64  # of an endpoint's name or type
PATH_CHARS = 128
MAX_PATHS = 256  # different ones over all rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Presubscription:
    """Subscribes whatever matches when a device registers or updates. Empty members match all; ``*`` may end one."""

    endpoint_name: str = ""  # the device's id
    endpoint_type: str = ""
    resource_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSubscription:
    """Resources of one device. The platform forgets them when the device registers anew."""

    ep: str  # the device's id
    paths: tuple[str, ...]  # objects, instances or resources: /3303, /3303/0, /3303/0/5700
