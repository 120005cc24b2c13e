"""When has a request arrived? Pure bookkeeping over the bytes of one request (RFC 9112, sections 5 to 7).

The poller collects bytes here until a request is worth a thread. This is a guess about *when*, never about *what*:
``plain`` or gunicorn's parser reads the same bytes again and alone decides what they mean. A wrong guess costs a
thread some waiting (bounded, see ``wire.Reader``), so whatever looks odd is handed on at once, to be refused there.
"""

from __future__ import annotations

import re
from enum import Enum

# The platform's gateway passes at most 10 KB of header fields; the rest is room for proxies on the way.
HEAD_BYTES = 32 * 1024
# Longer bodies go to a thread unread, so that the sender is authenticated before they are. Notifications are a few
# hundred bytes each, and a time-series message stays below this too.
COLLECTED_BODY_BYTES = 64 * 1024

HEAD_END = b"\r\n\r\n"
FRAMING_FIELD = re.compile(rb"\r\n(content-length|transfer-encoding|expect)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)
MAX_DIGITS = 19  # of a length that anybody means
UNCOLLECTED = -1  # length of a body that is left to the thread


class Progress(Enum):
    """What a request still needs before a thread gets it."""

    HEAD = "head"  # more of its header block
    BODY = "body"  # more of its short body
    READY = "ready"  # nothing: it is all there, or its body is the thread's business
    OVERSIZED = "oversized"  # its header block exceeds HEAD_BYTES


class Arrival:
    """The bytes of one request so far, perhaps followed by the start of the next."""

    __slots__ = ("received", "whole", "_body_at", "_length", "_chunk_at")

    def __init__(self) -> None:
        self.received = bytearray()
        self.whole = False  # head and body are both here
        self._body_at = -1  # unknown until the header block is complete
        self._length = 0  # of the body, or UNCOLLECTED
        self._chunk_at = 0  # start of the first chunk not seen whole; 0: the body is not chunked

    def feed(self, data: bytes) -> Progress:
        """Add what was received and say what is missing now."""
        searched = max(0, len(self.received) - len(HEAD_END) + 1)
        self.received += data
        if self._body_at < 0:
            end = self.received.find(HEAD_END, searched)
            if (end if end >= 0 else len(self.received)) > HEAD_BYTES:
                return Progress.OVERSIZED
            if end < 0:
                return Progress.HEAD
            self._read_head(end)
        return self._body_progress()

    def _read_head(self, end: int) -> None:
        self._body_at = end + len(HEAD_END)
        fields = FRAMING_FIELD.findall(self.received, 0, end)
        if len(fields) > 1:  # an expectation (the sender waits for our word), or a contradiction
            self._length = UNCOLLECTED
        elif fields:
            name, value = fields[0]
            self._read_field(name.lower(), value.strip())

    def _read_field(self, name: bytes, value: bytes) -> None:
        if name == b"content-length" and value.isdigit() and len(value) <= MAX_DIGITS:
            self._length = int(value) if int(value) <= COLLECTED_BODY_BYTES else UNCOLLECTED
        elif name == b"transfer-encoding" and value.lower() == b"chunked":
            self._chunk_at = self._body_at
        else:  # an unusual coding, a bad length, an expectation without a body
            self._length = UNCOLLECTED

    def _body_progress(self) -> Progress:
        arrived = len(self.received) - self._body_at
        if self._chunk_at:
            self.whole = self._last_chunk_arrived()
            if not self.whole and arrived > COLLECTED_BODY_BYTES:
                self._length = UNCOLLECTED
        else:
            self.whole = 0 <= self._length <= arrived
        return Progress.READY if self.whole or self._length == UNCOLLECTED else Progress.BODY

    def _last_chunk_arrived(self) -> bool:
        """Step over the chunks that are complete; True once the last one's trailers are, too."""
        while (line_end := self.received.find(b"\r\n", self._chunk_at)) >= 0:
            size = _chunk_size(self.received[self._chunk_at : line_end])
            if size == 0:
                return self.received.find(HEAD_END, line_end) >= 0
            following = line_end + 2 + size + 2
            if size < 0 or following > len(self.received):
                self._length = UNCOLLECTED if size < 0 else self._length
                return False
            self._chunk_at = following
        return False


def _chunk_size(line: bytearray) -> int:
    """The size that a chunk's first line announces; negative if it cannot be read."""
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        return -1
