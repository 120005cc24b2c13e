"""The courier: every pending delivery is attempted until a 2xx, or until its retention ends.

Follows "Receiving MindSphere Notifications": one POST per message and subscription; only 2xx ends it, after four
days the message is dropped; at least once, out of order. Timing, headers and the wire form's variants are assumed.

How it stays small: what is pending lives in the journal. In memory there is one ``Lane`` per subscription that has
something to do, with a few deliveries read ahead; lanes take turns, so a long queue does not hold up a short one.
Attempts inside a declared outage are computed (``schedule``) and journalled, not sent.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import logging
import math
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from emulator.clock import Clock
from emulator.faults import Chance, Faults
from emulator.knobs import Panel
from emulator.ledger import Delivery, Ledger, Message, State
from emulator.mindsphere.access import Access
from emulator.mindsphere.addresses import Addresses
from emulator.mindsphere.errors import PlatformError
from emulator.mindsphere.gateway import Call, Gateway, forwarded
from emulator.mindsphere.publisher import fallen_back
from emulator.mindsphere.schedule import Retry
from emulator.mindsphere.subscriptions import Subscription, Subscriptions

LOG = logging.getLogger("emulator")
AHEAD = 64  # deliveries of one lane read ahead: rows without bodies
COMPUTED = 2_000  # deliveries of one lane computed in one go during an outage: some 50 ms
TURN = 2_000  # deliveries handled in one turn before requests get a chance
FLUSH_S = 0.05  # outcomes wait at most this long for their commit
STOP_S = 5.0  # attempts still running after this are given up; the journal has them as pending
USER_AGENT = "mdsp-message-broker-emulator/1"


@dataclass(slots=True)
class Lane:
    """One subscription's pending work."""

    subscription: int
    ahead: deque[Delivery] = field(default_factory=deque)
    running: dict[int, Delivery] = field(default_factory=dict)
    wake_at: float | None = None  # its earliest entry in the courier's alarm list
    queued: bool = False  # stands in the courier's queue
    dropped: bool = False  # its subscription is gone


