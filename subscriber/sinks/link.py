"""One connection to RabbitMQ with one channel on it, from opening to its end. Never used again after that.

Everything here runs on the event loop's thread. Once open it declares what it publishes to: a durable topic exchange,
and a durable quorum queue of the same name bound to everything, so that not even the first notification finds nobody.
Each message is persistent, mandatory and confirmed by the broker: for durable queues, once it is safely theirs.

Document: rabbitmq.com, "Consumer Acknowledgements and Publisher Confirms", "Quorum Queues", "Blocked Connections".
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from pika import BasicProperties, SelectConnection
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel
from pika.exceptions import StreamLostError
from pika.exchange_type import ExchangeType
from pika.frame import Method
from pika.spec import Basic, Confirm, Connection

from subscriber.model import Dead
from subscriber.sinks.broker import Broker, Trouble, is_failed_precondition, is_refusal, said

logger = logging.getLogger(__name__)

EVERYTHING = "#"  # as a binding of a topic exchange
QUORUM = {"x-queue-type": "quorum"}
# The broker's words when it closes a channel for a message above its max_message_size; the code alone (406) could
# also speak of a declaration.
TOO_LARGE = "message size"


class Message(NamedTuple):
    """What is handed to the broker."""

    routing_key: str
    properties: BasicProperties
    body: bytes


@dataclass(slots=True, eq=False)
class Publication:
    """A message on its way, and how that ended: None once the broker has it."""

    message: Message
    answer: Future[Dead | Trouble | None] = field(default_factory=Future)
    unwanted: bool = False  # the broker returned it: no queue gets it

    def end(self, outcome: Dead | Trouble | None) -> None:
        self.answer.set_result(outcome)


class Owner(Protocol):
    """Who uses the link, and goes on when it cannot."""

    def on_ready(self) -> None:
        """Messages can be sent, or can be sent again."""

    def on_ended(self, trouble: Trouble, unconfirmed: list[Publication]) -> None:
        """Comes exactly once; nobody knows whether the broker has these."""


class Link:
    """Connects on construction. ``send`` only while ``ready``."""

    def __init__(self, broker: Broker, exchange: str, loop: IOLoop, owner: Owner) -> None:
        self._broker = broker
        self._exchange = exchange
        self._owner = owner
        self._channel: Channel | None = None
        self._confirming = False
        self._blocked = ""  # the broker's reason; empty if it is not
        self._trouble: Trouble | None = None  # why we end it, where the connection's own end would not tell
        self._sent = 0
        self._unconfirmed: dict[int, Publication] = {}  # by delivery tag, ascending
        self.proven = False  # has it ever got a message to the broker?
        self._connection = SelectConnection(
            broker.parameters(),
            on_open_callback=self._on_open,
            on_open_error_callback=lambda _, error: self._end(broker.why_not_open(error)),
            on_close_callback=lambda _, error: self._end(broker.why_closed(error)),
            custom_ioloop=loop,
        )

    @property
    def ready(self) -> bool:
        return self._confirming and not self._blocked

    @property
    def hindrance(self) -> str:
        """Why nothing is sent, or why what was sent has no answer yet; for people."""
        if self._trouble is not None:
            return self._trouble.detail
        if self._blocked:
            return f"{self._broker} takes no messages now: {self._blocked}"
        if not self._confirming:
            return f"{self._broker} has not let us in yet"
        return f"{self._broker} has not confirmed it"

    def send(self, publication: Publication) -> None:
        """Write the message; its publication ends with the broker's answer."""
        assert self._channel is not None
        publication.unwanted = False
        self._sent += 1
        self._unconfirmed[self._sent] = publication
        key, properties, body = publication.message
        self._channel.basic_publish(self._exchange, key, body, properties, mandatory=True)

    def forget(self, publication: Publication) -> None:
        """Nobody waits for it any more."""
        for tag, known in self._unconfirmed.items():
            if known is publication:
                del self._unconfirmed[tag]
                return

    def close(self) -> None:
        """Take leave of the broker. Its end is reported as any other."""
        if self._blocked:
            self.cut()  # it would not read our farewell
        elif not (self._connection.is_closing or self._connection.is_closed):
            self._connection.close()

    def cut(self) -> None:
        """Let go at once, without a word."""
        if not self._connection.is_closed:
            # The library offers only the orderly way, which waits for the other side.
            self._connection._terminate_stream(StreamLostError("let go"))  # type: ignore[attr-defined]

    def _on_open(self, connection: SelectConnection) -> None:
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_returned)
        self._declare(channel)
        # Answered after the declarations above, which are not answered at all unless they fail.
        channel.confirm_delivery(self._on_confirmation, self._on_confirming)

    def _declare(self, channel: Channel) -> None:
        channel.exchange_declare(self._exchange, ExchangeType.topic, durable=True)
        channel.queue_declare(self._exchange, durable=True, arguments=QUORUM)
        channel.queue_bind(self._exchange, self._exchange, EVERYTHING)

    def _on_confirming(self, _: Method[Confirm.SelectOk]) -> None:
        self._confirming = True
        logger.info("publishing to %s", self._broker, extra={"action": "broker_connected"})
        self._owner.on_ready()

    def _on_blocked(self, _: object, frame: Method[Connection.Blocked]) -> None:
        self._blocked = frame.method.reason or "it does not say why"
        logger.warning("%s takes no messages now", self._broker, extra={"action": "broker_blocked"})

    def _on_unblocked(self, _: object, frame: Method[Connection.Unblocked]) -> None:
        self._blocked = ""
        logger.info("%s takes messages again", self._broker, extra={"action": "broker_unblocked"})
        if self.ready:
            self._owner.on_ready()

    def _on_returned(self, channel: Channel, _: Basic.Return, properties: BasicProperties, body: bytes) -> None:
        """No queue is bound to the exchange any more: the binding is made anew, for the next message.

        This one is confirmed all the same, right after.
        """
        self._declare(channel)
        for publication in self._unconfirmed.values():
            if publication.message.properties.message_id == properties.message_id:
                publication.unwanted = True

    def _on_confirmation(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        self.proven = True
        accepted = isinstance(frame.method, Basic.Ack)
        for publication in self._take(frame.method.delivery_tag, frame.method.multiple):
            publication.end(self._outcome(publication, accepted))

    def _take(self, tag: int, multiple: bool) -> Iterator[Publication]:
        """Remove and yield what a confirmation is about; it may have been forgotten."""
        tags = [known for known in self._unconfirmed if known <= tag] if multiple else [tag]
        for confirmed in tags:
            publication = self._unconfirmed.pop(confirmed, None)
            if publication is not None:
                yield publication

    def _outcome(self, publication: Publication, accepted: bool) -> Trouble | None:
        if publication.unwanted:
            return Trouble(f"no queue of {self._broker} is bound to exchange {self._exchange!r}: nobody would get it")
        if not accepted:
            return Trouble(f"a queue of {self._broker} did not take it: is it full, or without a majority?")
        return None

    def _on_channel_closed(self, channel: Channel, error: Exception) -> None:
        """The broker closes a channel to say that it cannot do what it was asked."""
        if self._connection.is_closing or self._connection.is_closed:
            return
        if is_refusal(error):
            self._trouble = Trouble(f"user {self._broker.user!r} may not do this{said(error)}", error, lasting=True)
        elif not self._confirming:
            self._trouble = self._why_not_declared(error)
        else:
            self._bury_largest(error)
            self._trouble = Trouble(f"{self._broker} closed the channel{said(error)}", error)
        self._confirming = False
        self.close()

    def _why_not_declared(self, error: Exception) -> Trouble:
        if not is_failed_precondition(error):
            return Trouble(f"cannot declare exchange and queue {self._exchange!r}{said(error)}", error)
        detail = (
            f"exchange or queue {self._exchange!r} exists with other properties than ours (durable topic exchange, "
            f"durable quorum queue): delete it or choose another AMQP_EXCHANGE{said(error)}"
        )
        return Trouble(detail, error, lasting=True)

    def _bury_largest(self, error: Exception) -> None:
        """What is too large is not named, but if anything is, the largest is."""
        if TOO_LARGE not in said(error) or not self._unconfirmed:
            return
        tag = max(self._unconfirmed, key=lambda tag: len(self._unconfirmed[tag].message.body))
        publication = self._unconfirmed.pop(tag)
        size = len(publication.message.body)
        publication.end(Dead("too_large", f"{self._broker} refuses its {size} bytes{said(error)}"))

    def _end(self, trouble: Trouble) -> None:
        self._confirming = False
        unconfirmed = list(self._unconfirmed.values())
        self._unconfirmed.clear()
        self._owner.on_ended(self._trouble or trouble, unconfirmed)
