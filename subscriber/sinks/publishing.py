"""Handing notifications on through RabbitMQ: to a topic exchange, for any number of consumers.

The message is a CloudEvent in structured mode: CloudEvents' AMQP binding and RabbitMQ's own differ in how binary mode
names its headers, but agree on this one, and it is the very text that ``forward`` posts. Its message id is the
notification's: whatever is published twice, after a crash or a broken connection, says so by an equal id.

A broker that is away, blocked, full or has no queue for it holds the route: nothing is wrong with the notification.

Documents: CloudEvents 1.0.2, AMQP binding 1.0.2, section 3.2; AMQP 0-9-1; rabbitmq.com, "Publisher Confirms".
"""

from __future__ import annotations

import atexit
import random
import threading
from collections.abc import Callable
from urllib.parse import quote

from pika import BasicProperties, DeliveryMode

from subscriber.errors import SettingsError
from subscriber.model import Dead, Notification
from subscriber.routes import RunningAttempt
from subscriber.sinks.broker import Broker
from subscriber.sinks.event import CONTENT_TYPE, PRUNED, cloud_event
from subscriber.sinks.link import Message
from subscriber.sinks.publisher import Publisher

TIMEOUT_SECONDS = 5.0  # less than a stopping worker waits for its handlers; a confirmation takes milliseconds
NAME_MAX_BYTES = 255  # AMQP 0-9-1: a short string
RESERVED = "amq."  # the broker's own names


def publish(
    url: str,
    exchange: str = "notifications",
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    jitter: Callable[[], float] = random.random,
) -> Publish:
    """Hand notifications to the broker at ``url``: ``amqp(s)://user:password@host:port/vhost``.

    ``exchange`` is declared if it is not there, as a durable topic exchange, with a durable quorum queue of the same
    name that gets everything. ``timeout_seconds`` is how long a notification waits for the broker's confirmation.
    ``jitter`` yields numbers from 0 up to 1. Raises ``SettingsError`` for what cannot be used.
    """
    if not 0 < len(exchange.encode()) <= NAME_MAX_BYTES or exchange.startswith(RESERVED):
        problem = f"the exchange needs a name of up to {NAME_MAX_BYTES} bytes that does not begin with {RESERVED}"
        raise SettingsError([f"publish: {problem}"])
    return Publish(Broker.parse(url), exchange, timeout_seconds, jitter)


class Publish:
    """An exchange as a sink and as a handler. May be used from many threads, which share one connection.

    Nothing is opened before the first notification, so it may be made before a fork.
    """

    name = "publish"

    def __init__(self, broker: Broker, exchange: str, timeout_seconds: float, jitter: Callable[[], float]) -> None:
        self._broker = broker
        self._exchange = exchange
        self._timeout_seconds = timeout_seconds
        self._jitter = jitter
        self._lock = threading.Lock()
        self._publisher: Publisher | None = None

    def __call__(self, notification: Notification, attempt: RunningAttempt) -> Dead | None:
        """As a handler."""
        return self.send(notification)

    def send(self, notification: Notification) -> Dead | None:
        """Returns None once the broker confirmed; ``Dead`` if it never can: pruned, or larger than the broker takes.

        Raises ``SinkUnavailable`` while the broker is away, blocked, full, refuses us, or has no queue bound.
        """
        if notification.body is None:
            return PRUNED
        if len(notification.id.encode()) > NAME_MAX_BYTES:
            return Dead("id_too_long", f"as a message id it may have {NAME_MAX_BYTES} bytes")
        return self._running_publisher().publish(message_of(notification, notification.body), self._timeout_seconds)

    def close(self) -> None:
        """Take leave of the broker, within a second; a later ``send`` connects anew."""
        with self._lock:
            publisher, self._publisher = self._publisher, None
        atexit.unregister(self.close)
        if publisher is not None:
            publisher.close()

    def _running_publisher(self) -> Publisher:
        with self._lock:
            if self._publisher is None or not self._publisher.alive:
                self._publisher = Publisher(self._broker, self._exchange, jitter=self._jitter)
                self._publisher.start()
                atexit.register(self.close)  # nobody closes what a routing table made
            return self._publisher


def message_of(notification: Notification, body: bytes) -> Message:
    """The notification as the broker gets it. Consumers choose by routing key: ``{platform}.{tenant}.{topic}``."""
    moment = notification.occurred_at or notification.received_at
    properties = BasicProperties(
        content_type=CONTENT_TYPE,
        delivery_mode=DeliveryMode.Persistent,
        message_id=notification.id,
        timestamp=max(0, int(moment.timestamp())),  # seconds, without a sign
        type=_short(notification.topic),
    )
    return Message(routing_key(notification), properties, cloud_event(notification, body))


def routing_key(notification: Notification) -> str:
    """``{platform}.{tenant}.{topic}``, cut at 255 bytes: the tenant is one word, the topic as many as it has."""
    tenant = quote(notification.tenant.name, safe="").replace(".", "%2E")
    return _short(f"{notification.platform}.{tenant}.{notification.topic}")


def _short(text: str) -> str:
    """What a short string holds of it, in whole characters; the event has the whole text."""
    return text.encode()[:NAME_MAX_BYTES].decode(errors="ignore")
