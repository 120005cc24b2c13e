"""A small application with real routes, and workers with smaller limits, for tests of the server around them."""

from __future__ import annotations

import os
import time

from flask import Flask, Response, request

from subscriber.errors import InvalidToken
from subscriber.web import answer_alike
from subscriber.web.reading import read_body
from subscriber.web.server import Worker
from subscriber.web.server.wire import Connection, Phase

LIMIT = 1_000_000

app = Flask("tiny", static_folder=None)
answer_alike(app)


@app.get("/pid")
def pid() -> str:
    return str(os.getpid())


@app.post("/length")
def length() -> str:
    return str(len(read_body(request, LIMIT)))


@app.post("/echo")
def echo() -> bytes:
    return read_body(request, LIMIT)


@app.post("/stranger")
def stranger() -> Response:
    raise InvalidToken("nobody knows you")


@app.get("/slow")
def slow() -> str:
    time.sleep(float(request.args["seconds"]))
    return "done"


@app.get("/pieces")
def pieces() -> Response:
    return Response(iter(["one", "two", "three"]))


class Clumsy(Worker):
    """Has a bug beside the application: every connection is lost after its answer."""

    def give_back(self, connection: Connection, phase: Phase, seconds: float) -> None:
        raise RuntimeError("a bug")


class Impatient(Worker):
    """Waits half a second for anything."""

    head_seconds = 0.5
    body_seconds = 0.5


class Narrow(Worker):
    """Holds little."""

    in_flight_bytes = 100_000
