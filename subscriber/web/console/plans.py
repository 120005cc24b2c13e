"""A plan as people read it: what a run would change at one platform, what is done to what, and what is lost by it.

``seen`` stands for the losses that a plan shows: two plans that lose the same have the same. A page sends it along
with the order to apply the plan, and whoever acts makes the plan anew and goes on only if it loses the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b

from subscriber.model import CUMULOCITY, MINDSPHERE, PELION, SMARTREST, Tenant
from subscriber.registrars import Registrar
from subscriber.registration.census import Survey
from subscriber.registration.plan import Change, Unsubscribe
from subscriber.registration.reconciler import Reconciler

SHOWN_LINES = 100  # of one platform's plan; a page that long is read by nobody
REMEMBERED = frozenset({MINDSPHERE})  # platforms that need not be asked for their plan
SEEN_BYTES = 16  # of a digest; nobody gains by two plans that have the same

NAMES = {
    MINDSPHERE: "MindSphere",
    CUMULOCITY: "Cumulocity Notification 2.0",
    SMARTREST: "Cumulocity real-time",
    PELION: "Pelion",
}
CREATED, REPLACED, REMOVED, UNSURE = "created", "replaced", "removed", "unsure"
REPLACING = frozenset({"moved", "differs", "changed"})  # reasons why something takes another's place
BECOMING = frozenset({"differs", "changed"})  # an address that moved is the same for all, and long
REASONS = {
    "new": "it is not there yet",
    "failed": "it was refused the last time",
    "stale": "it could not be removed, and is wanted again",
    "lost": "the platform has it no more",
    "moved": "its address is another now",
    "differs": "what is there differs from what is configured",
    "changed": "other rules are configured",
    "kind": "a channel of another kind is in its place: that one stays, so this will be refused",
    "stopped": "the platform sent the session away",
    "unsure": "the platform does not say what there is; trying tells why",
    "topic": "its topic is not configured any more",
    "version": "it is an older version's",
    "tenant": "its tenant is not served any more",
    "dropped": "it is not configured any more",
}

# Why there is no plan; also UNSURE, if the platform says of nothing what there is.
UNASKED, SLOW, SILENT, REFUSED, BUSY, FAULT = "unasked", "slow", "silent", "refused", "busy", "fault"


@dataclass(frozen=True, slots=True)
class Line:
    """One change. ``does``: one of the words above; ``loses``: what is lost by it, empty if nothing."""

    change: Change
    does: str
    loses: str

    @property
    def becomes(self) -> str:
        """What is there afterwards: other filters, other rules, a consumer of another kind. Else empty."""
        return self.change.subscription.uri if self.change.why in BECOMING else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Of one platform, for all tenants or for some. ``problem``: why there is none, else empty."""

    platform: str
    lines: Sequence[Line] = ()  # what loses something first; not all, if there are many
    counts: Mapping[str, int] = field(default_factory=dict)  # of all changes, by what is done
    losing: int = 0  # changes that lose something
    seen: str = ""  # stands for what is lost; empty: nobody has seen all of that, or the platform did not say all
    asked_at: datetime | None = None  # None: made of what is remembered
    problem: str = ""
    detail: str = ""  # of the problem; for who looks after the platform

    @property
    def name(self) -> str:
        return NAMES[self.platform]

    @property
    def remembered(self) -> bool:
        """Is it made without asking the platform?"""
        return self.platform in REMEMBERED

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def plan_of(registrar: Registrar, tenants: Sequence[Tenant] | None) -> Plan:
    """The plan for these tenants, None: for all. Raises what ``survey`` and ``changes`` raise."""
    losing: list[Line] = []
    others: list[Line] = []
    counts: Counter[str] = Counter()
    lost = seen = 0
    for change in _changes(registrar, tenants):
        line = Line(change, _does(change), registrar.loses(change))
        counts[line.does] += 1
        if line.loses:
            lost, seen = lost + 1, seen + _digest(change)
        shown = losing if line.loses else others
        if len(shown) < SHOWN_LINES:
            shown.append(line)
    return Plan(
        platform=registrar.platform,
        lines=[*losing, *others][:SHOWN_LINES],
        counts=counts,
        losing=lost,
        seen="" if lost > SHOWN_LINES or counts[UNSURE] else f"{seen % 256**SEEN_BYTES:0{2 * SEEN_BYTES}x}",
    )


def removes(registrar: Registrar, tenants: Sequence[Tenant] | None) -> bool:
    """Would a run remove something that somebody gets? Raises what ``survey`` and ``changes`` raise."""
    return any(isinstance(one, Unsubscribe) and registrar.loses(one) for one in _changes(registrar, tenants))


def _changes(registrar: Registrar, tenants: Sequence[Tenant] | None) -> Iterator[Change]:
    survey = _survey(registrar)
    for tenant in [None] if tenants is None else tenants:
        if tenant is None or tenant.platform == registrar.platform:
            yield from registrar.changes(survey, tenant)


def _survey(registrar: Registrar) -> Survey:
    """Where a question about one tenant reads no list, that is the question."""
    return registrar.survey(only=registrar.host) if isinstance(registrar, Reconciler) else registrar.survey()


def _does(change: Change) -> str:
    if isinstance(change, Unsubscribe):
        return REMOVED
    if change.why == UNSURE:
        return UNSURE
    return REPLACED if change.why in REPLACING else CREATED


def _digest(change: Change) -> int:
    """Digests are added up, so the order of changes is no matter."""
    one = change.subscription
    text = "\0".join((_does(change), change.why, *one.tenant, one.topic, one.subscriber, one.version, one.uri))
    return int.from_bytes(blake2b(text.encode(), digest_size=SEEN_BYTES).digest(), "big")
