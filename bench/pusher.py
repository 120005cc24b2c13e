"""A consumer endpoint that can push faster than anybody reads: ``python -m bench.pusher FRAMES``.

It makes tokens for anybody, holds so many prepared frames for each consumer, never has more than 1,000 of them out
on a connection, and counts what is acknowledged. No journal, no JSON at work: it must not be what is measured.
Prints its port. Written from RFC 6455 and the consumer protocol alone.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys

WINDOW = 1000
BODY_BYTES = 600  # of a measurement with its self links
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MASK_BYTES = 4
CLOSE, PING = 8, 9
BATCH = 250  # frames written at once


def frame(number: int, consumer: str) -> bytes:
    """One notification as it goes over the wire: a measurement of one of a hundred devices."""
    source = 5000 + number % 100
    at = f"2026-01-{1 + number // 86_400_000 % 28:02d}T{number // 3_600_000 % 24:02d}:{number // 60_000 % 60:02d}:"
    at += f"{number // 1000 % 60:02d}.{number % 1000:03d}Z"
    body = {
        "id": str(number),
        "self": f"https://acme.example/measurement/measurements/{number}",
        "type": "c8y_Temperature",
        "time": at,
        "source": {"id": str(source), "self": f"https://acme.example/inventory/managedObjects/{source}"},
        "c8y_Temperature": {"T": {"value": -18.4, "unit": "C"}},
        "acme_Consumer": consumer,
    }
    body["acme_Padding"] = "x" * (BODY_BYTES - len(json.dumps(body)) - 20)
    text = f"CPu{number:010d}AA==\n/t402119/measurements/{source}\nCREATE\n\n{json.dumps(body)}".encode()
    return b"\x81\x7e" + len(text).to_bytes(2) + text


class Endpoint(asyncio.Protocol):
    """One connection: requests for tokens, or an upgrade and then frames."""

    frames: list[bytes] = []  # what every consumer gets
    acknowledged: dict[str, int] = {}  # by consumer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._input = bytearray()
        self._consumer = ""
        self._sent = 0
        self._done = 0

    def data_received(self, data: bytes) -> None:
        self._input += data
        if self._consumer:
            self._read_frames()
        else:
            self._read_request()

    # HTTP

    def _read_request(self) -> None:
        head, separator, rest = bytes(self._input).partition(b"\r\n\r\n")
        if not separator:
            return
        lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
        verb, target, _ = lines[0].decode().split(" ")
        if verb == "GET" and b"upgrade" in headers:
            key = next(line for line in lines if line.lower().startswith(b"sec-websocket-key")).split(b": ", 1)[1]
            self._input.clear()
            self._upgrade(target, key)
        elif len(rest) >= (length := int(headers.get(b"content-length", b"0"))):
            del self._input[: len(head) + 4 + length]
            self._answer(verb, target, rest[:length])

    def _answer(self, verb: str, target: str, body: bytes) -> None:
        if target.startswith("/acknowledged"):
            answer = json.dumps(self.acknowledged)
        elif target.startswith("/notification2/token"):
            payload = base64.urlsafe_b64encode(json.loads(body)["subscriber"].encode()).decode().rstrip("=")
            answer = json.dumps({"token": f"eyJhbGciOiJSUzI1NiJ9.{payload}.c2ln"})
        else:
            answer = '{"result":"DONE"}'
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        self._transport.write((head + answer).encode())

    def _upgrade(self, target: str, key: bytes) -> None:
        payload = target.partition("token=")[2].split("&")[0].split(".")[1]
        self._consumer = base64.urlsafe_b64decode(payload + "==").decode()
        self._done = self._sent = self.acknowledged.setdefault(self._consumer, 0)
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        self._push()

    # WebSocket

    def _read_frames(self) -> None:
        data, at = self._input, 0
        while len(data) >= at + 2 and len(data) >= (end := at + 2 + MASK_BYTES + (data[at + 1] & 0x7F)):
            opcode = data[at] & 0x0F
            if opcode == PING:
                self._transport.write(b"\x8a\x00")
            elif opcode == CLOSE:
                self._transport.write(b"\x88\x00")
                return self._transport.close()
            else:
                self._done += 1
            at = end
        del data[:at]
        self.acknowledged[self._consumer] = self._done
        self._push()

    def _push(self) -> None:
        while self._sent < len(self.frames) and self._sent - self._done <= WINDOW - BATCH:
            self._transport.write(b"".join(self.frames[self._sent : self._sent + BATCH]))
            self._sent += BATCH


async def main(count: int) -> None:
    Endpoint.frames = [frame(number, "bench") for number in range(count)]
    server = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
