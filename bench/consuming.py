"""Who reads a consumer, each as a process of its own: ``python -m bench.consuming KIND URL SUBSCRIPTION``.

``product`` is the part of a worker that stores what channels bring, with the settings of the environment; the others
keep nothing. They run until told to stop (SIGTERM).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

import aiohttp


def product(url: str, subscription: str) -> None:
    """All channels of the settings, into their store; no dispatcher beside them."""
    from subscriber.channels.cumulocity import line
    from subscriber.channels.runner import running
    from subscriber.cumulocity import open_directory
    from subscriber.cumulocity.wanted import Wanted
    from subscriber.logs import log_to_stderr
    from subscriber.metrics import Metrics
    from subscriber.services import utc_now
    from subscriber.settings import Settings
    from subscriber.store import open_store

    log_to_stderr()
    settings, stop = Settings.from_environ(os.environ), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    store = open_store(settings.database_url)
    assert settings.cumulocity is not None
    directory = open_directory(settings.cumulocity, stop=stop)
    wanted = Wanted(settings.cumulocity, directory, store.registry)
    with running([line(wanted, wanted.refused)], store, Metrics(), utc_now, stop):
        stop.wait()
    store.close()


def listener(url: str, subscription: str) -> None:
    """The vendor's, with a callback that does nothing."""
    from c8y_api import CumulocityApi
    from c8y_tk.notification2 import Listener

    api = CumulocityApi(url, "t1000", "vendor", "bench")
    Listener(api, subscription, auto_unsubscribe=False).listen(lambda message: None)


def async_listener(url: str, subscription: str) -> None:
    from c8y_api import CumulocityApi
    from c8y_tk.notification2 import AsyncListener

    async def nothing(message: AsyncListener.Message) -> None:
        pass

    api = CumulocityApi(url, "t1000", "vendor", "bench")
    asyncio.run(AsyncListener(api, subscription, auto_unsubscribe=False).listen(nothing))


def bare(url: str, subscription: str) -> None:
    """Reads, cuts the first line off, sends it back."""
    asyncio.run(_bare(url, subscription))


async def _bare(url: str, subscription: str) -> None:
    headers = {"Authorization": aiohttp.encode_basic_auth("t1000/bare", "bench")}
    async with aiohttp.ClientSession(headers=headers) as session:
        names = {"subscription": subscription, "subscriber": "bench"}
        async with session.post(f"{url}/notification2/token", json=names) as response:
            token = (await response.json())["token"]
        async with session.ws_connect(f"{url}/notification2/consumer/", params={"token": token}) as socket:
            async for message in socket:
                await socket.send_str(message.data.partition("\n")[0])


KINDS: dict[str, Callable[[str, str], None]] = {
    "product": product,
    "listener": listener,
    "async_listener": async_listener,
    "bare": bare,
}

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    KINDS[sys.argv[1]](*sys.argv[2:4])
