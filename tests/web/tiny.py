"""A small application with real routes, and workers that lose patience sooner, for tests of the server around them."""

from __future__ import annotations

import os
import time

from flask import Flask, Response, request

from subscriber.errors import InvalidToken
from subscriber.web import answer_alike
from subscriber.web.reading import read_body
from subscriber.web.server import Worker

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


class Impatient(Worker):  # type: ignore[misc]
    """Waits half a second for anything."""

    head_seconds = 0.5
    body_seconds = 0.5


class Narrow(Worker):  # type: ignore[misc]
    """Holds little."""

    in_flight_bytes = 100_000
