"""Many callers, one connection: what happens when it cannot be made, breaks, or says nothing."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from emulator.processes import wait_until
from subscriber.errors import SinkUnavailable
from subscriber.sinks import Publish, publish
from subscriber.sinks.broker import Broker
from subscriber.sinks.link import Message
from subscriber.sinks.publisher import Publisher
from subscriber.sinks.publishing import message_of
from tests.servers.rabbitmq import RabbitMQ
from tests.sinks.consuming import consume, ids
from tests.sinks.samples import NOTIFICATION, free_port

NUMBERS = 10_000  # of messages a thread, at most
PATIENT = 60.0  # far more than any of these may take: whoever has to wait for it fails


@contextmanager
def publishing(url: str, *, timeout_seconds: float = 5.0) -> Iterator[Publish]:
    with closing(publish(url, "publisher", timeout_seconds=timeout_seconds, jitter=lambda: 1.0)) as sink:
        yield sink


def publish_while(sink: Publish, work: Callable[[], None]) -> set[str]:
    """Have eight threads publish before, during and after ``work``. The ids of what was confirmed."""
    confirmed: list[str] = []
    over = threading.Event()

    def publish_on(thread: int) -> None:
        for number in range(NUMBERS):
            one = replace(NOTIFICATION, key=bytes([thread]) + number.to_bytes(3, "big"))
            sink.send(one)
            confirmed.append(one.id)
            if over.is_set() and number > 20:
                return

    crew = [threading.Thread(target=publish_on, args=(thread,)) for thread in range(8)]
    for thread in crew:
        thread.start()
    wait_until("a start", lambda: len(confirmed) > 20, PATIENT)
    work()
    over.set()
    for thread in crew:
        thread.join(PATIENT)
    return set(confirmed)


def test_many_threads_share_a_connection(broker: RabbitMQ) -> None:
    connections: list[str] = []

    def look() -> None:
        connections.extend(broker.control("list_connections", "pid").split()[1:])

    with publishing(broker.url) as sink:
        confirmed = publish_while(sink, look)
    assert len(connections) == 1
    assert sorted(ids(consume(broker, "publisher"))) == sorted(confirmed)


def test_a_connection_that_breaks_under_load_is_made_anew_and_everything_arrives(broker: RabbitMQ) -> None:
    with publishing(broker.url, timeout_seconds=PATIENT) as sink:
        confirmed = publish_while(sink, lambda: cut_connections(broker))
    seen = Counter(ids(consume(broker, "publisher")))
    assert seen.keys() == confirmed
    assert set(seen.values()) <= {1, 2}, "what was unconfirmed is sent once more, with the same id"


def cut_connections(broker: RabbitMQ) -> None:
    broker.control("close_all_connections", "the test says so")


def test_a_broker_that_goes_is_away_and_when_it_comes_back_it_is_found(
    broker: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    with publishing(broker.url, timeout_seconds=0.5) as sink, caplog.at_level(logging.INFO, "subscriber"):
        sink.send(NOTIFICATION)
        broker.stop()
        try:
            for _ in range(3):
                with pytest.raises(SinkUnavailable, match="cannot reach"):
                    sink.send(NOTIFICATION)
        finally:
            broker.start()
        wait_until("a publication", lambda: succeeds(sink), 10)
    actions = [record.__dict__["action"] for record in caplog.records]
    assert actions == ["broker_connected", "broker_lost", "broker_lost", "broker_connected"], "no line for each try"
    assert "guest" not in caplog.text
    assert set(ids(consume(broker, "publisher"))) == {NOTIFICATION.id}


def succeeds(sink: Publish) -> bool:
    try:
        return sink.send(NOTIFICATION) is None
    except SinkUnavailable:
        return False


def test_a_short_absence_is_waited_for(broker: RabbitMQ) -> None:
    with publishing(broker.url, timeout_seconds=PATIENT) as sink:
        broker.stop()
        waiting = threading.Thread(target=sink.send, args=(NOTIFICATION,))
        waiting.start()
        broker.start()
        waiting.join(PATIENT)
    assert ids(consume(broker, "publisher")) == [NOTIFICATION.id]


def test_a_wrong_password_is_told_at_once_and_not_repeated_in_words(
    broker: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = broker.url.replace(":guest@", ":c4nary@")
    with publishing(wrong, timeout_seconds=PATIENT) as sink, pytest.raises(SinkUnavailable) as caught:
        sink.send(NOTIFICATION)
    assert "refuses user 'guest' or its password" in caught.value.detail
    assert "c4nary" not in f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"


def test_a_virtual_host_that_does_not_exist_is_named_at_once(broker: RabbitMQ) -> None:
    with (
        publishing(broker.url + "/elsewhere", timeout_seconds=PATIENT) as sink,
        pytest.raises(SinkUnavailable, match="virtual host 'elsewhere': does it exist"),
    ):
        sink.send(NOTIFICATION)


def test_a_private_authority_is_trusted_when_it_is_named(
    broker: RabbitMQ, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    with publishing(broker.tls_url) as sink:
        assert sink.send(NOTIFICATION) is None
    assert ids(consume(broker, "publisher")) == [NOTIFICATION.id]


def test_a_stranger_s_certificate_is_not_trusted(broker: RabbitMQ) -> None:
    with (
        publishing(broker.tls_url, timeout_seconds=PATIENT) as sink,
        pytest.raises(SinkUnavailable, match="cannot be trusted"),
    ):
        sink.send(NOTIFICATION)


def test_a_certificate_for_another_name_is_not_trusted(
    broker: RabbitMQ, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    with (
        publishing(broker.tls_url.replace("localhost", "127.0.0.1"), timeout_seconds=PATIENT) as sink,
        pytest.raises(SinkUnavailable, match="cannot be trusted"),
    ):
        sink.send(NOTIFICATION)


@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid"])
def test_nobody_waits_longer_than_the_time_out_for_a_broker_that_is_not_there(host: str) -> None:
    with publishing(f"amqp://{host}:{free_port()}", timeout_seconds=0.4) as sink:
        started = time.monotonic()
        with pytest.raises(SinkUnavailable, match="not published within 0.4 s"):
            sink.send(NOTIFICATION)
        assert time.monotonic() - started < 3


def test_nobody_waits_longer_than_the_time_out_for_a_broker_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"amqp://127.0.0.1:{silent.getsockname()[1]}"
        with publishing(url, timeout_seconds=0.4) as sink, pytest.raises(SinkUnavailable, match="not let us in yet"):
            sink.send(NOTIFICATION)


def test_a_broker_that_turns_us_away_is_tried_again_after_growing_pauses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as turning_away:
        attempts: list[float] = []

        def turn_away() -> None:
            while True:
                try:
                    turning_away.accept()[0].close()
                except OSError:
                    return
                attempts.append(time.monotonic())

        threading.Thread(target=turn_away, daemon=True).start()
        url = f"amqp://127.0.0.1:{turning_away.getsockname()[1]}"
        with publishing(url, timeout_seconds=1.0) as sink, pytest.raises(SinkUnavailable):
            sink.send(NOTIFICATION)
        turning_away.shutdown(socket.SHUT_RDWR)
    pauses = [later - earlier for earlier, later in zip(attempts, attempts[1:], strict=False)]
    assert 1 <= len(pauses) <= 3
    assert pauses[0] >= 0.19 and pauses == sorted(pauses)


def test_only_so_many_may_wait_at_once() -> None:
    publisher = Publisher(Broker.parse(f"amqp://127.0.0.1:{free_port()}"), "publisher", callers=1)
    message = message_of(NOTIFICATION, b"{}")
    publisher.start()

    def wait() -> None:
        with pytest.raises(SinkUnavailable, match="this process stops"):
            publisher.publish(message, PATIENT)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until("the refusal of another", lambda: refused(publisher, message), 5)
    publisher.close()
    waiting.join(PATIENT)


def refused(publisher: Publisher, message: Message) -> bool:
    try:
        publisher.publish(message, 0.01)
    except SinkUnavailable as error:
        return "more than 1 publications at once" in error.detail
    return False


def test_whoever_waits_when_the_process_stops_is_told_so() -> None:
    verdicts: list[str] = []
    sink = publish(f"amqp://127.0.0.1:{free_port()}", timeout_seconds=PATIENT)

    def wait() -> None:
        with pytest.raises(SinkUnavailable) as caught:
            sink.send(NOTIFICATION)
        verdicts.append(caught.value.detail)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until("its thread", lambda: any(thread.name == "publisher" for thread in threading.enumerate()), 5)
    sink.close()
    waiting.join(PATIENT)
    assert verdicts == ["this process stops"]
