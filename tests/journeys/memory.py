"""The memory limit of a container: kept by the kernel where that can be had, and watched in any case.

As root with a writable cgroup file system (either version) the kernel kills what exceeds it. Everywhere the
proportional size (PSS: shared pages count once) of all processes is looked at several times a second.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from emulator.processes import wait_until

GLANCE_SECONDS = 0.2
END_SECONDS = 10.0
# Parent folder and name of the limit, version 1 and 2.
CGROUPS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)


class Memory:
    """What the processes of one session may use and have used."""

    def __init__(self, limit_mib: int, *, kernel: bool = True) -> None:
        """``kernel``: let it keep the limit, where it can."""
        self.limit_mib = limit_mib
        self.peak_mib = 0.0
        self._cgroup = _cgroup(limit_mib) if kernel else None
        self._killed = False
        self._ended = threading.Event()
        self._watching: threading.Thread | None = None

    @property
    def held(self) -> bool:
        """Was it always enough? Known after ``close``."""
        return self.peak_mib <= self.limit_mib and not self._killed

    def argv(self, command: list[str]) -> list[str]:
        """The command, put under the kernel's limit before it starts."""
        if self._cgroup is None:
            return command
        join = f'echo $$ > "{self._cgroup}/cgroup.procs" && exec "$0" "$@"'
        return ["/bin/sh", "-c", join, *command]

    def watch(self, session: int) -> None:
        self._watching = threading.Thread(target=self._watch, args=(session,), daemon=True)
        self._watching.start()

    def _watch(self, session: int) -> None:
        while not self._ended.wait(GLANCE_SECONDS):
            self.peak_mib = max(self.peak_mib, sum(map(proportional_kib, members(session))) / 1024)

    def close(self) -> None:
        """Call it when the processes have ended."""
        self._ended.set()
        if self._watching is not None:
            self._watching.join()
        if self._cgroup is not None:
            self._killed = _has_killed(self._cgroup)
            wait_until("the cgroup's processes to end", lambda: _removed(self._cgroup), END_SECONDS)


def _cgroup(limit_mib: int) -> Path | None:
    """A new one with this limit; None where that cannot be done."""
    for parent, name in CGROUPS:
        folder = parent / f"foundry-{os.getpid()}-{os.urandom(4).hex()}"
        with suppress(OSError):
            folder.mkdir()
            try:
                (folder / name).write_text(str(limit_mib * 2**20))
            except OSError:
                folder.rmdir()
                raise
            return folder
    return None


def _removed(cgroup: Path) -> bool:
    """Only an empty one can be removed, and who was killed needs a moment to be gone."""
    with suppress(OSError):
        cgroup.rmdir()
    return not cgroup.exists()


def _has_killed(cgroup: Path) -> bool:
    """Did the kernel end a process of it for its size?"""
    for name in ("memory.oom_control", "memory.events"):
        with suppress(OSError):
            lines = (cgroup / name).read_text().splitlines()
            return any(line.startswith("oom_kill ") and not line.endswith(" 0") for line in lines)
    return False


def members(session: int) -> list[int]:
    """The processes of a session."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _session(path) == session]


def _session(process: Path) -> int:
    with suppress(OSError):
        return int((process / "stat").read_text().rpartition(")")[2].split()[3])
    return 0


def proportional_kib(pid: int) -> int:
    """Its share of memory; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
