"""Objects for ``publish``: what devices of a rehearsal report, one unlike the other.

Made-up content in the platform's shapes. A seeded generator makes the values, so the same seed makes the same
rehearsal. Alarms have a type of their own each, else the platform would count the first one up.
"""

from __future__ import annotations

from random import Random

from emulator.cumulocity.documents import Document

PUBLISHED = ("alarms", "events", "measurements", "operations", "managedobjects")


def device(number: int) -> Document:
    """A device of the seed world."""
    return {"name": f"Freezer {number}", "type": "acme_Freezer", "c8y_IsDevice": {}, "c8y_Hardware": {"model": "F7"}}


def composed(api: str, source: str, number: int, at: str, rng: Random) -> Document:
    """The body of a request that creates one of these, or (managed objects) changes one."""
    about: Document = {"source": {"id": source}, "time": at}
    if api == "alarms":
        severity = rng.choice(("CRITICAL", "MAJOR", "MINOR", "WARNING"))
        return {**about, "type": f"acme_TooWarm{number}", "text": "Above -15 C", "severity": severity}
    if api == "events":
        return {**about, "type": "acme_DoorOpened", "text": f"Door opened, number {number}"}
    if api == "measurements":
        value = round(rng.uniform(-30, 5), 2)
        return {**about, "type": "c8y_Temperature", "c8y_Temperature": {"T": {"value": value, "unit": "C"}}}
    if api == "operations":
        return {"deviceId": source, "description": f"Restart, number {number}", "c8y_Restart": {}}
    return {"acme_Setpoint": {"value": round(rng.uniform(-30, -10), 2), "number": number}}
