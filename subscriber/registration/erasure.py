"""Forgets tenants whose time is over: gone from the list for as long as the settings say.

Erasing rewrites much of a database, so a few at a time; whoever is left waits for the next round.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from subscriber.errors import StoreBusy
from subscriber.model import Tenant
from subscriber.store import Store

logger = logging.getLogger(__name__)

ERASED_A_ROUND = 5
ERASE_ATTEMPTS = 10  # a reader may hold on to deleted pages for a moment
ERASE_PAUSE_SECONDS = 1.0


def erase_departed(store: Store, platform: str, retention: timedelta, stop: threading.Event) -> None:
    """Erase some tenants of a platform that left longer than ``retention`` ago. ``stop`` ends waiting for readers."""
    for tenant in store.registry.departed(platform, retention)[:ERASED_A_ROUND]:
        _erase(store, tenant, stop)


def _erase(store: Store, tenant: Tenant, stop: threading.Event) -> None:
    for _ in range(ERASE_ATTEMPTS):
        try:
            rows = store.inbox.erase(tenant)
        except StoreBusy:
            if stop.wait(ERASE_PAUSE_SECONDS):
                return
            continue
        store.registry.audit("worker", "erase", f"{tenant}: {rows} rows")
        extra = {"action": "erased", "platform": tenant.platform, "tenant": tenant.name, "rows": rows}
        logger.info("a tenant's data was erased", extra=extra)
        return
