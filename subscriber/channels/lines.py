"""A platform's line of channels: how its keeper is put together, with or without credentials that may be refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeAlias

from subscriber.channels import Channel, Desired, SourceT
from subscriber.channels.keeper import Keeper
from subscriber.channels.ownership import Ownership
from subscriber.channels.runner import Line, Shared

Refused: TypeAlias = Callable[[SourceT], Coroutine[None, None, None]]
"""What a channel awaits when the platform does not accept its credentials."""


def kept(platform: str, desired: Desired[SourceT], make: Callable[[SourceT, Shared], Channel[SourceT]]) -> Line:
    """Keeps all channels of ``platform`` that are ``desired``."""
    return lambda shared: _keeper(platform, desired, lambda source: make(source, shared), shared)


def renewed(
    platform: str,
    desired: Desired[SourceT],
    refused: Callable[[SourceT], None],
    make: Callable[[SourceT, Shared, Refused[SourceT]], Channel[SourceT]],
) -> Line:
    """Keeps all channels of ``platform`` that are ``desired``.

    ``refused`` is called, in a thread of its own, with a source whose credentials were not accepted; when it returns,
    ``desired`` is asked anew.
    """

    def build(shared: Shared) -> Keeper[SourceT]:
        async def renew(source: SourceT) -> None:
            await asyncio.to_thread(refused, source)
            keeper.look_soon()

        keeper = _keeper(platform, desired, lambda source: make(source, shared, renew), shared)
        return keeper

    return build


def _keeper(
    platform: str, desired: Desired[SourceT], make: Callable[[SourceT], Channel[SourceT]], shared: Shared
) -> Keeper[SourceT]:
    return Keeper(desired, make, Ownership(shared.store.registry, platform), shared.board, shared.observer)
