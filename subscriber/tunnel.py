"""This service's address on the internet, as the agent of a tunnel knows it: for development on one's own machine.

The agent's local API is asked, never its cloud, and nothing about a tunnel is changed. The address is only told: on
the real platform it is what a self-hosted application is registered with, behind the gateway, and no subscription
names it unless MDSP_URI_TEMPLATE says {public}.

Follows the ngrok agent's API: ``GET /api/tunnels`` (``public_url``, ``proto``, ``config.addr``), and
``GET /api/endpoints`` of agents with a version 3 configuration (``url``, ``upstream.url``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from urllib.parse import SplitResult, urlsplit

import orjson

from subscriber.errors import NoTunnel, PlatformUnavailable
from subscriber.settings import NGROK
from subscriber.transport import Answer, Transport

logger = logging.getLogger(__name__)

AGENT_SECONDS = 3.0  # it runs on this machine and answers from memory
LISTS = (("/tunnels", "tunnels"), ("/endpoints", "endpoints"))  # path and member; the older, commoner one first
DEFAULT_PORTS = {"http": 80, "https": 443}
SHOWN = 3  # addresses that an error names


def own_address(public_url: str, agent_url: str, port: int) -> str:
    """PUBLIC_URL as an address: itself, what the agent says if it is ``ngrok``, or empty. Raises ``NoTunnel``."""
    return https_address(agent_url, port) if public_url == NGROK else public_url


def https_address(agent_url: str, port: int) -> str:
    """The one https address whose tunnel ends at ``port``, without a trailing slash.

    ``agent_url`` is the base of the agent's API. Raises ``NoTunnel``: ``agent_away``, ``agent_unreadable``,
    ``tunnel_missing`` or ``tunnel_ambiguous``; its text says what to start or stop.
    """
    found: list[str] = []
    with closing(_transport(agent_url)) as transport:
        for path, member in LISTS:
            found = found or list(dict.fromkeys(_leading_to(port, _entries(transport, path, member, port))))
    if not found:
        raise NoTunnel(
            f"the ngrok agent at {agent_url} has no https address that leads to port {port}: start "
            f"`ngrok http {port}`, or set PORT to where its tunnel ends",
            reason="tunnel_missing",
        )
    if len(found) > 1:
        raise NoTunnel(
            f"{len(found)} addresses of the ngrok agent lead to port {port} ({', '.join(found[:SHOWN])}): stop all "
            "but one, or set PUBLIC_URL to the one you mean",
            reason="tunnel_ambiguous",
        )
    logger.info("tunnel found", extra={"action": "tunnel_found", "port": port})
    return found[0]


def _transport(agent_url: str) -> Transport:
    """Asks once: whoever started no agent shall not wait to be told so."""
    return Transport(agent_url, connect_seconds=AGENT_SECONDS, answer_seconds=AGENT_SECONDS, attempts=1)


def _entries(transport: Transport, path: str, member: str, port: int) -> list[object]:
    """The list under ``member``; empty where this agent has no such path."""
    try:
        answer = transport.send("GET", path, {"Accept": "application/json"})
    except PlatformUnavailable as error:
        raise NoTunnel(
            f"no ngrok agent answers at {transport.base_url} ({error.reason}): start `ngrok http {port}`, or set "
            "NGROK_API_URL to where its web_addr is, with /api behind it",
            reason="agent_away",
        ) from error
    return _listed(answer, member, transport.base_url) if answer.status == 200 else []


def _listed(answer: Answer, member: str, agent_url: str) -> list[object]:
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        raise _unreadable(agent_url) from error
    found = document.get(member) if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise _unreadable(agent_url)
    return found


def _unreadable(agent_url: str) -> NoTunnel:
    detail = f"what answers at {agent_url} does not speak as an ngrok agent does: check NGROK_API_URL"
    return NoTunnel(detail, reason="agent_unreadable")


def _leading_to(port: int, entries: list[object]) -> Iterator[str]:
    """The https addresses of the entries, of either shape, whose upstream is that port."""
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        address = _https(entry.get("public_url") or entry.get("url"))
        if address and _port(_upstream(entry)) == port:
            yield address


def _upstream(entry: Mapping[str, object]) -> object:
    """Where a tunnel ends: ``http://localhost:8080``, ``localhost:8080`` or just ``8080``."""
    old, new = entry.get("config"), entry.get("upstream")
    if isinstance(old, dict):
        return old.get("addr")
    return new.get("url") if isinstance(new, dict) else new


def _https(text: object) -> str:
    """An https address that may stand in a setting or on a screen, else empty."""
    parts = _split(text)
    usable = parts is not None and parts.scheme == "https" and bool(parts.hostname)
    return str(text).rstrip("/") if usable else ""


def _port(text: object) -> int | None:
    if isinstance(text, str) and text.isascii() and text.isdigit():
        return int(text[:6])
    parts = _split(text if not isinstance(text, str) or "://" in text else f"http://{text}")
    return None if parts is None else parts.port or DEFAULT_PORTS.get(parts.scheme)


def _split(text: object) -> SplitResult | None:
    """The parts of an address with a port that is a number, None if it is no address."""
    if not isinstance(text, str) or not text.isascii() or not text.isprintable():
        return None
    try:
        parts = urlsplit(text)
        return parts if parts.port is None or parts.port >= 0 else None
    except ValueError:
        return None
