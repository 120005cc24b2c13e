"""What the product is measured against: the same server, settings and route, with another inbox behind the door."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Sequence
from typing import cast

from flask import Flask

from subscriber import services
from subscriber.intake import Intake
from subscriber.model import MINDSPHERE, DeadLetter, Notification, Outcome, Receipt, to_millis
from subscriber.settings import Settings
from subscriber.store import ChannelFact
from subscriber.store.sqlite.admission import Admission, Arrival
from subscriber.store.sqlite.driver import open_writer
from subscriber.store.sqlite.transaction import Transaction
from subscriber.web import create_app


class Known:
    """Receipts that are here already."""

    def __init__(self, receipts: list[Receipt]) -> None:
        self._receipts = receipts

    def receipts(self) -> list[Receipt]:
        return self._receipts

    def when_done(self, callback: Callable[[], None]) -> None:
        callback()


class Nothing:
    """Stores nothing and says it was new."""

    def submit(
        self,
        notifications: Sequence[Notification],
        dead_letters: Sequence[DeadLetter] = (),
        facts: Sequence[ChannelFact] = (),
    ) -> Known:
        return Known([Receipt(each.tenant, each.key, Outcome.NEW) for each in notifications])


class OneByOne:
    """The product's own statements, one transaction per request: each thread has its connection, and SQLite's busy
    handler keeps the writers apart. What a service does that was not told otherwise."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._own = threading.local()

    def submit(
        self,
        notifications: Sequence[Notification],
        dead_letters: Sequence[DeadLetter] = (),
        facts: Sequence[ChannelFact] = (),
    ) -> Known:
        if not hasattr(self._own, "connection"):
            self._own.connection = open_writer(self._path, lock_wait_seconds=5.0)
        connection = self._own.connection
        connection.execute("BEGIN IMMEDIATE")
        transaction = Transaction(connection, to_millis(services.utc_now()))
        (receipts,) = Admission().perform(transaction, [Arrival(notifications, dead_letters, facts)])
        transaction.write_counters()
        connection.execute("COMMIT")
        return Known(cast(list[Receipt], receipts))


def floor() -> Flask:
    """Verifies the same token, parses, answers 204, keeps nothing."""
    return _application(Nothing())


def one_by_one() -> Flask:
    """One transaction per request."""
    return _application(None)


def _application(inbox: Nothing | None) -> Flask:
    built = services.build(Settings.from_environ(os.environ))
    assert built.settings.mindsphere is not None
    gates = {MINDSPHERE: services.mindsphere_gate(built.settings.mindsphere, built.metrics)}
    behind = inbox or OneByOne(built.settings.database_url.removeprefix("sqlite:///"))
    intake = Intake(behind, gates, services.utc_now)  # type: ignore[arg-type]  # only `submit` is called
    return create_app(dataclasses.replace(built, intake=intake))
