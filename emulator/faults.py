"""What goes wrong, on purpose: a seeded plan.

Chances are not drawn from a running generator but computed from the seed and the name of the thing decided
(fault, delivery, attempt). So the same seed gives the same plan whatever the threads and sockets do, and a
restart continues it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b

from emulator.clock import Clock
from emulator.journal import Journal

NAMES = {
    "lost-ack": "the application's answer to a delivery is thrown away; the attempt counts as failed",
    "api-5xx": "the APIs (Message Broker, Token Manager, Pelion) answer 500",
    "api-429": "the APIs answer 429 with Retry-After",
    "ws-429": "WebSocket handshakes of Pelion answer 429, as if another were in progress",
    "token-throttle": "the Token Manager's token calls answer 429",
    "keys-down": "key servers drop the connection",
    "keys-slow": "key servers answer after EMU_SLOW_S real seconds",
    "keys-garbage": "key servers answer 200 with something that is no key set",
    "keys-huge": "key servers answer 200 with a body of 64 MiB",
    "gateway-502": "the gateway answers 502 and does not ask the application",
    "slow": "the gateway holds the application's answer for EMU_SLOW_S real seconds",
    "cut": "the connection to the application breaks in the middle of the request's body",
    "duplicate": "an acknowledged message is sent once more",
    "reorder": "a message falls back up to EMU_REORDER_PLACES places in its queue",
    "delay": "a first attempt waits up to EMU_DELAY_S",
    "c8y-5xx": "Cumulocity's REST API answers 500",
    "n2-down": "Cumulocity's messaging service answers 503, also to upgrades",
    "n2-401": "an upgrade is refused with 401, however good its token is",
    "n2-409": "an upgrade is refused with 409, as if the consumer had its one client",
    "n2-cut": "the consumer's connection breaks after a frame, without a word",
    "n2-lost-ack": "an acknowledgement from a consumer is thrown away",
    "n2-duplicate": "a frame is sent twice",
    "n2-delay": "a message, and all behind it, waits up to EMU_DELAY_S",
    "n2-slow": "a frame is held for EMU_SLOW_S real seconds",
    "sr-cut-before": "a real-time answer breaks before its first byte, and the platform notices",
    "sr-cut": "a real-time answer breaks in its middle, and the platform does not notice",
    "sr-lost": "a real-time answer never arrives, and the platform does not notice",
    "sr-duplicate": "a real-time answer has its notifications twice",
    "sr-slow": "a real-time answer is held for EMU_SLOW_S real seconds",
    "sr-silent": "a held connect gets neither spaces nor an answer, as on a half-open connection",
    "outage": "the application cannot be reached: attempts are computed and journalled, not sent",
}


class Chance:
    """Numbers that depend only on the seed and on what they are asked about."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._key = seed.to_bytes(16, "big", signed=True)

    def draw(self, *about: str | int) -> float:
        """At least 0, below 1."""
        text = "\0".join(map(str, about)).encode()
        return int.from_bytes(blake2b(text, digest_size=7, key=self._key).digest(), "big") / 2**56


@dataclass(frozen=True, slots=True)
class Fault:
    """One declared fault; times are the emulator's."""

    name: str
    probability: float
    starts_at: float
    ends_at: float  # infinity = until cleared

    def active(self, now: float) -> bool:
        return self.starts_at <= now < self.ends_at


class Faults:
    """The declared faults; they survive a restart."""

    def __init__(self, journal: Journal, clock: Clock, chance: Chance) -> None:
        self._journal = journal
        self._clock = clock
        self._chance = chance
        self._asked: Counter[str] = Counter()  # numbers the questions that have no other name
        self._faults = {fault.name: fault for fault in map(_from_row, journal.db.execute(READ_ALL))}

    def declare(self, name: str, probability: float, seconds: float | None) -> Fault:
        """From now on, for ``seconds`` or until cleared; replaces an earlier one of the name."""
        now = self._clock.now()
        fault = Fault(name, probability, now, math.inf if seconds is None else now + seconds)
        ends_at = None if math.isinf(fault.ends_at) else fault.ends_at
        self._journal.db.execute(
            "INSERT OR REPLACE INTO faults VALUES (?, ?, ?, ?)", (name, probability, now, ends_at)
        )
        self._faults[name] = fault
        return fault

    def clear(self) -> None:
        self._journal.db.execute("DELETE FROM faults")
        self._faults.clear()

    def active(self) -> list[Fault]:
        now = self._clock.now()
        return [fault for fault in self._faults.values() if fault.active(now)]

    def strikes(self, name: str, *about: str | int) -> bool:
        """Does this fault hit that thing now? Without a thing: the next one in line."""
        fault = self._faults.get(name)
        if fault is None or not fault.active(self._clock.now()):
            return False
        if not about:
            self._asked[name] += 1
            about = (self._asked[name],)
        return self._chance.draw(name, *about) < fault.probability

    def outage(self) -> Fault | None:
        """The last declared outage, also when it is over: what fell due inside it was not delivered."""
        return self._faults.get("outage")


READ_ALL = "SELECT name, probability, starts_at, ends_at FROM faults"


def _from_row(row: tuple[str, float, float, float | None]) -> Fault:
    name, probability, starts_at, ends_at = row
    return Fault(name, probability, starts_at, math.inf if ends_at is None else ends_at)
