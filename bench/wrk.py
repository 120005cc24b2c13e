"""Load by wrk (Debian's package): C, so the generator leaves the processors to what is measured."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).parent / "notify.lua"
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True)
class Load:
    """One round: answers a second, latencies in ms, answers that were not 2xx or 3xx."""

    rate: float
    p50_ms: float
    p99_ms: float
    errors: int


def installed() -> bool:
    return shutil.which("wrk") is not None


def run(url: str, token: str, *, connections: int, seconds: int, run_id: str) -> Load:
    """POST distinct notifications over keep-alive connections. ``run_id`` makes bodies distinct between rounds."""
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--latency", "--timeout", "10s"]
    command += ["-s", str(SCRIPT), url + "/notifications/mindsphere", "--", token, run_id]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Load(
        rate=float(_found(r"Requests/sec:\s+([\d.]+)", text)[0]),
        p50_ms=_millis(_found(r"50%\s+([\d.]+)(us|ms|s|m)", text)),
        p99_ms=_millis(_found(r"99%\s+([\d.]+)(us|ms|s|m)", text)),
        errors=int(failed.group(1)) if failed else 0,
    )


def _found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"wrk said something else: {text}")
    return match.groups()


def _millis(parts: tuple[str, ...]) -> float:
    return float(parts[0]) * UNITS[parts[1]]
