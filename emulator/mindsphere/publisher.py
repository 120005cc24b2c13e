"""Publishing: messages into the ledger, one delivery for each matching subscription.

Three ways in. ``publish`` makes messages at once, as many as asked for, so that counts are predictable.
``collect`` takes facts (an event, data that arrived) and publishes them when their window closes, as the platform
does at one-minute intervals: at most 1000 events in a message, one notification per asset and aspect.
``announce`` is for the platform's own notices about provisioning.
A message nobody subscribed to is counted in the answer and not kept.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from random import Random

from emulator.clock import Clock
from emulator.faults import Chance, Faults
from emulator.journal import Journal
from emulator.knobs import Panel
from emulator.ledger import Delivery, Ledger, Message
from emulator.mindsphere.registry import Application
from emulator.mindsphere.subscriptions import Subscription, Subscriptions
from emulator.mindsphere.topics import MAX_EVENTS, TOPICS, WINDOWED, Composer, provisioning

CHUNK = 500  # messages per transaction: a few milliseconds in which nothing else runs
Context = tuple[str, ...]
Wake = Callable[[Mapping[int, float]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to publish: ``count`` messages for each context and topic."""

    contexts: Sequence[Context]
    topics: Sequence[str]
    count: int = 1
    items: int = 1  # events per message
    body: bytes | None = None  # exactly these bytes, instead of composed ones
    message_id: str | None = None  # instead of a fresh one
    duplicate: float = 0.0  # share of deliveries sent again after their 2xx
    reorder: float = 0.0  # share of deliveries that fall back in their queue

    @property
    def messages(self) -> int:
        return len(self.contexts) * len(self.topics) * self.count


@dataclass(slots=True)
class Summary:
    """``published`` counts message x subscription, as the ledger does."""

    messages: int = 0
    published: int = 0

    def __iadd__(self, other: Summary) -> Summary:
        self.messages += other.messages
        self.published += other.published
        return self


@dataclass(frozen=True, slots=True)
class Draft:
    """A message before it has a number."""

    topic: str
    context: Context
    body: bytes
    verbatim: bool = False
    message_id: str | None = None


