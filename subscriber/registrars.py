"""The registrars of every platform that something is subscribed at, for whoever asks for a run of them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TypeAlias

from subscriber import cumulocity, pelion, registration
from subscriber.cumulocity.conversations import ConversationRegistrar
from subscriber.cumulocity.registrar import Registrar as CumulocityRegistrar
from subscriber.model import CUMULOCITY, MINDSPHERE, PELION, SMARTREST
from subscriber.pelion.registrar import Registrar as PelionRegistrar
from subscriber.registration.patience import Told
from subscriber.registration.reconciler import Reconciler
from subscriber.settings import CumulocitySettings, Settings
from subscriber.store import Store

Registrar: TypeAlias = Reconciler | CumulocityRegistrar | ConversationRegistrar | PelionRegistrar


def platforms(settings: Settings, store: Store) -> list[str]:
    """Those that are on and have, or had, something to subscribe, in the order in which they are brought in order."""
    known = {
        MINDSPHERE: settings.mindsphere is not None,
        CUMULOCITY: cumulocity.subscribes(settings.cumulocity, store),
        SMARTREST: settings.cumulocity is not None and bool(settings.realtime),
        PELION: pelion.registers(settings.pelion, store),
    }
    return [platform for platform, on in known.items() if on]


@contextmanager
def open_registrars(
    settings: Settings,
    store: Store,
    stop: threading.Event,
    *,
    by_hand: bool,
    told: Told | None = None,
    of: Collection[str] | None = None,
) -> Iterator[Sequence[Registrar]]:
    """One for each of ``platforms``, or for those that are also in ``of``; closed at the end.

    ``stop`` ends their waiting and their work between two calls. ``by_hand``: a person has seen the plan of all of
    them, so what is replaced with losses, or removed, is so at once. ``told``: see ``registration.patience``.
    """
    asked = [one for one in platforms(settings, store) if of is None or one in of]
    found: list[Registrar] = []
    with ExitStack() as stack:
        if MINDSPHERE in asked:
            found.append(stack.enter_context(closing(registration.build(settings, store, stop=stop, told=told))))
        if settings.cumulocity is not None and CUMULOCITY in asked:
            found.append(
                stack.enter_context(open_cumulocity(settings.cumulocity, store, stop, by_hand=by_hand, told=told))
            )
        if settings.cumulocity is not None and SMARTREST in asked:
            found.append(stack.enter_context(open_conversations(settings, settings.cumulocity, store, stop)))
        if PELION in asked:
            office = pelion.build(settings, store, by_hand=by_hand, stop=stop, told=told)
            found.append(stack.enter_context(closing(office.registrar)))
        yield found


@contextmanager
def open_cumulocity(
    settings: CumulocitySettings, store: Store, stop: threading.Event, *, by_hand: bool, told: Told | None = None
) -> Iterator[CumulocityRegistrar]:
    """That of Notification 2.0. ``by_hand``, ``told``: as above."""
    with (
        closing(cumulocity.open_directory(settings, stop=stop)) as directory,
        closing(cumulocity.build(settings, store, directory, by_hand=by_hand, stop=stop, told=told)) as registrar,
    ):
        yield registrar


@contextmanager
def open_conversations(
    settings: Settings, platform: CumulocitySettings, store: Store, stop: threading.Event
) -> Iterator[ConversationRegistrar]:
    """That of real-time conversations."""
    with (
        closing(cumulocity.open_directory(platform, stop=stop)) as directory,
        closing(
            cumulocity.build_conversations(platform, settings.realtime, store, directory, stop=stop)
        ) as registrar,
    ):
        yield registrar
