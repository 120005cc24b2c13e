"""What `check` says of the Pelion channels: are their keys good, do they stand, with which flags and whose limits?

Nothing is changed at the platform.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.pelion.addresses import is_loopback
from subscriber.pelion.applications import Applications
from subscriber.pelion.plan import tenant_of
from subscriber.pelion.standing import Standing
from subscriber.platforms.pelion.rules import CALLBACK
from subscriber.settings import PelionChannel, PelionSettings
from subscriber.store import Finding

ANEW = "`unregister --apply --again --tenant pelion/{name}` registers it anew; what waits in it is lost"


def is_emulated(settings: PelionSettings) -> bool:
    """Are all channels those of a platform on this machine?"""
    return all(is_loopback(channel.host) for channel in settings.channels)


def channel_findings(
    channels: Iterable[PelionChannel], applications: Applications, standing: Standing
) -> Iterator[Finding]:
    """One of each channel, and one more where it has the limits of an account that has changed."""
    for channel in channels:
        try:
            yield _channel(channel, applications)
            yield from _account(channel, applications, standing)
        except (PlatformRefused, PlatformUnavailable) as error:
            yield Finding(name=f"pelion_{channel.name}", ok=False, detail=error.detail)


def _channel(channel: PelionChannel, applications: Applications) -> Finding:
    mode = applications.mode(channel.name)
    problem = ""
    if not mode:
        problem = "there is no channel: `register --apply` makes it"
    elif mode != channel.mode:
        problem = f"the application has a channel of the kind {mode}, not {channel.mode}"
    elif not _complete(channel, applications):
        anew = "`register --apply` does" if mode == CALLBACK else ANEW.format(name=channel.name)
        problem = f"registered without ids and times of its items, so duplicates cannot always be told: {anew}"
    return Finding(name=f"pelion_{channel.name}", ok=not problem, detail=problem or f"{mode}, with all flags")


def _complete(channel: PelionChannel, applications: Applications) -> bool:
    found = (
        applications.registration(channel.name) if channel.mode == CALLBACK else applications.websocket(channel.name)
    )
    return found is not None and found.complete


def _account(channel: PelionChannel, applications: Applications, standing: Standing) -> Iterator[Finding]:
    """A change of the account's tier reaches only channels that are registered after it (seed 002)."""
    noted = standing.account(tenant_of(channel.name))
    if noted is None:
        return
    now, problem = applications.account(channel.name), ""
    if now.id != noted.id:
        problem = "the key's account is another one than when the channel was made"
    elif now.tier != noted.tier:
        anew = ANEW.format(name=channel.name)
        problem = f"the account's tier was {noted.tier} and is {now.tier}; the limits stay the old ones. {anew}"
    yield Finding(name=f"pelion_{channel.name}_account", ok=not problem, detail=problem or f"tier {now.tier or '?'}")
