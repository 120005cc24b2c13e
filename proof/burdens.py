"""What costs a server time, threads or memory: changed requests, slow callers, bombs."""

from __future__ import annotations

import gzip
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from socket import socket

from proof.front import PATH, Front
from proof.raw import LIMIT, cases
from proof.report import Part
from tests.web.serving import head, post

CHANGED = 3000
CALLERS = 8  # at a time
CHANGED_BYTES = 4000  # longer ones are cases of their own
ODD = (b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b":", b";", b",", b"%0a", b"\xff", b"0", b"-", b"chunked")
SLOW = {"drips its header block": 60, "stalls in a short body": 20, "stalls in a long body": 10, "never reads": 10}
SLOW_SECONDS = 45.0  # the server's own deadlines are 10 s for a header block and 30 s for a body
ORDINARY = 20  # deliveries beside slow callers
ORDINARY_SECONDS = 10.0  # for each; milliseconds on a quiet machine
BOMB_SECONDS = 20.0
WORST = "empty objects"
PEAK_MIB = 256  # half of what the manifest gives an instance of two processes


def changed(server: Front, scale: float) -> Part:
    """Good and odd requests with bytes removed, repeated, replaced and put in."""
    chance = random.Random(11)
    known = [case.sent for case in cases(server.authorization, b"") if len(case.sent) < CHANGED_BYTES]
    known += [server.delivery("plain")] * len(known)
    made = [_changed(chance.choice(known), chance) for _ in range(round(CHANGED * scale))]
    with ThreadPoolExecutor(CALLERS) as pool:
        statuses = Counter(status for found in pool.map(server.say_and_leave, made) for status in found)
    broken = [
        f"changed requests: {times} answers with status {status}"
        for status, times in statuses.items()
        if status in (0, 500)
    ]
    refused = sum(times for status, times in statuses.items() if status >= 400)
    return Part(len(made), {"changed requests": len(made), "answers of refusal to them": refused}, broken)


def _changed(sent: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 4)):
        at, size = chance.randrange(len(sent) + 1), chance.choice((0, 0, 1, 2, 8))
        sent = sent[:at] + chance.choice((b"", sent[at : at + 20], *ODD)) + sent[at + size :]
    return sent


def bombs(server: Front, scale: float) -> Part:
    """Bodies that grow when they are read, one after another, then the worst at once; each with a good token."""
    slowest, broken, tried = 0.0, [], 0
    made = dict(_bombs(server.authorization, LIMIT if scale >= 1 else LIMIT // 10))
    for name, request in made.items():
        started = time.monotonic()
        statuses = server.say(request)
        took = time.monotonic() - started
        slowest, tried = max(slowest, took), tried + 1
        if statuses[:1] not in ([200], [204], [413], [415]) or took > BOMB_SECONDS:
            broken.append(f"bomb, {name}: answered {statuses} after {took:.1f} s")
    alone = server.peak_mib()
    with ThreadPoolExecutor(CALLERS) as pool:
        together = Counter(found[0] if found else 0 for found in pool.map(server.say, [made[WORST]] * CALLERS))
    broken += [
        f"bombs at once: {times} answered {status}" for status, times in together.items() if status not in (200, 503)
    ]
    figures = {"bombs": tried + CALLERS, "slowest answer to a bomb, s": round(slowest, 1)}
    return Part(tried + CALLERS, figures | {"most memory of a process, bombs one by one, MiB": alone}, broken)


def _bombs(authorization: str, size: int) -> Iterator[tuple[str, bytes]]:
    bodies = {
        "arrays in arrays": b"[" * size,
        "arrays in arrays, closed": b"[" * (size // 2) + b"]" * (size // 2),
        "objects in objects": b'{"a":' * (size // 5),
        WORST: b"[" + b"{}," * (size // 3 - 2) + b"{}]",
        "digits": b"1" * size,
        "an exponent": b'{"a":1e' + b"9" * (size // 2) + b"}",
        "members": b"{" + b",".join(b'"%x":0' % n for n in range(size // 12)) + b"}",
        "NUL again and again": b'"' + b"\\u0000" * (size // 6 - 1) + b'"',
        "half characters": b'"' + b"\\ud800" * (size // 6 - 1) + b'"',
        "blanks": b" " * size,
        "one byte too many": b" " * (LIMIT + 1),
    }
    for name, body in bodies.items():
        yield name, post(PATH, body, authorization)
    packed = gzip.compress(b" " * 100 * size)
    yield "compressed", post(PATH, packed, authorization, "Content-Encoding: gzip")
    yield "compressed twice", post(PATH, gzip.compress(packed), authorization, "Content-Encoding: gzip, gzip")


def slow(server: Front, scale: float) -> Part:
    """Many slow callers of each kind, ordinary deliveries beside them, and (full) the end of every slow one."""
    with ExitStack() as stack:
        callers = [stack.enter_context(server.server.connect()) for _ in range(sum(SLOW.values()))]
        for caller, start in zip(callers, _starts(server), strict=True):
            caller.sendall(start)
        took = [_ordinary(server, f"beside-{number}") for number in range(ORDINARY)]
        broken = [f"beside slow callers: {took.count(None)} deliveries not accepted"] if None in took else []
        figures: dict[str, int | float | str] = {"slow callers at a time": len(callers)}
        figures["slowest delivery beside them, s"] = round(max((one for one in took if one), default=0.0), 2)
        if scale >= 1 and (left := _left(callers[: -SLOW["never reads"]])):
            broken.append(f"slow callers: {left} were not sent away within {SLOW_SECONDS:.0f} s")
    return Part(len(callers) + ORDINARY, figures, broken)


def _starts(server: Front) -> Iterator[bytes]:
    """What each slow caller says before it falls silent, in the order of ``SLOW``."""
    starts = (
        b"POST /notifications/mindsphere HTTP/1.1\r\nHost: h\r\nX-S",
        head("POST", PATH, server.authorization, "Content-Length: 100") + b"{",
        head("POST", PATH, server.authorization, "Content-Length: 200000") + b"{",
        server.delivery("unread") * 20,
    )
    for start, count in zip(starts, SLOW.values(), strict=True):
        yield from [start] * count


def _ordinary(server: Front, name: str) -> float | None:
    """Seconds until an ordinary delivery was accepted; None if it was not, or too late."""
    started = time.monotonic()
    statuses = server.say(server.delivery(name))
    took = time.monotonic() - started
    return took if statuses == [204, 200] and took < ORDINARY_SECONDS else None


def _left(callers: Sequence[socket]) -> int:
    """How many connections the server still keeps when all its deadlines are over."""
    give_up_at, kept = time.monotonic() + SLOW_SECONDS, 0
    for caller in callers:
        caller.settimeout(max(0.01, give_up_at - time.monotonic()))
        try:
            while caller.recv(65536):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            kept += 1
    return kept
