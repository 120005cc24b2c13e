"""What a worker does for Pelion's channels: looks whether they stand, brings back what is gone, observes anew.

Looking is cheap and frequent: a channel that the service has removed is made again within a minute. Subscriptions are
gone through at the start, after a channel was made anew, and when their rows are due. A device that registers anew
forgets what was observed of it; its registration comes as a notification, whichever way the channel's notifications
come, so the inbox is where that is noticed.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from subscriber.errors import SubscriberError
from subscriber.model import Tenant
from subscriber.pelion.plan import tenant_of
from subscriber.pelion.registrar import Registrar
from subscriber.registration.rounds import Rounds
from subscriber.settings import PelionChannel
from subscriber.store import Reports, RowFilter

logger = logging.getLogger(__name__)

LOOK_SECONDS = 60.0  # the vendor's own bridge looks as often
NOTICE_SECONDS = 5.0  # a device that registers anew is silent for so long at most
HURRY_SECONDS = 1.0  # between the first rounds, as long as one fails
EARLY_ROUNDS = 10
REGISTRATIONS = "registrations"  # the topic
AT_ONCE = 500  # registrations read at once
END_SECONDS = 2.0


class Upkeep:
    """Of the configured channels."""

    def __init__(
        self,
        channels: Iterable[PelionChannel],
        registrar: Registrar,
        reports: Reports,
        *,
        jitter: Callable[[], float] = random.random,
        look_seconds: float = LOOK_SECONDS,
        notice_seconds: float = NOTICE_SECONDS,
    ) -> None:
        self._registrar = registrar
        self._reports = reports
        self._ended = threading.Event()
        self._notice_seconds = notice_seconds
        configured = list(channels)
        self._observed = {
            tenant_of(channel.name): frozenset(one.ep for one in channel.subscriptions)
            for channel in configured
            if channel.subscriptions
        }
        self._cursors: dict[Tenant, str] = {}
        self._mutex = threading.Lock()
        self._anew = {tenant_of(channel.name) for channel in configured}  # guarded; everything is asked of these
        self._early = EARLY_ROUNDS
        self._rounds = Rounds(self.round, look_seconds, jitter)

    def made_anew(self, tenant: Tenant) -> None:
        """The channel is a new one: everything is asked about it, soon. May be called from any thread."""
        with self._mutex:
            self._anew.add(tenant)
        self._rounds.ask(0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Rounds and noticing, for a ``with`` block. Starting waits for nothing."""
        noticing = threading.Thread(target=self._notice, name="pelion-devices", daemon=True)
        with ExitStack() as stack:
            stack.callback(self._registrar.close)
            self._rounds.start()
            stack.callback(self._rounds.close)
            if self._observed:
                noticing.start()
                stack.callback(noticing.join, END_SECONDS)
            stack.callback(self._ended.set)
            yield

    def round(self) -> bool:
        """Look, and bring in order. True if nothing failed. Raises ``LockHeld``, and ours."""
        with self._mutex:
            thoroughly, self._anew = self._anew, set()
        done = False
        try:
            report = self._registrar.run(thoroughly=thoroughly).report
            done = not report.cut_short
            self._hurry(report.ok)
            return report.ok
        finally:
            if not done:
                with self._mutex:
                    self._anew |= thoroughly

    def _hurry(self, ok: bool) -> None:
        """Callbacks are verified by a call to us, and the web may start a little later than the worker."""
        self._early = 0 if ok else self._early - 1
        if self._early > 0:
            self._rounds.ask(HURRY_SECONDS)

    def _notice(self) -> None:
        while not self._ended.is_set():
            try:
                self.notice()
            except SubscriberError as error:
                extra = {"action": "registrations_unread", "reason": error.reason}
                logger.warning("devices that registered were not looked for: %s", error, extra=extra)
            except Exception:  # the top of a thread
                logger.exception("devices are not observed again", extra={"action": "observing_failed"})
            self._ended.wait(self._notice_seconds)

    def notice(self) -> None:
        """Observe again what belongs to devices that have registered since the last time."""
        for tenant, devices in self._observed.items():
            if tenant not in self._cursors:
                self._cursors[tenant] = self._reports.end()
                continue
            wanted = RowFilter(tenant=tenant, topic=REGISTRATIONS)
            tail = self._reports.after(wanted, self._cursors[tenant], AT_ONCE)
            for ep in dict.fromkeys(row.notification.source for row in tail.rows):
                if ep in devices:
                    self._registrar.repeat(tenant, ep)
            self._cursors[tenant] = tail.cursor
