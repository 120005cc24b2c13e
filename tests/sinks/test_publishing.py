"""Publishing: what consumers get, seen by a plain consumer of a real broker."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from cloudevents.core.bindings import amqp, rabbitmq
from pika.adapters.blocking_connection import BlockingChannel

from subscriber.errors import SettingsError
from subscriber.model import Dead, Tenant
from subscriber.routes import HANDLER, Handler, Sink
from subscriber.sinks import Publish, publish
from subscriber.sinks.event import cloud_event
from subscriber.sinks.publishing import message_of, routing_key
from tests.servers.rabbitmq import RabbitMQ
from tests.sinks.consuming import consume, ids
from tests.sinks.samples import ATTEMPT, BARE, NOTIFICATION

EXCHANGE = "publishing"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def sink(broker: RabbitMQ) -> Iterator[Publish]:
    with closing(publish(broker.url, EXCHANGE)) as sink:
        yield sink
        consume(broker, EXCHANGE)


def test_a_consumer_gets_the_event_and_the_properties_of_the_contract(sink: Publish, broker: RabbitMQ) -> None:
    assert sink.send(NOTIFICATION) is None
    [message] = consume(broker, EXCHANGE)
    assert NOTIFICATION.body is not None and message.body == cloud_event(NOTIFICATION, NOTIFICATION.body)
    assert message.routing_key == "mindsphere.custaa.mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"
    assert message.properties.headers == {"x-delivery-count": 0}, "the queue's own; we send none"
    said = {
        name: value for name, value in vars(message.properties).items() if value is not None and name != "headers"
    }
    assert said == {
        "content_type": "application/cloudevents+json",
        "delivery_mode": 2,
        "message_id": "mindsphere.custaa.01ff",
        "timestamp": int(datetime(2026, 3, 2, 10, 28, 59, tzinfo=UTC).timestamp()),
        "type": "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification",
    }


def test_the_public_library_reads_the_event_by_either_binding(sink: Publish, broker: RabbitMQ) -> None:
    sink.send(NOTIFICATION)
    [message] = consume(broker, EXCHANGE)
    by_amqp = amqp.from_amqp_event(
        amqp.AMQPMessage({"content-type": message.properties.content_type}, {}, message.body)
    )
    by_rabbitmq = rabbitmq.from_rabbitmq_event(
        rabbitmq.RabbitMQMessage({}, message.properties.content_type, message.body)
    )
    for event in (by_amqp, by_rabbitmq):
        assert (event.get_id(), event.get_subject(), event.get_extension("tenant")) == ("01ff", "a1b2", "custaa")
        assert event.get_time() == NOTIFICATION.occurred_at


def test_the_first_notification_waits_for_its_consumers_in_a_durable_quorum_queue(broker: RabbitMQ) -> None:
    with closing(publish(broker.url, "fresh")) as sink:
        sink.send(NOTIFICATION)
    listed = broker.control("list_queues", "--formatter=json", "name", "durable", "type")
    assert {"name": "fresh", "durable": True, "type": "quorum"} in orjson.loads(listed)
    assert ids(consume(broker, "fresh")) == [NOTIFICATION.id]


def test_consumers_choose_by_platform_tenant_and_topic(sink: Publish, broker: RabbitMQ) -> None:
    def bind(channel: BlockingChannel) -> None:
        channel.queue_declare("of-one-tenant", durable=True)
        channel.queue_bind("of-one-tenant", EXCHANGE, "mindsphere.custaa.#")

    sink.send(NOTIFICATION)
    broker.do(bind)
    sink.send(NOTIFICATION)
    sink.send(replace(NOTIFICATION, tenant=Tenant("mindsphere", "custbb")))
    assert ids(consume(broker, "of-one-tenant")) == ["mindsphere.custaa.01ff"]
    assert len(consume(broker, EXCHANGE)) == 3


def test_a_tenant_is_one_word_of_the_routing_key_whatever_its_name() -> None:
    named = replace(NOTIFICATION, tenant=Tenant("pelion", "a.b c/#"), topic="notifications")
    assert routing_key(named) == "pelion.a%2Eb%20c%2F%23.notifications"


def test_a_long_topic_is_cut_where_the_protocol_has_no_room_and_whole_in_the_event(
    sink: Publish, broker: RabbitMQ
) -> None:
    long = replace(NOTIFICATION, topic="é" * 200)
    assert sink.send(long) is None
    [message] = consume(broker, EXCHANGE)
    assert message.routing_key == "mindsphere.custaa." + "é" * 118
    assert message.properties.type == "é" * 127
    assert orjson.loads(message.body)["type"] == "é" * 200


def test_a_time_before_1970_is_published_as_the_earliest_there_is(sink: Publish, broker: RabbitMQ) -> None:
    assert sink.send(replace(NOTIFICATION, occurred_at=datetime(1960, 1, 1, tzinfo=UTC))) is None
    [message] = consume(broker, EXCHANGE)
    assert message.properties.timestamp == 0
    assert orjson.loads(message.body)["time"] == "1960-01-01T00:00:00Z"


def test_without_a_time_of_its_own_a_message_has_that_of_its_reception() -> None:
    assert message_of(BARE, b"{}").properties.timestamp == int(BARE.received_at.timestamp())


def test_it_serves_as_a_handler_and_as_a_sink(sink: Publish, broker: RabbitMQ) -> None:
    handler: Handler = sink
    as_sink: Sink = sink
    assert as_sink.name == "publish" != HANDLER
    assert handler(NOTIFICATION, ATTEMPT) is None and as_sink.send(NOTIFICATION) is None
    assert ids(consume(broker, EXCHANGE)) == [NOTIFICATION.id] * 2


def test_a_pruned_notification_is_dead_as_there_is_nothing_to_hand_on() -> None:
    verdict = publish("amqp://nowhere.invalid").send(replace(NOTIFICATION, body=None))
    assert isinstance(verdict, Dead) and verdict.reason == "pruned"


def test_an_id_that_no_message_can_have_is_dead() -> None:
    verdict = publish("amqp://nowhere.invalid").send(replace(NOTIFICATION, tenant=Tenant("pelion", "x" * 250)))
    assert isinstance(verdict, Dead) and verdict.reason == "id_too_long"


@pytest.mark.parametrize("exchange", ["", "amq.topic", "x" * 256])
def test_an_exchange_that_cannot_be_declared_is_refused_at_the_start(exchange: str) -> None:
    with pytest.raises(SettingsError, match="exchange"):
        publish("amqp://mq.example", exchange)


def test_nothing_is_opened_before_the_first_notification() -> None:
    before = threading.active_count()
    publish("amqp://nowhere.invalid").close()
    assert threading.active_count() == before


def test_after_closing_it_connects_anew(sink: Publish, broker: RabbitMQ) -> None:
    sink.send(NOTIFICATION)
    sink.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "publisher"]
    assert sink.send(NOTIFICATION) is None
    assert len(consume(broker, EXCHANGE)) == 2


PROGRAM = """
import sys
from subscriber.sinks import publish
from tests.sinks.samples import NOTIFICATION
print(publish(sys.argv[1], "short-lived").send(NOTIFICATION))
"""


def test_a_process_that_ends_takes_leave_although_nobody_closed_the_sink(broker: RabbitMQ) -> None:
    command = [sys.executable, "-W", "error", "-c", PROGRAM, broker.url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("None\n", "", 0)
    assert "client unexpectedly closed" not in broker.log().rpartition("accepting AMQP connection")[2]
