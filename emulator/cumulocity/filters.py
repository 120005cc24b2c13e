"""What a subscription lets through: ``apis``, ``typeFilter``, ``fragmentsToCopy``. Pure.

Core OpenAPI specification, Subscriptions, and "Notifications 2.0, overview". The vendor's documents leave the escape
rule, refusals and the standard members open; what is chosen here is marked in docs/fidelity.md, rows N2-3.4 to 3.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from emulator.cumulocity.documents import Document

ANY = "*"
WITH_CHILDREN = "WithChildren"
FAMILIES = ("alarms", "events")  # what can be asked for with all descendants
MO_APIS = (*FAMILIES, *(api + WITH_CHILDREN for api in FAMILIES), "managedobjects", "measurements", "operations")
TENANT_APIS = ("alarms", "events", "managedobjects", "operations")  # and measurements, if named and a knob allows it
STANDARD = frozenset(
    """id self type time creationTime lastUpdated source name owner text severity status count firstOccurrenceTime
    history deviceId deviceName description failureReason bulkOperationId assetParents deviceParents additionParents
    childAssets childDevices childAdditions""".split()
)  # survive ``fragmentsToCopy``; the exact list is assumed

LITERAL = r"'(?:[^']|'')*'"
EXPRESSION = re.compile(rf"(?:type eq )?{LITERAL}(?: or (?:type eq )?{LITERAL})*")
BARE = re.compile(r"[^'\"()\s]+")


class FilterError(ValueError):
    """The filter says nothing the platform understands."""


def types_of(filter: str) -> frozenset[str]:
    """The types a ``typeFilter`` lets through, e.g. ``'a' or 'b'``; one word may stand without quotes."""
    text = filter.strip()
    if EXPRESSION.fullmatch(text):
        return frozenset(word[1:-1].replace("''", "'") for word in re.findall(LITERAL, text))
    if BARE.fullmatch(text):
        return frozenset({text})
    raise FilterError("typeFilter is one type, or several in quotes joined by or")


def apis_of(context: str, named: Iterable[str] | None, *, tenant_measurements: bool) -> frozenset[str]:
    """The APIs a rule of this context forwards. None, like ``*``, is all but a tenant's measurements."""
    legal = MO_APIS if context == "mo" else TENANT_APIS
    if named is None:
        return frozenset(legal)
    words = list(named)
    if words == [ANY]:
        return frozenset(legal)
    extra = ("measurements",) if tenant_measurements else ()
    wrong = [word for word in words if word not in (*legal, *extra)]
    if wrong or not words:
        raise FilterError(f"context {context} has no API {', '.join(wrong)[:80]}" if wrong else "apis is empty")
    return frozenset(words)


def projected(document: Document, fragments: frozenset[str]) -> Document:
    """Standard members and these fragments; what else the document has is cut. No fragments: unchanged."""
    if not fragments:
        return document
    return {name: value for name, value in document.items() if name in STANDARD or name in fragments}