class Courier:
    """``start`` and ``stop`` inside the event loop; everything runs on it."""

    def __init__(
        self,
        ledger: Ledger,
        subscriptions: Subscriptions,
        gateway: Gateway,
        access: Access,
        addresses: Addresses,
        clock: Clock,
        faults: Faults,
        chance: Chance,
        panel: Panel,
    ) -> None:
        self._ledger = ledger
        self._subscriptions = subscriptions
        self._gateway = gateway
        self._access = access
        self._addresses = addresses
        self._clock = clock
        self._faults = faults
        self._chance = chance
        self._panel = panel
        self._lanes: dict[int, Lane] = {}
        self._queue: deque[Lane] = deque()  # lanes with something due, in turn
        self._alarms: list[tuple[float, int]] = []  # heap of (when, subscription)
        self._tasks: set[asyncio.Task[None]] = set()
        self._flush: asyncio.TimerHandle | None = None
        self._stopping = True
        self.on_alarm: Callable[[], None] = lambda: None  # told whenever ``next_alarm`` may be earlier

    def start(self) -> None:
        """Take up everything the journal has pending."""
        self._stopping = False
        self.wake(dict(self._ledger.waking()))

    async def stop(self) -> None:
        """Take nothing new, wait for what runs, commit, forget. ``start`` may follow."""
        self._stopping = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._commit()
        self._lanes.clear()
        self._queue.clear()
        self._alarms.clear()

    # what is due

    def wake(self, waking: Mapping[int, float]) -> None:
        """These subscriptions have something to do from then on."""
        for subscription, at in waking.items():
            self._set_alarm(self._lanes.setdefault(subscription, Lane(subscription)), at)
        self.turn()

    def forget(self, subscription: int) -> None:
        """Its pending deliveries were dropped."""
        lane = self._lanes.pop(subscription, None)
        if lane is not None:
            lane.dropped = True
            lane.ahead.clear()

    def next_alarm(self) -> float | None:
        """When something is due next, if nothing is due now."""
        return self._alarms[0][0] if self._alarms else None

    async def settle(self) -> None:
        """Return when nothing that is due now is left undone."""
        self.turn()
        while self._queue or self._tasks:
            if self._tasks:
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(0)
                self.turn()

    def turn(self) -> None:
        """Start everything that is due and allowed; returns at once."""
        if self._stopping:
            return
        now = self._clock.now()
        while self._alarms and self._alarms[0][0] <= now:
            _, subscription = heapq.heappop(self._alarms)
            lane = self._lanes.get(subscription)
            if lane is not None:
                lane.wake_at = None
                self._enqueue(lane)
        handled = 0
        while handled < TURN:
            if not self._queue or len(self._tasks) >= self._panel.now.max_inflight:
                return
            lane = self._queue.popleft()
            lane.queued = False
            handled += self._serve(lane, now)
        asyncio.get_running_loop().call_soon(self.turn)

    def _enqueue(self, lane: Lane) -> None:
        room = len(lane.running) < self._panel.now.max_inflight_per_sub
        if not lane.queued and not lane.dropped and room:
            lane.queued = True
            self._queue.append(lane)

    def _serve(self, lane: Lane, now: float) -> int:
        """Start one delivery of the lane, behind all it can compute, and let it queue again, or set its alarm.

        Answers how many were handled, an idle look counted as one.
        """
        if not lane.ahead:
            self._read_ahead(lane, now)
        if not lane.ahead:
            self._rest(lane)
            return 1
        before = len(lane.ahead)
        while lane.ahead:
            delivery = lane.ahead.popleft()
            if now >= delivery.expires_at:
                self._expire(delivery)
            elif not self._compute_outage(delivery, now):
                self._send_soon(lane, delivery)
                break
        self._enqueue(lane)
        return before - len(lane.ahead)

    def _read_ahead(self, lane: Lane, now: float) -> None:
        outage = self._faults.outage()
        limit = COMPUTED if outage is not None and outage.active(now) else AHEAD
        found = self._ledger.due(lane.subscription, now, limit + len(lane.running))
        lane.ahead.extend(delivery for delivery in found if delivery.id not in lane.running)

    def _rest(self, lane: Lane) -> None:
        """Nothing is due: sleep until the next, or leave."""
        if lane.running:
            return  # the end of an attempt looks again
        at = self._ledger.next_wake(lane.subscription)
        if at is None:
            self._lanes.pop(lane.subscription, None)
        else:
            self._set_alarm(lane, at)

    def _set_alarm(self, lane: Lane, at: float) -> None:
        if lane.wake_at is None or at < lane.wake_at:
            lane.wake_at = at
            heapq.heappush(self._alarms, (at, lane.subscription))
            self.on_alarm()

    def _expire(self, delivery: Delivery) -> None:
        delivery.state = State.EXPIRED
        self._record(delivery, State.PENDING, 0)

    def _compute_outage(self, delivery: Delivery, now: float) -> bool:
        """If its attempt falls into a declared outage: fail it, and all that follow in there, without sending."""
        outage = self._faults.outage()
        if outage is None or now < outage.starts_at:
            return False
        at = max(delivery.wake_at, outage.starts_at)
        if at >= outage.ends_at:
            return False
        until = min(outage.ends_at, math.nextafter(now, math.inf), delivery.expires_at)
        at, failed = self._retry(delivery).through(at, delivery.attempts, until)
        attempts, delivery.attempts = failed - delivery.attempts, failed
        delivery.wake_at = min(at, delivery.expires_at)
        delivery.outcome = "outage"
        self._record(delivery, State.PENDING, attempts)
        return True

    # one attempt

    def _send_soon(self, lane: Lane, delivery: Delivery) -> None:
        lane.running[delivery.id] = delivery
        task = asyncio.create_task(self._attempt(lane, delivery))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finished(lane, delivery, done))

    def _finished(self, lane: Lane, delivery: Delivery, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        lane.running.pop(delivery.id, None)
        self._enqueue(lane)
        self.turn()

    async def _attempt(self, lane: Lane, delivery: Delivery) -> None:
        try:
            outcome = await self._send(lane, delivery)
        except Exception:  # top of a task: a bug here must not stop the broker's retries
            LOG.exception("action=attempt_crashed delivery=%d", delivery.id)
            outcome = "crashed"
        good = outcome.startswith("2")
        if good and self._faults.strikes("lost-ack", delivery.id, delivery.attempts):
            good, outcome = False, "lost-ack"
        was = State.DROPPED if lane.dropped else State.PENDING
        delivery.state = was
        delivery.attempts += 1
        delivery.outcome = outcome
        if good:
            self._acknowledged(delivery)
        else:
            pause = self._retry(delivery).pause_s(delivery.attempts)
            delivery.wake_at = min(self._clock.now() + pause, delivery.expires_at)
        self._record(delivery, was, 1)

    def _acknowledged(self, delivery: Delivery) -> None:
        delivery.acknowledged += 1
        if delivery.acknowledged == 1 and self._faults.strikes("duplicate", delivery.id):
            delivery.resend += 1
        if delivery.resend and delivery.state is State.PENDING:
            # the same time, some places further back: soon, but not at once
            delivery.resend -= 1
            draw = self._chance.draw("resent", delivery.id, delivery.resend)
            delivery.rank = fallen_back(delivery.id, self._panel.now.reorder_places, draw)
            return
        delivery.state = State.ACKNOWLEDGED

    def _retry(self, delivery: Delivery) -> Retry:
        return Retry.of(self._panel.now, self._chance.draw("jitter", delivery.id))

    async def _send(self, lane: Lane, delivery: Delivery) -> str:
        """The status as text, or why there is none."""
        subscription = self._subscriptions.by_id(lane.subscription)
        try:
            call = self._call(subscription, delivery)
            return str(await self._gateway.deliver(call))
        except PlatformError as error:  # what the gateway answers in the application's place
            return str(error.status)

    def _call(self, subscription: Subscription, delivery: Delivery) -> Call:
        """The POST as the gateway hands it to the application; 403 and 404 if it cannot get there."""
        message = self._ledger.message(delivery.message)
        path = self._addresses.path_below_gateway(delivery.uri or subscription.uri)
        route = self._gateway.resolve(path)
        if route is None:
            raise PlatformError("noMatch", "no application is registered there any more")
        if not route.application.broker_scopes:
            raise PlatformError("forbidden", "no scope is mapped: the broker may not call this application")
        token = self._access.delivery_token(route.application, subscription.key.tenant)
        knobs = self._panel.now
        return Call(
            "POST",
            route,
            self._headers(message, delivery, token),
            content_of(message.body) if knobs.wire_form == "B" and not message.verbatim else message.body,
            knobs.connect_timeout_s,
            knobs.response_timeout_s,
            about=(delivery.id, delivery.attempts),
        )

    def _headers(self, message: Message, delivery: Delivery, token: str) -> dict[str, str]:
        knobs = self._panel.now
        scheme, _, host = self._addresses.public.partition("://")
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {token}",
            "User-Agent": USER_AGENT,
            "X-Correlation-ID": str(uuid.uuid4()),
            **forwarded("127.0.0.1", scheme, host),
        }
        if knobs.wire_form != "A":
            headers["X-MDSP-Topic"] = message.topic
            headers["X-MDSP-Tenant-Context"] = ",".join(message.context)
        if knobs.send_message_id:
            headers["X-MDSP-Message-Id"] = message.uuid
            headers["X-MDSP-Delivery-Attempt"] = str(delivery.attempts + 1)
        return headers

    # bookkeeping

    def _record(self, delivery: Delivery, was: State, attempts: int) -> None:
        self._ledger.record(delivery, was=was, attempts=attempts)
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(FLUSH_S, self._commit)

    def _commit(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        self._ledger.flush()


def content_of(body: bytes) -> bytes:
    """A message's body without its ``header`` member: that travels in HTTP headers instead."""
    document = json.loads(body)
    document.pop("header", None)
    return json.dumps(document, separators=(",", ":")).encode()
