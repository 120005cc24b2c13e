"""A device that speaks SmartREST, written from seed 003 alone: one connection for each request, read as it comes."""

from __future__ import annotations

import base64
import csv
import io
import json
import threading
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from typing import Any

from tests.emulator.cumulocity.running import Tenant
from tests.emulator.running import DEADLINE_S, wait_for

REALTIME, OPERATIONS = "/notification/realtime", "/notification/operations"
X_ID = "com.acme.gw-v3"
ALARMS = '11,100,,$.data.severity,$.realtimeAction,$.data.id,"$.data.text"'


def rows(text: str) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(text.lstrip(" "), newline="")) if row]


@dataclass
class Poll:
    """A connect, held on a thread of its own. ``text`` grows as it is read; ``error`` if it broke."""

    text: str = ""
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)
    response: HTTPResponse | None = None

    def rows(self) -> list[list[str]]:
        """Those of the whole answer."""
        assert self.done.wait(DEADLINE_S), "the connect is still held"
        if self.error is not None:
            raise self.error
        return rows(self.text)


class Device:
    """One user of one endpoint. ``begin`` makes a session and its first connect."""

    def __init__(self, tenant: Tenant, path: str = REALTIME, x_id: str = X_ID, prefix: str = "/c8y") -> None:
        login, password = tenant.session.auth  # type: ignore[misc]
        self.tenant = tenant
        self.path = prefix + path
        self.prefix = prefix
        self.x_id = x_id
        self.client_id = ""
        self.basic = "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()
        self._threads: list[threading.Thread] = []

    def ask(self, body: str, path: str | None = None, *, x_id: str | None = None) -> str:
        """The whole answer of a request."""
        poll = Poll()
        self._run(poll, body, path or self.path, self.x_id if x_id is None else x_id)
        if poll.error is not None:
            raise poll.error
        return poll.text

    def register(self, *templates: str, x_id: str | None = None) -> str:
        """The id of the new collection."""
        id, text = self.ask("\n".join(templates or (ALARMS,)), f"{self.prefix}/s", x_id=x_id).split(",", 1)
        assert id == "20", text
        return text

    def begin(self, *channels: str, body: str = "80") -> Device:
        """Handshake, subscriptions, and the connect that returns at once."""
        self.client_id = self.ask(body)
        for channel in channels:
            assert self.ask(f"81,{self.client_id},{channel}") == ""
        assert self.connect().rows()[0][0] == "86"
        return self

    def connect(self, *more: str) -> Poll:
        """The next connect, on a thread."""
        poll = Poll()
        body = ",".join(("83", self.client_id, *more))
        thread = threading.Thread(target=self._run, args=(poll, body, self.path, self.x_id), daemon=True)
        self._threads.append(thread)
        thread.start()
        return poll

    def held(self, *more: str) -> Poll:
        """The next connect, once the platform holds it."""
        before = self.session()["connects"]
        poll = self.connect(*more)
        wait_for(lambda: self.session()["connects"] > before and self.session()["held"])
        return poll

    def session(self) -> dict[str, Any]:
        """What the platform knows of the session."""
        items = self.tenant.emulator.control("/cumulocity/sessions")["items"]
        (found,) = [item for item in items if item["id"] == self.client_id]
        return dict(found)

    def _run(self, poll: Poll, body: str, path: str, x_id: str) -> None:
        host = self.tenant.emulator.url.removeprefix("http://")
        connection = HTTPConnection(host, timeout=DEADLINE_S)
        try:
            headers = {"Authorization": self.basic} | ({"X-Id": x_id} if x_id else {})
            connection.request("POST", path, body.encode(), headers)
            poll.response = response = connection.getresponse()
            assert response.status == 200, response.read()
            while piece := response.read1():
                poll.text += piece.decode()
            if response.length:  # read1() takes a body that ends too early for whole
                raise IncompleteRead(b"", response.length)
        except Exception as error:  # top of a thread
            poll.error = error
        finally:
            connection.close()
            poll.done.set()

    def json(self, *messages: dict[str, Any]) -> Any:
        """Bayeux in JSON: the replies."""
        answer = self.tenant.session.post(self.tenant.emulator.url + self.path, json=list(messages))
        assert answer.status_code == 200, answer.text
        return json.loads(answer.content or b"[]")
