"""``@mindconnect/mindconnect-nodejs`` in the hands of tests: its library and its command line, both unmodified."""

from __future__ import annotations

import base64
import itertools
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.tools import require
from tests.vendors.node import Driver, Thrown, environment

FOLDER = Path(__file__).parent / "mindsphere"
PROGRAM = FOLDER / "node_modules" / "@mindconnect" / "mindconnect-nodejs" / "bin" / "mc"  # installed as mdsp
PASSKEY = "a passkey of its own"
DEADLINE_S = 30
STATUS_BY_PHRASE = {status.phrase: status.value for status in HTTPStatus}
REFUSAL = re.compile(r"Network error occured ([A-Za-z ]+) (\{.*\})", re.DOTALL)  # the client's words


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def complaint(call: Callable[[], object]) -> str:
    """What the client says when it fails, as it must."""
    with pytest.raises(Thrown) as caught:
        call()
    return str(caught.value)


def refusal(text: str) -> tuple[int, str]:
    """Status and code of the platform's answer in a complaint."""
    match = REFUSAL.search(text)
    assert match, text
    code: str = json.loads(match[2])["errors"][0]["code"]
    return STATUS_BY_PHRASE[match[1]], code.removeprefix("mdsp.core.generic.")


def refused(call: Callable[[], object]) -> tuple[int, str]:
    return refusal(complaint(call))


class Client:
    """One SDK object: an application, or with fewer credentials a service user, acting in one tenant."""

    _numbers = itertools.count()

    def __init__(self, driver: Driver, credentials: dict[str, str]) -> None:
        self._driver = driver
        self._name = f"client{next(self._numbers)}"
        driver("open", self._name, credentials)

    def token(self) -> str:
        """Kept, or acquired anew; either way past the client's own check."""
        found: str = self._driver("token", self._name)
        return found

    def get(self, path: str) -> Any:
        return self._driver("get", self._name, path)

    def put(self, topic: str, body: object, *, name: str = "alarmapi", version: str = "v1.4.2") -> Any:
        return self._driver("broker", self._name, "PutSubscription", name, version, topic, body)

    def read(self, topic: str, *, name: str = "alarmapi", version: str = "v1.4.2") -> Any:
        return self._driver("broker", self._name, "GetSubscription", name, version, topic)

    def delete(self, topic: str, *, name: str = "alarmapi", version: str = "v1.4.2") -> Any:
        return self._driver("broker", self._name, "DeleteSubscription", name, version, topic)

    def send(self, topic: str, content: object) -> None:
        self._driver("broker", self._name, "SendMessage", topic, {"content": content})


@dataclass
class CommandLine:
    """``mdsp`` with a home folder of its own."""

    home: Path

    def __call__(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """``extra`` is environment."""
        return subprocess.run(
            [require("node", "nodejs"), str(PROGRAM), *arguments],
            cwd=self.home,
            env=environment(self.home) | extra,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )

    def log_in(self, credentials: dict[str, str]) -> None:
        """Store credentials the way a person does, encrypted with the passkey."""
        encoded = credentials["basicAuth"].removeprefix("Basic ")
        user, _, password = base64.b64decode(encoded).decode().partition(":")
        members = {name: value for name, value in credentials.items() if name != "basicAuth"}
        options = {**members, "type": "APP", "user": user, "password": password, "passkey": PASSKEY}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        done = self("service-credentials", "--mode", "add", *words)
        assert done.returncode == 0, done.stderr
        assert password not in (self.home / ".mc" / "auth.json").read_text()

    def broker(self, mode: str, topic: str, *more: str) -> subprocess.CompletedProcess[str]:
        subscriber = ("-s", "alarmapi", "-e", "v1.4.2", "-t", topic, "-k", PASSKEY)
        return self("message-broker", "--mode", mode, *subscriber, *more)
