"""Who listens to real-time sessions, each as a process: ``python -m bench.polling KIND URL NAME SESSIONS DATABASE``.

``product`` is the part of a worker that stores what conversations bring; ``bare`` reads, and echoes the number of
each answer. They run until told to stop (SIGTERM).
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading

import aiohttp

PATH = "/notification/realtime"
CHANNEL = "/alarms/*"


def product(url: str, name: str, sessions: int, database: str) -> None:
    """Conversations into a store; no dispatcher beside them."""
    from subscriber.channels.conversations import Conversation
    from subscriber.channels.realtime import line
    from subscriber.channels.runner import running
    from subscriber.logs import log_to_stderr
    from subscriber.metrics import Metrics
    from subscriber.platforms.cumulocity_api import ServiceUser
    from subscriber.platforms.smartrest.realtime import Channel, Realtime, Template
    from subscriber.services import utc_now
    from subscriber.store import open_store

    log_to_stderr()
    stop, store = threading.Event(), open_store(database)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    user = ServiceUser(tenant="t1", name="bench", password="bench")
    columns = ("id", "device", "status", "changed", "text")
    conversations = []
    for number in range(sessions):
        x_id = f"{name}-{number}"
        template = Template(
            x_id=x_id,
            id="500",
            columns=columns,
            paths=tuple(f"$.{column}" for column in columns),
            source="device",
            time="changed",
            key=("id", "status", "changed"),
        )
        channels = (Channel(name=CHANNEL),)
        realtime = Realtime(tenant="t1", path=PATH, x_id=x_id, channels=channels, templates=(template,))
        conversations.append(Conversation(base_url=url, user=user, realtime=realtime))
    with running([line(lambda: conversations, lambda _: None)], store, Metrics(), utc_now, stop):
        stop.wait()
    store.close()


def bare(url: str, name: str, sessions: int, database: str) -> None:
    """Reads, and asks for more."""
    asyncio.run(_bare(url, name, sessions))


async def _bare(url: str, name: str, sessions: int) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as http:
        await asyncio.gather(*(_listen(http, url, f"{name}-{number}") for number in range(sessions)))


async def _listen(http: aiohttp.ClientSession, url: str, x_id: str) -> None:
    headers = {"X-Id": x_id, "Content-Type": "text/plain"}

    async def ask(body: str) -> bytes:
        async with http.post(url + PATH, data=body, headers=headers) as response:
            return await response.read()

    client = (await ask("80,true")).decode()
    await ask(f"81,{client},{CHANNEL}")
    number = ""
    while True:
        answer = await ask(f"83,{client},{number}" if number else f"83,{client}")
        number = answer.rpartition(b"88,")[2].decode() or number


KINDS = {"product": product, "bare": bare}

if __name__ == "__main__":
    kind, url, name, sessions, database = sys.argv[1:]
    KINDS[kind](url, name, int(sessions), database)
