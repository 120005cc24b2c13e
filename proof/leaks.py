"""Canaries: what callers and settings hold, looked for in everything that the service says."""

from __future__ import annotations

import time
from collections.abc import Iterator

from proof.front import CANARY, PATH, Front
from proof.report import Part
from subscriber.platforms.pelion.callback import SECRET_HEADER
from tests.signing import bearer, broker_claims, mint, signing_key
from tests.web.serving import get, head, post

FORGED = "FORGED c4nary"  # what would begin a line, or an answer's field, of its own
TOKEN = b"eyJ"  # how every JWT begins
ENDS = ("\n", "\r\n", "%0d%0a", "\\n", "\u2028", "\x1b[2J")
ISSUER = "https://c4nary.example/oauth/token"
ROUNDS = 3  # of different names: the metrics of the first round are all there ever are


def told(server: Front) -> Part:
    """Canaries wherever a caller can put one, round after round under other names."""
    tried, sizes = 0, []
    for number in range(ROUNDS):
        for request in requests(server, f"c4nary{number}"):
            server.say(request)
            tried += 1
        sizes.append(len(server.metrics().splitlines()))
    broken = [f"metrics: {sizes[0]} lines became {sizes[-1]} by names of callers"] if sizes[0] != sizes[-1] else []
    return Part(tried, {"requests with canaries": tried, "lines of metrics after each round": str(sizes)}, broken)


def repeated(server: Front) -> list[str]:
    """Where a canary came back: everything answered, logged and counted since the start."""
    log = server.log()
    said = {"log": log, "metrics": server.metrics(), "an answer": b"\n".join(server.heard)}
    found = [f"{name}: a canary in {_line(text)!r}" for name, text in said.items() if CANARY in text.lower()]
    found += ["log: a line of a caller's"] if b"\nFORGED" in log else []
    found += ["log: a traceback"] if b"Traceback" in log else []
    return found + [f"{name}: a token" for name, text in said.items() if TOKEN in text]


def _line(text: bytes) -> bytes:
    return next(line for line in text.splitlines() if CANARY in line.lower())[:300]


def requests(server: Front, name: str) -> Iterator[bytes]:
    """Requests with the name in every place that a caller fills."""
    good = server.authorization
    for end in ENDS:
        text = f"{name}{end}{FORGED}"
        yield head("POST", PATH, f"Authorization: {bearer(_token(text))}", "Content-Length: 0")
        yield head("POST", PATH, f"Authorization: Bearer {text}", "Content-Length: 0")
        yield post(PATH, b'{"header":{"topic":"%b"}}' % text.encode(), good)
        yield post(PATH, text.encode(), good, f"X-Mdsp-Topic: {text}", f"User-Agent: {text}")
        yield get(f"/{text}", f"Cookie: {text}", f"Referer: {text}")
        yield get(f"/api/notifications?cursor={text}&{text}=1", good)
    yield head(name.upper(), PATH, good)
    yield post(PATH, b"{", good, f"Content-Encoding: {name}")
    yield post(PATH, b"{", f"Authorization: Basic {name}", f"X-Forwarded-For: {name}", f"X-{name}: {name}")
    yield head("POST", PATH, good, f"Transfer-Encoding: {name}")
    yield head("POST", PATH, good, f"Expect: {name}", "Content-Length: 1")
    yield get("/metrics", f"Authorization: Bearer {name}")
    yield head("PUT", f"/notifications/pelion/{name}", f"{SECRET_HEADER}: {name}", "Content-Length: 0")
    yield head("PUT", "/notifications/pelion/cellar", f"{SECRET_HEADER}: {name}", "Content-Length: 0")
    yield post(f"/console/{name}", f"password={name}".encode(), f"Origin: https://{name}.example", f"Cookie: {name}")
    yield get("/api/stream", good, f"Last-Event-ID: {name}")


def _token(text: str) -> str:
    """Signed by a stranger, with the text in every claim and header a log might want to name."""
    claims = broker_claims(
        ISSUER, iss=text, ten=text, client_id=text, sub=text, scope=[text], exp=int(time.time()) + 60
    )
    return mint(claims, key=signing_key("stranger"), kid=text)
