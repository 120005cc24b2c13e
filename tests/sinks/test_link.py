"""What the broker's answers mean: each of them provoked from a real one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from emulator.processes import wait_until
from subscriber.errors import SinkUnavailable
from subscriber.model import Dead
from subscriber.sinks import Publish, publish
from tests.servers.rabbitmq import RabbitMQ
from tests.sinks.consuming import consume, ids
from tests.sinks.samples import NOTIFICATION

HUGE = replace(NOTIFICATION, key=b"\x02", body=b'"' + bytes(b"x" * 20_000_000) + b'"')  # the tests' broker takes less


@contextmanager
def publishing(broker: RabbitMQ, exchange: str, *, timeout_seconds: float = 5.0) -> Iterator[Publish]:
    with closing(publish(broker.url, exchange, timeout_seconds=timeout_seconds)) as sink:
        yield sink


def test_a_message_that_no_queue_gets_is_held_and_the_next_finds_the_queue_made_anew(broker: RabbitMQ) -> None:
    with publishing(broker, "unroutable") as sink:
        sink.send(NOTIFICATION)
        broker.do(lambda channel: channel.queue_delete("unroutable"))
        with pytest.raises(SinkUnavailable, match="nobody would get it"):
            sink.send(NOTIFICATION)
        assert sink.send(NOTIFICATION) is None
    assert ids(consume(broker, "unroutable")) == [NOTIFICATION.id]


def test_an_exchange_deleted_under_us_is_made_anew_and_nobody_notices(broker: RabbitMQ) -> None:
    with publishing(broker, "deleted") as sink:
        sink.send(NOTIFICATION)
        broker.do(lambda channel: channel.exchange_delete("deleted"))
        assert sink.send(NOTIFICATION) is None
    assert len(consume(broker, "deleted")) == 2


def test_a_full_queue_says_no_and_that_is_no_fault_of_the_notification(broker: RabbitMQ) -> None:
    broker.control("set_policy", "full", "^full$", '{"max-length":1,"overflow":"reject-publish"}')
    with publishing(broker, "full") as sink, pytest.raises(SinkUnavailable, match="is it full"):
        for _ in range(100):  # a quorum queue notices a little late
            sink.send(NOTIFICATION)
    consume(broker, "full")


def test_what_the_broker_never_takes_is_dead_and_takes_nobody_with_it(broker: RabbitMQ) -> None:
    with publishing(broker, "large") as sink:
        verdicts: list[Dead | None] = []
        huge = threading.Thread(target=lambda: verdicts.append(sink.send(HUGE)))
        huge.start()
        small = [sink.send(replace(NOTIFICATION, key=bytes([3, number]))) for number in range(50)]
        huge.join(10)
        assert set(small) == {None}
        [verdict] = verdicts
        assert isinstance(verdict, Dead) and verdict.reason == "too_large" and "20000" in verdict.detail
    assert len(set(ids(consume(broker, "large")))) == 50


@pytest.mark.parametrize("what", ["exchange", "queue"])
def test_an_exchange_or_queue_of_other_properties_is_named_at_once(broker: RabbitMQ, what: str) -> None:
    name = f"other-{what}"
    if what == "exchange":
        broker.do(lambda channel: channel.exchange_declare(name, "fanout"))
    else:
        broker.do(lambda channel: channel.queue_declare(name, durable=True))
    with (
        publishing(broker, name, timeout_seconds=30.0) as sink,
        pytest.raises(SinkUnavailable, match=f"{name!r} exists with other properties .* inequivalent arg"),
    ):
        sink.send(NOTIFICATION)


def test_a_user_without_the_right_to_declare_is_told_at_once(broker: RabbitMQ) -> None:
    broker.control("add_user", "reader", "c4nary")
    broker.control("set_permissions", "reader", "", "", ".*")
    url = broker.url.replace("guest:guest", "reader:c4nary")
    with closing(publish(url, timeout_seconds=30.0)) as sink, pytest.raises(SinkUnavailable) as caught:
        sink.send(NOTIFICATION)
    assert "user 'reader' may not do this: ACCESS_REFUSED" in caught.value.detail
    assert "c4nary" not in f"{caught.value} {caught.value.__cause__!r}"


def test_a_broker_short_of_memory_is_away_and_goes_on_where_it_stopped(
    broker: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    with publishing(broker, "blocked", timeout_seconds=1.0) as sink, caplog.at_level(logging.INFO, "subscriber"):
        sink.send(NOTIFICATION)
        broker.control("set_vm_memory_high_watermark", "0.00001")
        try:
            for _ in range(2):
                with pytest.raises(SinkUnavailable, match="takes no messages now: low on memory"):
                    sink.send(NOTIFICATION)
        finally:
            broker.control("set_vm_memory_high_watermark", "absolute", "1GB")
        assert sink.send(NOTIFICATION) is None
    actions = [record.__dict__["action"] for record in caplog.records]
    assert actions == ["broker_connected", "broker_blocked", "broker_unblocked"]
    assert set(ids(consume(broker, "blocked"))) == {NOTIFICATION.id}


def test_a_worker_stops_in_time_although_the_broker_would_not_read_its_farewell(broker: RabbitMQ) -> None:
    sink = publish(broker.url, "blocked", timeout_seconds=1.0)
    sink.send(NOTIFICATION)
    broker.control("set_vm_memory_high_watermark", "0.00001")
    try:
        with pytest.raises(SinkUnavailable):
            sink.send(NOTIFICATION)
        sink.close()
        wait_until("the end of its thread", lambda: "publisher" not in names_of_threads(), 2)
    finally:
        broker.control("set_vm_memory_high_watermark", "absolute", "1GB")
    consume(broker, "blocked")


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]
