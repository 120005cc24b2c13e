"""A WebSocket client whose every frame can be seen, and whose manners can be bad."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from typing import Any

import websocket
from websocket import ABNF

from tests.emulator.running import wait_for

ABNORMAL = 1006  # what a client reports when the connection breaks without a close frame


class Socket:
    """Connected when made; reads in a thread until the end. ``echo`` is what it makes of a ping's bytes."""

    def __init__(
        self, host: str, key: str, *, bearer: bool = False, pongs: bool = True, other_bytes: bool = False
    ) -> None:
        self._pongs = pongs
        self._other_bytes = other_bytes
        self.messages: list[dict[str, Any]] = []
        self.pings: list[bytes] = []
        self.code: int | None = None
        self.reason = ""
        url = host.replace("http", "ws", 1) + "/v2/notification/websocket-connect"
        how: dict[str, Any] = (
            {"header": [f"Authorization: Bearer {key}"], "subprotocols": ["wss"]}
            if bearer
            else {"subprotocols": ["wss", f"pelion_{key}"]}
        )
        self._ws = websocket.create_connection(url, timeout=20, **how)
        self.subprotocol = self._ws.getsubprotocol()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        code, reason = ABNORMAL, ""
        with contextlib.suppress(OSError, websocket.WebSocketException, AttributeError):
            while True:
                frame = self._ws.recv_frame()
                if frame.opcode == ABNF.OPCODE_PING:
                    self._answer(frame.data)
                elif frame.opcode == ABNF.OPCODE_TEXT:
                    self.messages.append(json.loads(frame.data))
                elif frame.opcode == ABNF.OPCODE_CLOSE:
                    code, reason = struct.unpack("!H", frame.data[:2])[0], frame.data[2:].decode()
                    self._ws.send_close(code)
                    break
        self.reason = reason
        self.code = code
        self._ws.shutdown()

    def _answer(self, data: bytes) -> None:
        self.pings.append(data)
        if self._pongs:
            self._ws.pong(b"none" if self._other_bytes else data)

    def ended(self) -> int:
        """The close code, once there is one."""
        wait_for(lambda: self.code is not None)
        assert self.code is not None
        return self.code

    def got(self, count: int) -> list[dict[str, Any]]:
        """The messages, as soon as there are that many."""
        wait_for(lambda: len(self.messages) >= count)
        return self.messages

    def items(self, category: str) -> list[Any]:
        return [item for message in self.messages for item in message.get(category, [])]

    def close(self) -> None:
        """A close frame, as a polite client sends."""
        self._ws.send_close(1000)

    def send(self, text: str) -> None:
        self._ws.send(text)

    def drop(self) -> None:
        """Break the connection without a word."""
        with contextlib.suppress(OSError, AttributeError):
            self._ws.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
