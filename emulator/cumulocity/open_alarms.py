"""Which alarms are not cleared: one at most for each source and type.

Core OpenAPI specification, Alarms: a repeated alarm is the first one counted up, and a device shows how many alarms
of each severity it has in ``c8y_ActiveAlarmsStatus``. Kept beside the documents: neither question reads them all.
"""

from __future__ import annotations

from emulator.journal import Journal

CLEARED = "CLEARED"
SEVERITIES = ("CRITICAL", "MAJOR", "MINOR", "WARNING")

SCHEMA = """
CREATE TABLE IF NOT EXISTS c8y_open_alarms (
  tenant TEXT NOT NULL, source TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, severity TEXT NOT NULL,
  PRIMARY KEY (tenant, source, type)
) WITHOUT ROWID
"""


class OpenAlarms:
    """The table ``c8y_open_alarms``."""

    def __init__(self, journal: Journal) -> None:
        self._db = journal.db
        journal.extend(SCHEMA)

    def id_of(self, tenant: str, source: str, type: str) -> str | None:
        row = self._db.execute(
            "SELECT id FROM c8y_open_alarms WHERE tenant = ? AND source = ? AND type = ?", (tenant, source, type)
        ).fetchone()
        return row[0] if row else None

    def keep(self, tenant: str, source: str, alarm: dict[str, object]) -> None:
        """Follow an alarm as it is now."""
        key = (tenant, source, str(alarm["type"]))
        if alarm["status"] == CLEARED:
            self._db.execute("DELETE FROM c8y_open_alarms WHERE tenant = ? AND source = ? AND type = ?", key)
        else:
            self._db.execute(
                "INSERT OR REPLACE INTO c8y_open_alarms VALUES (?, ?, ?, ?, ?)",
                (*key, str(alarm["id"]), str(alarm["severity"])),
            )

    def counts(self, tenant: str, source: str) -> dict[str, int]:
        """By severity in lower case, zeros included."""
        found = dict.fromkeys(map(str.lower, SEVERITIES), 0)
        for severity, count in self._db.execute(
            "SELECT severity, count(*) FROM c8y_open_alarms WHERE tenant = ? AND source = ? GROUP BY severity",
            (tenant, source),
        ):
            found[severity.lower()] = count
        return found

    def clear(self) -> None:
        self._db.execute("DELETE FROM c8y_open_alarms")
