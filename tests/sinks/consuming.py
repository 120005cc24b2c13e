"""A consumer of what was published, as a stranger to our code would write it."""

from __future__ import annotations

from typing import NamedTuple

from pika import BasicProperties
from pika.adapters.blocking_connection import BlockingChannel

from tests.servers.rabbitmq import RabbitMQ


class Consumed(NamedTuple):
    routing_key: str
    properties: BasicProperties
    body: bytes


def consume(broker: RabbitMQ, queue: str) -> list[Consumed]:
    """Everything the queue holds; it is empty then."""
    found: list[Consumed] = []

    def get_all(channel: BlockingChannel) -> None:
        while True:
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is None or properties is None or body is None:
                return
            found.append(Consumed(str(method.routing_key), properties, body))

    broker.do(get_all)
    return found


def ids(consumed: list[Consumed]) -> list[str]:
    return [str(message.properties.message_id) for message in consumed]
