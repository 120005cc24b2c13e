"""What the codecs of platform APIs have in common: a request, reading JSON answers, refusals with their cause.

Pure: no I/O, no clock, no platform's words. What a stranger's error says reaches a text of ours on one line and cut;
whole bodies never do, they may hold a token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlencode

import orjson

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.model import DETAIL_CHARS, Params

JSON = {"Accept": "application/json"}
# RFC 3986, section 3.3, no longer than sane
PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%-][A-Za-z0-9._~!$&'()*+,;=:@%/-]{0,2000}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """What a codec asks the transport to send. ``path`` starts at the gateway; all of these may be sent again."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)  # may hold credentials
    body: bytes | None = field(repr=False)


def read_request(path: str, params: Params, root: str = "/") -> ApiRequest:
    """Read anything below ``root``. Raises ``ValueError`` for a path that leads elsewhere.

    Parts of a path often come from a notification, so it must not climb (``..``), reach another host or bring its
    own query. A list as parameter value repeats the parameter.
    """
    segments = [unquote(segment) for segment in path.split("/")]
    climbs = any(segment in (".", "..") or "/" in segment for segment in segments)
    if not path.startswith(root) or path == root or not PATH.fullmatch(path) or climbs:
        raise ValueError(f"a platform path starts with {root} and has plain, percent-encoded segments and no query")
    query = urlencode(params, doseq=True)
    return ApiRequest(method="GET", path=f"{path}?{query}" if query else path, headers=JSON, body=None)


def parsed(body: bytes, who: str) -> Any:
    """An answer's JSON. Raises ``PlatformUnavailable``."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        # without the cause: its text quotes the body, which may hold a token
        raise unreadable(who) from None


def parsed_object(body: bytes, who: str) -> dict[str, Any]:
    """An answer's JSON object. Raises ``PlatformUnavailable``."""
    document = parsed(body, who)
    if not isinstance(document, dict):
        raise unreadable(who)
    return document


def refused(who: str, status: int, said: str, reason: str, cause: str) -> PlatformRefused:
    """A refusal in one sentence: who, its status and words, and the likely ``cause``."""
    detail = f"{who} answered {status}{f' ({said})' if said else ''}; {cause}"
    return PlatformRefused(detail, reason=reason, upstream_status=status)


def unreadable(who: str) -> PlatformUnavailable:
    """A proxy's page or half an answer: not a refusal, so worth asking again later."""
    return PlatformUnavailable(f"{who}: the answer is not what the documentation says", reason="unreadable_answer")


def one_line(text: str) -> str:
    """A stranger's text, fit for a terminal: no control characters, and no more than a row may keep."""
    return "".join(char if char.isprintable() else " " for char in text[:DETAIL_CHARS]).strip()
