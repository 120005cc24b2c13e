"""How fast a conversation may poll when its polls bring nothing: a server that answers at once must not spin us.

Pure. One quick answer without rows is normal: the first poll of a session is answered so, with advice. More of them
one after another are a server that does not hold polls: then it is asked less and less often, and what is published
meanwhile waits for the next poll.
"""

from __future__ import annotations

QUICK_SECONDS = 1.0  # an answer that was held at all takes longer
FIRST_SECONDS = 0.25
CEILING_SECONDS = 5.0  # so late a notification may come
DOUBLINGS = 10  # more than FIRST needs to pass CEILING


class Pace:
    """Of one conversation."""

    def __init__(self) -> None:
        self._quick = 0  # answers in a row

    @property
    def seconds(self) -> float:
        """How long to wait before the next poll, whatever else is waited for."""
        if self._quick < 2:
            return 0.0
        return min(CEILING_SECONDS, FIRST_SECONDS * 2.0 ** min(self._quick - 2, DOUBLINGS))

    def note(self, held_seconds: float, rows: int) -> None:
        """A poll was answered after so long, with so many rows."""
        self._quick = self._quick + 1 if held_seconds < QUICK_SECONDS and not rows else 0
