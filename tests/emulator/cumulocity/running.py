"""A tenant's users and their sockets, written from the platform's documents alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests
import websocket

from tests.emulator.running import DEADLINE_S, Emulator, wait_for

SILENCE_S = 0.25  # how long a socket must say nothing to be believed silent


@dataclass(frozen=True)
class Frame:
    """One notification as it arrived."""

    ack: str
    description: str
    action: str
    extra: tuple[str, ...]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def about(self) -> tuple[str, str]:
        """What a test compares first: ``("/t123/alarms/5001", "CREATE")``."""
        return self.description, self.action


def parsed(text: str) -> Frame:
    head, _, body = text.partition("\n\n")
    ack, description, action, *extra = head.split("\n")
    return Frame(ack, description, action, tuple(extra), body)


class Socket:
    """One client of a consumer. Refusals raise ``websocket.WebSocketBadStatusException``."""

    def __init__(self, url: str) -> None:
        self._socket = websocket.create_connection(url, timeout=DEADLINE_S, http_no_proxy=["*"])

    def frame(self) -> Frame:
        text = self._socket.recv()
        assert isinstance(text, str) and text, "the socket was closed"
        return parsed(text)

    def frames(self, count: int, *, ack: bool = True) -> list[Frame]:
        """The next ones; acknowledged each as it comes unless told otherwise."""
        found = []
        for _ in range(count):
            found.append(self.frame())
            if ack:
                self.send(found[-1].ack)
        return found

    def send(self, text: str) -> None:
        self._socket.send(text)

    def silent(self) -> bool:
        """Nothing arrives for a while."""
        self._socket.settimeout(SILENCE_S)
        try:
            return not self._socket.recv()
        except websocket.WebSocketTimeoutException:
            return True
        finally:
            self._socket.settimeout(DEADLINE_S)

    def silent_or(self, sources: list[str]) -> bool:
        """True if nothing comes for a while; else the frame is acknowledged and its source put on the list."""
        self._socket.settimeout(SILENCE_S)
        try:
            frame = self.frame()
        except websocket.WebSocketTimeoutException:
            return True
        finally:
            self._socket.settimeout(DEADLINE_S)
        self.send(frame.ack)
        sources.append(frame.description.rpartition("/")[2])
        return False

    def close_code(self) -> int:
        """What the platform closes with; what it sends before is passed over."""
        while True:
            opcode, data = self._socket.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(data[:2], "big")

    def ping(self) -> None:
        self._socket.ping()

    def close(self) -> None:
        self._socket.close(timeout=1)
        self._socket.shutdown()  # once the platform has closed, the library leaves the socket open

    def cut(self) -> None:
        """Gone without a word."""
        self._socket.shutdown()


class Tenant:
    """A user of one tenant, by default its ``admin``."""

    def __init__(
        self, emulator: Emulator, tenant: str = "t123", *, name: str = "admin", prefix: str = "/c8y"
    ) -> None:
        self.emulator = emulator
        self.id = tenant
        self.base = emulator.url + prefix
        known = emulator.control("/cumulocity/users", {"tenant": tenant, "name": name})
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.auth = (f"{tenant}/{name}", known["password"])
        self.devices: list[str] = emulator.control(f"/credentials?tenant=cumulocity/{tenant}")["cumulocity"][
            "devices"
        ]
        self._open: list[Socket] = []

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.session.request(method, self.base + path, json=body, **options)

    def post(self, path: str, body: Any, status: int = 201) -> Any:
        answer = self.ask("POST", path, body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def get(self, path: str, **params: Any) -> Any:
        answer = self.ask("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def put(self, path: str, body: Any) -> Any:
        answer = self.ask("PUT", path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def delete(self, path: str) -> None:
        answer = self.ask("DELETE", path)
        assert answer.status_code == 204, answer.text

    # Notification 2.0

    def rule(self, name: str, *apis: str, source: str | None = None, **more: Any) -> Any:
        """A subscription for the tenant, or for one managed object."""
        body = {"context": "mo" if source else "tenant", "subscription": name, **more}
        body |= {"source": {"id": source}} if source else {}
        body |= {"subscriptionFilter": {"apis": list(apis)}} if apis else {}
        return self.post("/notification2/subscriptions", body)

    def token(self, subscription: str, subscriber: str = "reader", **more: Any) -> str:
        body = {"subscription": subscription, "subscriber": subscriber, **more}
        token: str = self.post("/notification2/token", body, 200)["token"]
        return token

    def socket(self, token: str, client: str | None = None) -> Socket:
        """A connected client; closed at the end of the test."""
        named = "" if client is None else f"&consumer={quote(client)}"
        url = self.emulator.url.replace("http", "ws", 1) + f"/c8y/notification2/consumer/?token={token}{named}"
        self._open.append(Socket(url))
        return self._open[-1]

    def reader(
        self, subscription: str, subscriber: str = "reader", *, client: str | None = None, **more: Any
    ) -> Socket:
        """A connected client with a fresh token."""
        return self.socket(self.token(subscription, subscriber, **more), client)

    def backlog(self, subscription: str) -> int:
        """Messages not acknowledged by the consumers of a name."""
        topics = self.emulator.control("/cumulocity/topics")["items"]
        found = [topic for topic in topics if (topic["tenant"], topic["name"]) == (self.id, subscription)]
        return sum(consumer["backlog"] for topic in found for consumer in topic["consumers"])

    def clients(self, subscription: str) -> int:
        topics = self.emulator.control("/cumulocity/topics")["items"]
        found = [topic for topic in topics if (topic["tenant"], topic["name"]) == (self.id, subscription)]
        return sum(consumer["clients"] for topic in found for consumer in topic["consumers"])

    def wait_for_backlog(self, subscription: str, count: int) -> None:
        wait_for(lambda: self.backlog(subscription) == count)

    def wait_for_clients(self, subscription: str, count: int) -> None:
        wait_for(lambda: self.clients(subscription) == count)

    # what devices report

    def alarm(self, device: str, type: str = "acme_TooWarm", **more: Any) -> Any:
        body = {"source": {"id": device}, "type": type, "text": "warm", "severity": "MAJOR", **more}
        return self.post("/alarm/alarms", {"time": "2026-01-01T00:04:00.000Z", **body})

    def event(self, device: str, type: str = "acme_Door", **more: Any) -> Any:
        body = {"source": {"id": device}, "type": type, "text": "opened", **more}
        return self.post("/event/events", {"time": "2026-01-01T00:04:00.000Z", **body})

    def measurement(self, device: str, value: float = 1.0, **more: Any) -> Any:
        body = {"source": {"id": device}, "type": "c8y_T", "c8y_T": {"T": {"value": value, "unit": "C"}}, **more}
        return self.post("/measurement/measurements", {"time": "2026-01-01T00:04:00.000Z", **body})

    def operation(self, device: str) -> Any:
        return self.post("/devicecontrol/operations", {"deviceId": device, "c8y_Restart": {}})

    def end(self) -> None:
        for socket in self._open:
            socket.close()
        self.session.close()
