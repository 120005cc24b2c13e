"""The product's front as it is deployed, a key server beside it, and callers that send exactly what they are told.

Every secret that the server is given, and much of what callers send, is a canary: a text that no log line, metric or
answer may repeat.
"""

from __future__ import annotations

import json
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic, sleep

from tests.signing import KeyServer, bearer, broker_claims, jwk, mint
from tests.web.serving import START_SECONDS, Server, get, post, serving

PATH = "/notifications/mindsphere"
TOPIC = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"
CLIENT_SECRET, METRICS_TOKEN, API_KEY, PAYLOAD = "c4nary-client", "c4nary-metrics", "ak_c4nary", "c4nary-payload"
CANARY = b"c4nary"
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
HEALTH = get("/health", "Connection: close")
WORKERS = 2  # processes of the server
NO_END = b"\r\nHTTP/1.1 000 "
ANSWERS_SECONDS = 20.0  # for all answers on a connection; longer than any deadline of the server for a header block


def body(name: str) -> bytes:
    """A delivery about an asset of that name."""
    asset = {"id": name, "timestamp": "2026-03-02T10:00:00.000Z", "description": PAYLOAD}
    return json.dumps({"header": {"topic": TOPIC, "tenantContext": ["custaa"]}, "asset": asset}).encode()


class Front:
    """A running server and what was heard from it. ``heard`` grows with every answer."""

    def __init__(self, server: Server, keys: KeyServer, database: Path) -> None:
        self.server = server
        self._database = database
        self.token = mint(broker_claims(keys.issuer("core")))
        self.heard: list[bytes] = []

    @property
    def authorization(self) -> str:
        return f"Authorization: {bearer(self.token)}"

    def delivery(self, name: str) -> bytes:
        """An ordinary request that is accepted."""
        return post(PATH, body(name), self.authorization)

    def say(self, sent: bytes) -> list[int]:
        """The statuses of all answers to these bytes and to a question for health behind them, until the end."""
        with self.server.connect() as sock:
            try:
                sock.sendall(sent + HEALTH)
            except ConnectionError:
                pass  # refused before all of it was sent
            return self._hear(sock)

    def say_and_leave(self, sent: bytes) -> list[int]:
        """The same for bytes that may not be a whole request: the caller says that nothing follows."""
        with self.server.connect() as sock:
            try:
                sock.sendall(sent)
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            return self._hear(sock)

    def _hear(self, sock: socket.socket) -> list[int]:
        """Statuses until the server's end; a last 0 if there was none."""
        said, give_up_at = b"", monotonic() + ANSWERS_SECONDS
        try:
            sock.settimeout(ANSWERS_SECONDS)
            while monotonic() < give_up_at and (piece := sock.recv(65536)):
                said += piece
        except ConnectionError:
            pass
        except TimeoutError:
            said += NO_END
        self.heard.append(said)
        return [int(status) for status in STATUS.findall(said)]

    def stored(self) -> set[str]:
        """Names of all assets that were admitted."""
        return set(self.stored_rows())

    def stored_rows(self) -> list[str]:
        """The same, one for each row."""
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT body FROM inbox WHERE topic = ?", (TOPIC,)).fetchall()
        return [json.loads(row[0])["asset"]["id"] for row in rows]

    def metrics(self) -> bytes:
        return self.server.ask(get("/metrics", f"Authorization: Bearer {METRICS_TOKEN}")).body

    def log(self) -> bytes:
        return self.server.output.read_bytes()

    def workers(self) -> list[int]:
        """Process ids of the web processes."""
        pid = self.server.process.pid
        return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def peak_mib(self) -> int:
        """The most memory that any of the processes ever held."""
        found = [re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()) for pid in self.workers()]
        return max(int(peak.group(1)) for peak in found if peak) // 1024


@contextmanager
def front(folder: Path, **more: str) -> Iterator[Front]:
    """``more``: variables of the server."""
    channels = [{"name": "cellar", "api_key": API_KEY, "mode": "callback"}]
    with KeyServer() as keys:
        keys.publish([jwk()])
        variables = {
            "MDSP_PIAM_URL": keys.url + "/{tenant}.piam",
            "MDSP_GATEWAY_URL": "http://127.0.0.1:1",
            "MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-v1.4.2",
            "MDSP_KEY_STORE_CLIENT_SECRET": CLIENT_SECRET,
            "MDSP_OS_VM_APP_NAME": "alarmapi",
            "MDSP_OS_VM_APP_VERSION": "v1.4.2",
            "WEB_CONCURRENCY": str(WORKERS),
            "METRICS_TOKEN": METRICS_TOKEN,
            "PELION_CHANNELS": json.dumps(channels),
        }
        with serving(folder, app="app:app", **variables, **more) as server:
            started = Front(server, keys, folder / "inbox.db")
            give_up_at = monotonic() + START_SECONDS
            while len(started.workers()) < WORKERS:  # one of them listens already
                assert monotonic() < give_up_at, "a process of the server does not start"
                sleep(0.05)
            yield started
