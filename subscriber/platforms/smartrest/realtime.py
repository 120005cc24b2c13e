"""What is asked for of one X-Id: its channels, and what the values of its templates mean.

Values only; ``settings`` makes them and has checked them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

# Two names each, the newer first (SmartREST reference; older names of the device control and CEP pages).
OPERATIONS_PATHS = ("/notification/operations", "/devicecontrol/notifications")
REALTIME_PATHS = ("/notification/realtime", "/cep/realtime")

OPERATIONS = "operations"  # kind of an agent's own channel, whose name tells only the agent
UNKNOWN = "unknown"  # topic of a row that no configured template made, where the channels are of several kinds
ANY_DEVICE = "*"
OWN_IDS = frozenset({"20", "40", "41", "42", "43", "45", "50", "86", "87", "88"})  # rows that no template may make


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A Bayeux channel: ``/<agent>`` for new operations, ``/<kind>/<device>`` or ``/<kind>/*`` for changes."""

    name: str
    x_ids: tuple[str, ...] = ()  # more template collections that format what comes on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A response template and what its values mean. ``columns`` names the values; the rest names columns."""

    x_id: str
    id: str
    columns: tuple[str, ...]
    paths: tuple[str, ...] = ()  # where each value stands (JSON path); empty: registered by somebody else
    base: str = ""  # JSON path of the element, or of a list with a row for each
    condition: str = ""  # JSON path that has to exist in the element
    topic: str = ""  # empty: the kind of the channels
    source: str = ""  # column; empty: the device of the channel
    action: str = ""  # column
    time: str = ""  # column: when it happened or changed
    key: tuple[str, ...] = ()  # columns that make a fact what it is; empty: nothing in the row does


@dataclass(frozen=True, kw_only=True)
class Realtime:
    """One conversation: the channels of one X-Id at one address of the platform."""

    tenant: str
    path: str
    x_id: str
    channels: tuple[Channel, ...]
    templates: tuple[Template, ...] = ()

    def __str__(self) -> str:
        return f"{self.tenant}{self.path} {self.x_id}"

    @cached_property
    def x_ids(self) -> tuple[str, ...]:
        """Every template collection in play, that of the header first."""
        extra = (x_id for channel in self.channels for x_id in channel.x_ids)
        return tuple(dict.fromkeys((self.x_id, *extra)))

    @cached_property
    def by_id(self) -> dict[tuple[str, str], Template]:
        return {(template.x_id, template.id): template for template in self.templates}

    @cached_property
    def topic(self) -> str:
        """The kind of all channels."""
        return _common(self._kind(channel) for channel in self.channels) or UNKNOWN

    @cached_property
    def source(self) -> str:
        """The device of all channels; empty if there are several, or any."""
        device = _common(channel.name.rpartition("/")[2] for channel in self.channels)
        return "" if device == ANY_DEVICE else device

    def templates_of(self, x_id: str) -> tuple[Template, ...]:
        return tuple(template for template in self.templates if template.x_id == x_id)

    def registrable(self, x_id: str) -> bool:
        """Is everything known that registering this collection takes?"""
        made = self.templates_of(x_id)
        return bool(made) and all(template.paths for template in made)

    def _kind(self, channel: Channel) -> str:
        return OPERATIONS if self.path in OPERATIONS_PATHS else channel.name.split("/")[1]


def _common(words: Iterable[str]) -> str:
    found = set(words)
    return found.pop() if len(found) == 1 else ""
