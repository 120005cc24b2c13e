"""Alarms, events, measurements and operations: what devices report and what they are told to do.

Core OpenAPI specification, one chapter each. A repeated alarm (same source and type, not cleared) raises ``count`` of
the first one instead of making another, and either way the device's ``c8y_ActiveAlarmsStatus`` follows. Measurements
never change; alarms and operations are never deleted one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from emulator.clock import Clock
from emulator.cumulocity.changes import Action, Change, Feed, stamp
from emulator.cumulocity.documents import Document, Documents
from emulator.cumulocity.errors import Refused, not_found, unprocessable
from emulator.cumulocity.inventory import Inventory
from emulator.cumulocity.open_alarms import CLEARED, SEVERITIES, OpenAlarms
from emulator.journal import Journal

STATUSES = ("ACTIVE", "ACKNOWLEDGED", CLEARED)
OPERATION_STATUSES = ("PENDING", "EXECUTING", "SUCCESSFUL", "FAILED")


@dataclass(frozen=True, slots=True)
class Kind:
    """One interface. ``source`` is the member that names the managed object, as an object or as a plain id."""

    name: str  # one of them; also the family of its errors and its media type
    api: str  # several; also the member of its collection
    path: str
    role: str  # ``ROLE_{role}_READ`` and ``_ADMIN``
    required: tuple[str, ...]
    changes: bool = True
    deletes: bool = True
    flat_source: str = ""  # empty: ``source.id``

    def source_of(self, document: Mapping[str, object]) -> str:
        """The id of the managed object, empty if the document names none."""
        source = document.get(self.flat_source or "source")
        if isinstance(source, dict):
            source = source.get("id")
        return str(source) if isinstance(source, str | int) else ""


ALARM = Kind(
    "alarm", "alarms", "/alarm/alarms", "ALARM", ("source", "type", "time", "text", "severity"), deletes=False
)
EVENT = Kind("event", "events", "/event/events", "EVENT", ("source", "type", "time", "text"))
MEASUREMENT = Kind(
    "measurement",
    "measurements",
    "/measurement/measurements",
    "MEASUREMENT",
    ("source", "type", "time"),
    changes=False,
)
OPERATION = Kind(
    "operation",
    "operations",
    "/devicecontrol/operations",
    "DEVICE_CONTROL",
    ("deviceId",),
    deletes=False,
    flat_source="deviceId",
)
KINDS = (ALARM, EVENT, MEASUREMENT, OPERATION)


class Records:
    """All four kinds, of all tenants. Every change is committed, then told to the feed."""

    def __init__(
        self, journal: Journal, documents: Documents, inventory: Inventory, feed: Feed, clock: Clock
    ) -> None:
        self._open_alarms = OpenAlarms(journal)
        self._journal = journal
        self._documents = documents
        self._inventory = inventory
        self._feed = feed
        self._clock = clock

    def get(self, tenant: str, kind: Kind, id: str) -> Document:
        found = self._documents.get(tenant, kind.name, id)
        if found is None:
            raise not_found(kind.name, f"Finding {kind.name} from database failed : No {kind.name} for gid '{id}'!")
        return found

    def select(self, tenant: str, kind: Kind, source: str | None, *, newest_first: bool = True) -> Iterator[Document]:
        return self._documents.select(tenant, kind.name, source, newest_first=newest_first)

    def create(self, tenant: str, kind: Kind, members: Document, *, told: bool = True) -> Document:
        """The stored document; of a repeated alarm the first one, counted up. ``told`` off: nobody hears of it."""
        device = self._checked(tenant, kind, members)
        if kind is ALARM and (known := self._repeated(tenant, members)) is not None:
            count = known.get("count", 1)
            assert isinstance(count, int)
            repeat = {"count": count + 1, "time": members["time"]}
            return self._change(tenant, kind, known, repeat)
        document = {"id": self._documents.new_id(), **self._defaults(kind, members, device), **_given(members)}
        if not kind.flat_source:
            document["source"] = {"id": kind.source_of(members), "name": device.get("name", "")}
        self._keep(tenant, kind, document, Action.CREATE, told)
        return document

    def update(self, tenant: str, kind: Kind, id: str, members: Document) -> Document:
        if not kind.changes:
            raise Refused(405, "general/Method Not Allowed", f"a {kind.name} does not change")
        _check_words(kind, members)
        return self._change(tenant, kind, self.get(tenant, kind, id), _given(members))

    def delete(self, tenant: str, kind: Kind, id: str) -> None:
        if not kind.deletes:
            raise Refused(405, "general/Method Not Allowed", f"a {kind.name} is not deleted one by one")
        document = self.get(tenant, kind, id)
        with self._journal.transaction():
            self._documents.delete(tenant, kind.name, id)
        source, type = kind.source_of(document), document.get("type")
        self._feed.emit(Change(tenant, kind.api, Action.DELETE, source, {"id": id}, type))

    # parts

    def _checked(self, tenant: str, kind: Kind, members: Document) -> Document:
        """The managed object the new document is about."""
        missing = [name for name in kind.required if members.get(name) in (None, "", {})]
        if missing:
            raise unprocessable(kind.name, f"Following mandatory fields should be included: {', '.join(missing)}")
        _check_words(kind, members)
        device = self._inventory.find(tenant, kind.source_of(members))
        if device is None:
            raise unprocessable(kind.name, "the source is not a managed object of this tenant")
        return device

    def _defaults(self, kind: Kind, members: Document, device: Document) -> Document:
        now = stamp(self._clock.now())
        if kind is ALARM:
            return {"creationTime": now, "lastUpdated": now, "status": "ACTIVE", "count": 1}
        if kind is EVENT:
            return {"creationTime": now, "lastUpdated": now}
        if kind is OPERATION:
            return {"creationTime": now, "status": "PENDING", "deviceName": device.get("name", "")}
        return {}

    def _repeated(self, tenant: str, members: Document) -> Document | None:
        """The alarm of the same source and type that is not cleared yet."""
        id = self._open_alarms.id_of(tenant, ALARM.source_of(members), str(members["type"]))
        return self._documents.get(tenant, ALARM.name, id) if id else None

    def _change(self, tenant: str, kind: Kind, document: Document, members: Document) -> Document:
        document |= {**members, "source": document["source"]} if not kind.flat_source else members
        document = {name: value for name, value in document.items() if value is not None}
        if "lastUpdated" in document:
            document["lastUpdated"] = stamp(self._clock.now())
        self._keep(tenant, kind, document, Action.UPDATE, True)
        return document

    def _keep(self, tenant: str, kind: Kind, document: Document, action: Action, told: bool) -> None:
        source = kind.source_of(document)
        with self._journal.transaction():
            self._documents.put(tenant, kind.name, source, document)
            if kind is ALARM:
                self._open_alarms.keep(tenant, source, document)
        if told:
            self._feed.emit(Change(tenant, kind.api, action, source, document, document.get("type")))
        if kind is ALARM and self._inventory.find(tenant, source):
            counts = self._open_alarms.counts(tenant, source)
            self._inventory.update(tenant, source, {"c8y_ActiveAlarmsStatus": counts})

    def clear(self) -> None:
        """Forget which alarms are open; the documents are ``Documents``' to forget."""
        self._open_alarms.clear()


def _given(members: Document) -> Document:
    return {name: value for name, value in members.items() if name not in ("id", "self", "creationTime")}


def _check_words(kind: Kind, members: Document) -> None:
    """Severity and status have fixed words."""
    words: dict[Kind, dict[str, tuple[str, ...]]] = {
        ALARM: {"severity": SEVERITIES, "status": STATUSES},
        OPERATION: {"status": OPERATION_STATUSES},
    }
    for name, allowed in words.get(kind, {}).items():
        if name in members and members[name] not in allowed:
            raise unprocessable(kind.name, f"{name} is one of {', '.join(allowed)}")
