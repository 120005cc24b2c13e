"""The recorder's library and its records."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("recorder.c")
HEAD = struct.Struct("<IBH")
OFFSET = struct.Struct("<Q")


class Record(NamedTuple):
    """One call. ``kind`` as in recorder.c; ``path`` is relative to the folder, "" the folder itself."""

    kind: str
    path: str
    offset: int
    data: bytes


def build(folder: Path) -> Path:
    """Compile the recorder; its library."""
    library = folder / "recorder.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run([*command, "-lpthread"], check=True)
    return library


def read(path: Path) -> Iterator[Record]:
    """The records, in order. Raises ``ValueError`` for a trace that ends in the middle of one."""
    content, at = memoryview(path.read_bytes()), 0
    while at < len(content):
        length, kind, path_length = HEAD.unpack_from(content, at)
        name_at, end = at + HEAD.size, at + 4 + length
        if end > len(content):
            raise ValueError("the trace is cut off")
        name = bytes(content[name_at : name_at + path_length]).decode()
        (offset,) = OFFSET.unpack_from(content, name_at + path_length)
        yield Record(chr(kind), name, offset, bytes(content[name_at + path_length + OFFSET.size : end]))
        at = end
