"""The HTTP front as it is deployed, against callers who mean no good: ``raw``, ``burdens`` and ``leaks`` by name.

Each part returns how often it tried, its figures and what it found.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from proof import burdens, leaks
from proof.front import Front, front
from proof.raw import HIDDEN, cases
from proof.report import Chapter, Part

NOT_IMPLEMENTED = 501  # the answer to a transfer coding that nobody here knows; 500 would be a bug of ours

WHAT = """\
The product's own gunicorn, and raw bytes: requests that two readers may frame differently, each with a second,
authenticated request hidden in its body (never admitted; one answer and the end, unless the standard has one
reading); requests changed at random; callers that send or read slowly, with ordinary deliveries beside them; bombs of
depth, size, numbers and compression; and canaries in every secret, token, field and payload, none of which may come
back in a log line, a metric or an answer, nor begin a line, nor make a metric's series grow."""


def run(scale: float) -> Chapter:
    with tempfile.TemporaryDirectory() as folder, front(Path(folder)) as server:
        workers = server.workers()
        parts = [smuggled(server), burdens.changed(server, scale), leaks.told(server)]
        parts += [burdens.bombs(server, scale), burdens.slow(server, scale)]
        broken = [finding for part in parts for finding in part.broken] + leaks.repeated(server)
        if server.workers() != workers:
            broken.append("a process of the server ended")
        peak = server.peak_mib()
    if peak > burdens.PEAK_MIB:
        broken.append(f"a process held {peak} MiB, more than {burdens.PEAK_MIB}")
    return Chapter(
        title="Raw requests",
        what=WHAT,
        tried=sum(part.tried for part in parts),
        unit="requests",
        figures={name: value for part in parts for name, value in part.figures.items()}
        | {"most memory of a process, MiB": peak},
        broken=broken,
        unproven="What a router or gateway in front does to the same bytes; TLS has tests of its own.",
    )


def smuggled(server: Front) -> Part:
    """Every odd request, and whether the one inside came through."""
    odd, refused, broken = list(cases(server.authorization, server.delivery(HIDDEN))), 0, []
    for case in odd:
        statuses = server.say(case.sent)
        alone = len(statuses) == 1 and (400 <= statuses[0] < 500 or statuses[0] == NOT_IMPLEMENTED)
        refused += alone
        if not alone and not (case.taken and statuses[:1] in ([200], [204]) and len(statuses) <= 2):
            broken.append(f"{case.name}: answered {statuses}")
        if HIDDEN in server.stored():
            broken.append(f"{case.name}: the hidden request was admitted")
            break
    return Part(len(odd), {"odd framings and first lines": len(odd), "of these refused": refused}, broken)
