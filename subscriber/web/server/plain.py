"""Plain requests, read by one pattern. Nearly all are, and read like this they cost a tenth.

gunicorn's parser goes through a header block line by line with a look at every setting: with what it builds for the
application, that took a sixth of the time of a delivery. A request is *plain* when there is but one way to read it:
HTTP/1.1, nothing encoded in its path, no field twice, none that changes what follows, its body here to the last byte.
Nothing is refused here: what is not plain is gunicorn's parser's to read, and to refuse. What a plain request means
is what that parser would have said of it; tests show the same bytes to both.

No header of a proxy is believed here, as ``gunicorn.conf.py`` has it. Follows RFC 9112, sections 3 and 5.
"""

from __future__ import annotations

import re
from functools import lru_cache
from io import BytesIO
from typing import Any
from wsgiref.types import WSGIEnvironment

from gunicorn.http import wsgi

from subscriber.web.server.framing import HEAD_END, MAX_DIGITS

# The target in origin form; without a second slash at its start, which could be taken for a host, and without
# percent-encoding in the path. Names of fields are tokens, but for the underscore, which an environment cannot tell
# from a hyphen. Values hold no control characters.
REQUEST = re.compile(
    r"(?P<method>GET|POST|PUT|DELETE) (?P<target>(?P<path>/(?!/)[!\"$&->@-~]*)(?:\?(?P<query>[!\"$-~]*))?) HTTP/1\.1"
    r"(?P<fields>(?:\r\n[!#$%&'*+.^`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*)*)"
)
UNPREFIXED = ("CONTENT_LENGTH", "CONTENT_TYPE")  # fields that have names of their own in an environment (PEP 3333)
KNOWN_NAMES = 256  # of fields; platforms and proxies send some dozens, strangers what they like


class Plain:
    """A plain request. ``wsgi.Response`` asks it what it asks gunicorn's."""

    __slots__ = ("environ", "method", "surplus")

    version = (1, 1)

    def __init__(self, method: str, environ: WSGIEnvironment, surplus: bytes) -> None:
        self.method = method
        self.environ = environ
        self.surplus = surplus  # received behind it: the start of the next request

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The fields as gunicorn names them. Only its access log asks, see ``gunicorn.glogging``."""
        return [
            (key.removeprefix("HTTP_").replace("_", "-"), value)
            for key, value in self.environ.items()
            if key.startswith("HTTP_") or key in UNPREFIXED
        ]

    def should_close(self) -> bool:
        """No: nothing of it is left unread, and it does not ask for it."""
        return False


class PlainReader:
    """Reads plain requests, within the limits of a gunicorn configuration."""

    def __init__(self, cfg: Any) -> None:
        self._line_chars = cfg.limit_request_line
        self._most_fields = cfg.limit_request_fields
        self._head_bytes = cfg.limit_request_field_size  # its limit for each field is ours for all of them
        self._common: WSGIEnvironment = {
            **wsgi.base_environ(cfg),
            "SCRIPT_NAME": "",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.multithread": True,
            "wsgi.url_scheme": "https" if cfg.is_ssl else "http",
        }

    def of_connection(self, client: tuple[str, int], server: tuple[str, int]) -> WSGIEnvironment:
        """What all requests of a connection have in common."""
        return self._common | {
            "REMOTE_ADDR": client[0],
            "REMOTE_PORT": str(client[1]),
            "SERVER_NAME": server[0],
            "SERVER_PORT": str(server[1]),
        }

    def read(self, received: bytes | bytearray, common: WSGIEnvironment) -> Plain | None:
        """The request at the start of what was received; None if it is not plain, or not whole."""
        end = received.find(HEAD_END)
        if not 0 < end <= self._head_bytes:
            return None
        found = REQUEST.fullmatch(received[:end].decode("latin-1"))
        if found is None:
            return None
        method, target, path, query, fields = found.groups()
        environ = common | {
            "REQUEST_METHOD": method,
            "RAW_URI": target,
            "PATH_INFO": path,
            "QUERY_STRING": query or "",
        }
        if found.end("target") > self._line_chars - len(" HTTP/1.1") or not self._add(environ, fields):
            return None
        return _with_body(method, environ, received, end + len(HEAD_END))

    def _add(self, environ: WSGIEnvironment, fields: str) -> bool:
        """The fields, each a line that begins with CRLF. False if one of them is not plain."""
        lines = fields.split("\r\n")
        for line in lines[1:]:
            name, _, value = line.partition(":")
            key = _key(name)
            if key in environ:
                return False
            environ[key] = value.strip(" \t")
        return (
            len(lines) <= self._most_fields
            and "HTTP_TRANSFER_ENCODING" not in environ
            and "HTTP_EXPECT" not in environ
            and environ.get("HTTP_CONNECTION", "keep-alive").lower() == "keep-alive"
        )


@lru_cache(maxsize=KNOWN_NAMES)
def _key(name: str) -> str:
    """A field's name in the environment (PEP 3333)."""
    key = name.upper().replace("-", "_")
    return key if key in UNPREFIXED else "HTTP_" + key


def _with_body(method: str, environ: WSGIEnvironment, received: bytes | bytearray, start: int) -> Plain | None:
    length = environ.get("CONTENT_LENGTH", "0")
    if len(length) > MAX_DIGITS or not (length.isascii() and length.isdigit()):
        return None
    end = start + int(length)
    if end > len(received):
        return None
    environ["wsgi.input"] = BytesIO(received[start:end])
    return Plain(method, environ, bytes(received[end:]))
