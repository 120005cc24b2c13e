"""What was lost while the service was away: a platform keeps trying for a while, and then never again."""

from __future__ import annotations

from datetime import datetime, timedelta

from subscriber.store.values import Gap

AWAY = "away"  # reason of a gap between two heartbeats


def absence(platform: str, last: datetime, now: datetime, retention: timedelta) -> Gap | None:
    """The gap between the ``last`` heartbeat and this one; None if the platform was still trying by now."""
    if now - last <= retention:
        return None
    return Gap(
        tenant=None,
        platform=platform,
        channel="",
        lost_from=last,
        lost_until=now - retention,
        reason=AWAY,
        noticed_at=now,
    )