class Publisher:
    """``wake`` is told which subscriptions have something to do, and from when."""

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        subscriptions: Subscriptions,
        clock: Clock,
        faults: Faults,
        chance: Chance,
        panel: Panel,
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._subscriptions = subscriptions
        self._clock = clock
        self._faults = faults
        self._chance = chance
        self._panel = panel
        self.wake: Wake = lambda waking: None
        stamp = journal.recall("last_stamp")
        self._last_stamp = stamp if isinstance(stamp, int) else 0

    async def publish(self, order: Order) -> Summary:
        """Committed when this returns; delivery has begun by then."""
        summary, now = Summary(), self._clock.now()
        composer = self._composer()
        drafts = self._drafts(order, composer)
        while chunk := list(islice(drafts, CHUNK)):
            summary += self._emit(chunk, composer, now, order.duplicate, order.reorder)
            await asyncio.sleep(0)  # let deliveries and requests in
        return summary

    def _composer(self) -> Composer:
        # seeded by what was published before: repeatable, and never the same twice
        rng = Random(f"{self._chance.seed}/{self._ledger.next_message_id()}")
        return Composer(rng, self._panel.now.assets_per_tenant)

    def _drafts(self, order: Order, composer: Composer) -> Iterator[Draft]:
        for _ in range(order.count):
            for context in order.contexts:
                for topic in order.topics:
                    if order.body is not None:
                        yield Draft(topic, context, order.body, True, order.message_id)
                        continue
                    payload = composer.payload(topic, context[0], self._stamp(), order.items)
                    yield Draft(topic, context, wire_body(topic, context, payload), False, order.message_id)

    def _stamp(self) -> int:
        """A millisecond no earlier message had."""
        self._last_stamp = max(int(self._clock.now() * 1000), self._last_stamp + 1)
        return self._last_stamp

    # facts and windows

    def collect(self, tenant: str, topic: str, count: int) -> float:
        """``count`` facts happen now; the answer is when their window closes."""
        window = self._panel.now.publish_window_s
        due_at = (self._clock.now() // window + 1) * window
        composer = self._composer()
        make = composer.event if topic == TOPICS["eventnotification"] else composer.series
        items = [json.dumps(make(tenant, self._stamp())) for _ in range(count)]
        with self._journal.transaction() as db:
            db.executemany(
                "INSERT INTO facts (due_at, tenant, topic, item) VALUES (?, ?, ?, ?)",
                [(due_at, tenant, topic, item) for item in items],
            )
            self._journal.remember("last_stamp", self._last_stamp)
        return due_at

    def next_window(self) -> float | None:
        """When the earliest open window with facts closes."""
        (due_at,) = self._journal.db.execute("SELECT min(due_at) FROM facts").fetchone()
        return None if due_at is None else float(due_at)

    def close_windows(self) -> Summary:
        """Publish the facts of every window that is over."""
        now = self._clock.now()
        rows = self._journal.db.execute(
            "SELECT due_at, tenant, topic, item FROM facts WHERE due_at <= ? ORDER BY due_at, tenant, topic, id",
            (now,),
        ).fetchall()
        if not rows:
            return Summary()
        drafts = [
            Draft(topic, (tenant,), wire_body(topic, (tenant,), payload))
            for (_, tenant, topic), group in groupby(rows, key=lambda row: row[:3])
            for payload in _aggregate(topic, [json.loads(row[3]) for row in group])
        ]
        with self._journal.transaction() as db:
            db.execute("DELETE FROM facts WHERE due_at <= ?", (now,))
            knobs = self._panel.now
            return self._emit(drafts, self._composer(), now, knobs.duplicate_prob, knobs.reorder_prob)

    # provisioning

    def announce(self, action: str, application: Application, tenants: Iterable[str]) -> Summary:
        """Tell the hosting tenant who came or went."""
        topic, context = TOPICS["provisioning"], (application.host,)
        composer = self._composer()
        about = (application.name, application.version)
        drafts = [
            Draft(
                topic,
                context,
                wire_body(
                    topic,
                    context,
                    provisioning(action, application.host, tenant, about, composer.uuid(), self._stamp()),
                ),
            )
            for tenant in tenants
        ]
        knobs = self._panel.now
        return self._emit(drafts, composer, self._clock.now(), knobs.duplicate_prob, knobs.reorder_prob)

    # into the ledger

    def _emit(
        self, drafts: Sequence[Draft], composer: Composer, now: float, duplicate: float, reorder: float
    ) -> Summary:
        messages: list[Message] = []
        deliveries: list[Delivery] = []
        for draft in drafts:
            targets = self._subscriptions.matching(draft.context, draft.topic)
            if not targets:
                continue
            uuid = draft.message_id or composer.uuid()
            message = Message(
                self._ledger.next_message_id(),
                uuid,
                draft.topic,
                draft.context,
                now,
                draft.verbatim,
                draft.body,
            )
            messages.append(message)
            deliveries += [self._plan(message, target, duplicate, reorder) for target in targets]
        with self._journal.transaction():
            self._ledger.add(messages, deliveries)
            self._journal.remember("last_stamp", self._last_stamp)
        self.wake({delivery.subscription: delivery.wake_at for delivery in reversed(deliveries)})
        return Summary(len(drafts), len(deliveries))

    def _plan(self, message: Message, target: Subscription, duplicate: float, reorder: float) -> Delivery:
        """When, in which place and how often this message goes to that subscription."""
        knobs, draw = self._panel.now, self._chance.draw
        id = self._ledger.next_delivery_id()
        falls_back = draw("falls-back", id) < reorder or self._faults.strikes("reorder", id)
        delayed = self._faults.strikes("delay", id)
        wake_at = message.published_at + (knobs.delay_s * draw("delayed-by", id) if delayed else 0)
        expires_at = message.published_at + knobs.retention_s
        return Delivery(
            id=id,
            message=message.id,
            subscription=target.id,
            wake_at=min(wake_at, expires_at),
            rank=fallen_back(id, knobs.reorder_places, draw("places", id)) if falls_back else 2 * id,
            expires_at=expires_at,
            resend=1 if draw("sent-twice", id) < duplicate else 0,
            uri=None if knobs.pending_follow_uri else target.uri,
        )


def fallen_back(id: int, places: int, draw: float) -> int:
    """The rank behind up to ``places`` later deliveries; ``2 * id`` is the rank in order."""
    return 2 * (id + 1 + int(draw * places)) + 1


def wire_body(topic: str, context: Context, payload: Mapping[str, object]) -> bytes:
    """The JSON document of a message: ``header`` and one payload member."""
    header = {"topic": topic, "tenantContext": list(context)}
    return json.dumps({"header": header, **payload}, separators=(",", ":")).encode()


def _aggregate(topic: str, items: list[dict[str, object]]) -> Iterator[dict[str, object]]:
    """The messages of one tenant, topic and window."""
    assert topic in WINDOWED
    if topic == TOPICS["eventnotification"]:
        for start in range(0, len(items), MAX_EVENTS):
            yield {"events": items[start : start + MAX_EVENTS]}
        return
    latest = {(item["assetId"], item["aspectName"]): item for item in items}
    for item in latest.values():
        yield {"timeseries": [item]}
