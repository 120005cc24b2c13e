"""A wall clock that can be stepped under running processes: a small preloaded library, ``clock.c``."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")
OFFSET = struct.Struct("=q")


class WallClock:
    """``environ`` is for the processes that shall live by it; they must not outlive the folder."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "offset"
        self._file.write_bytes(OFFSET.pack(0))
        self.environ = {"LD_PRELOAD": str(_build(folder)), "CLOCK_OFFSET": str(self._file)}

    def step(self, seconds: int) -> None:
        """From now on it shows so much more than the true time (negative: less)."""
        with self._file.open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), OFFSET.pack(seconds), 0)  # in place: it is mapped


def _build(folder: Path) -> Path:
    library = folder / "clock.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library
