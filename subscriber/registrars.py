"""The registrars of every platform that something is subscribed at, for a person who sees what they will do."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TypeAlias

from subscriber import cumulocity, registration
from subscriber.cumulocity.registrar import Registrar as CumulocityRegistrar
from subscriber.registration.reconciler import Reconciler
from subscriber.settings import CumulocitySettings, Settings
from subscriber.store import Store

Registrar: TypeAlias = Reconciler | CumulocityRegistrar


@contextmanager
def open_registrars(settings: Settings, store: Store, stop: threading.Event) -> Iterator[Sequence[Registrar]]:
    """One for each platform that is on and has, or had, something to subscribe; closed at the end.

    ``stop`` ends their waiting and their work between two calls.
    """
    found: list[Registrar] = []
    with ExitStack() as stack:
        if settings.mindsphere is not None:
            found.append(stack.enter_context(closing(registration.build(settings, store, stop=stop))))
        if settings.cumulocity is not None and cumulocity.subscribes(settings.cumulocity, store):
            found.append(stack.enter_context(_opened(settings.cumulocity, store, stop)))
        yield found


@contextmanager
def _opened(settings: CumulocitySettings, store: Store, stop: threading.Event) -> Iterator[CumulocityRegistrar]:
    with (
        closing(cumulocity.open_directory(settings, stop=stop)) as directory,
        closing(cumulocity.build(settings, store, directory, by_hand=True, stop=stop)) as registrar,
    ):
        yield registrar
