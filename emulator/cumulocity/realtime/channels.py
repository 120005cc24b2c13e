"""Channels: which there are at which endpoint, what each role may hear, and where a change is told. Pure.

"Real-time notification API": ``/notification/realtime`` has a channel for each kind and device, ``*`` for all
devices; ``/notification/operations`` has one for each agent. Messages go to the concrete channel, never to ``*``.
That an agent hears of operations for its child devices is assumed. A name of another form is nobody's to publish to,
yet may be subscribed to: seed 003 does.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from emulator.cumulocity.changes import Action, Change
from emulator.cumulocity.documents import Document
from emulator.cumulocity.inventory import API as MANAGED_OBJECTS
from emulator.cumulocity.realtime.sessions import Family
from emulator.cumulocity.records import KINDS, OPERATION

OLD_AND_NEW = {  # the first is today's name
    Family.OPERATIONS: ("/notification/operations", "/devicecontrol/notifications"),
    Family.REALTIME: ("/notification/realtime", "/cep/realtime"),
}
CHANNEL = re.compile(r"(/[\w!$()*@~-]+)+")
PRIVATE = ("/meta", "/service")
ROLES = {kind.api: f"ROLE_{kind.role}_READ" for kind in KINDS} | {MANAGED_OBJECTS: "ROLE_INVENTORY_READ"}


class Telling(NamedTuple):
    """A change on one family's channels; the first is where it is published."""

    family: Family
    channels: tuple[str, ...]
    data: Document


def forbidden(family: Family, channel: str, roles: frozenset[str]) -> bool:
    """May someone with these roles not hear it?"""
    kind = channel.split("/")[1]
    if f"/{kind}" in PRIVATE or "**" in channel:
        return True
    role = ROLES[OPERATION.api] if family is Family.OPERATIONS else ROLES.get(kind)
    return role is not None and role not in roles


def tellings(change: Change, agents: list[str]) -> list[Telling]:
    """``agents``: what stands above the device; they hear of new operations too."""
    data: Document = {"realtimeAction": str(change.action), "data": change.document}
    channels = (f"/{change.api}/{change.source}", f"/{change.api}/*")
    found = [Telling(Family.REALTIME, channels, data)]
    if change.api == OPERATION.api and change.action is Action.CREATE:
        found.append(Telling(Family.OPERATIONS, tuple(f"/{id}" for id in (change.source, *agents)), change.document))
    return found
