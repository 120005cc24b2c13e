"""Alarms that are not cleared."""

from __future__ import annotations

from emulator.cumulocity.open_alarms import OpenAlarms
from emulator.journal import Journal


def test_an_alarm_is_open_until_it_is_cleared(journal: Journal) -> None:
    open_alarms = OpenAlarms(journal)
    alarm: dict[str, object] = {"id": "1", "type": "hot", "severity": "MAJOR", "status": "ACTIVE"}
    open_alarms.keep("t1", "7", alarm)
    open_alarms.keep("t1", "7", {**alarm, "status": "ACKNOWLEDGED"})
    assert open_alarms.id_of("t1", "7", "hot") == "1" and open_alarms.id_of("t2", "7", "hot") is None
    assert open_alarms.counts("t1", "7") == {"critical": 0, "major": 1, "minor": 0, "warning": 0}
    open_alarms.keep("t1", "7", {**alarm, "status": "CLEARED"})
    assert open_alarms.id_of("t1", "7", "hot") is None and not any(open_alarms.counts("t1", "7").values())
