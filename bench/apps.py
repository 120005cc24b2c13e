"""What the product is measured against: the same server, settings and route, with another inbox behind the door."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Sequence

from flask import Flask

from subscriber import services
from subscriber.intake import Intake
from subscriber.model import MINDSPHERE, DeadLetter, Notification, Outcome, Receipt
from subscriber.settings import Settings
from subscriber.store import Inbox
from subscriber.web import create_app


class Nothing:
    """Stores nothing and says it was new."""

    def add(self, notifications: Sequence[Notification], dead_letters: Sequence[DeadLetter] = ()) -> list[Receipt]:
        return [Receipt(each.tenant, each.key, Outcome.NEW) for each in notifications]


class OneByOne:
    """The product's own store, one transaction per request: no request shares its commit with another's."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._turn = threading.Lock()

    def add(self, notifications: Sequence[Notification], dead_letters: Sequence[DeadLetter] = ()) -> list[Receipt]:
        with self._turn:
            return self._inbox.add(notifications, dead_letters)


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
    behind = inbox or OneByOne(built.store.inbox)
    intake = Intake(behind, gates, services.utc_now)  # type: ignore[arg-type]  # only `add` is called
    return create_app(dataclasses.replace(built, intake=intake))
