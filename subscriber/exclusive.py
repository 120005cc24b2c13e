"""Only one service per port and per database file.

With ``reuse_port`` the kernel would let a second service listen beside the first and share its traffic, silently.
So a port and a database are locked before anything listens. The locks are ``flock``s: the kernel frees them when
the process ends, however it ends, and a file left behind locks nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import tempfile
import time
from pathlib import Path

from subscriber.errors import AlreadyRunning, SettingsError

PORT_PATIENCE_SECONDS = 3.0  # workers of a server that was killed need a moment to notice and let go of its port
RETRY_SECONDS = 0.1


class Exclusive:
    """The locks of one service. They last until ``release`` or the end of the process.

    A child made by ``os.fork`` holds them too until it calls ``release``: it should, or it outlives its parent as
    the owner of a lock.
    """

    def __init__(self) -> None:
        self._held: list[int] = []

    def take_port(self, host: str, port: int) -> None:
        """Lock a port of this machine, whatever the address, and see that nobody listens there.

        Raises ``AlreadyRunning`` if it is in use, ``SettingsError`` if there is no such address to listen on.
        """
        self._lock(Path(tempfile.gettempdir()) / f"subscriber-port-{port}.lock", f"port {port}")
        give_up_at = time.monotonic() + PORT_PATIENCE_SECONDS
        while not _is_free(host, port):
            if time.monotonic() > give_up_at:
                raise AlreadyRunning(f"another program listens on {host}:{port}")
            time.sleep(RETRY_SECONDS)

    def take_database(self, path: str) -> None:
        """Lock a SQLite file by a lock file beside it. Raises as ``take_port`` does."""
        target = Path(os.path.realpath(path))
        self._lock(target.with_name(target.name + ".serve.lock"), f"the database {path}")

    def release(self) -> None:
        for descriptor in self._held:
            os.close(descriptor)
        self._held.clear()

    def _lock(self, path: Path, what: str) -> None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError([f"{what} cannot be locked: {path}: {error.strerror}"]) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise AlreadyRunning(f"another service holds {what}") from error
        self._held.append(descriptor)


def _is_free(host: str, port: int) -> bool:
    """Can the address be bound by somebody who does not share? Raises ``SettingsError`` if nobody can bind it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise SettingsError([f"HOST, PORT: cannot listen on {host}:{port}: {error.strerror}"]) from error
    return True
