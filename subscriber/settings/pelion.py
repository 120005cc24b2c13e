"""The Pelion side of the settings: its channels, read from JSON and checked completely.

PELION_CHANNELS is a list with an object for each application of Device Management:

- ``name``: the tenant its notifications belong to, and a part of the callback's address;
- ``api_key``, or ``api_key_env``, the name of a variable that holds it: the application's access key;
- ``mode``: ``callback`` or ``websocket``; ``host`` (absent: the US region), a name or an address;
- ``headers``, of callbacks: what the service shall send with each, beside the secret that is always there;
- ``presubscriptions``: objects of ``endpoint-name``, ``endpoint-type``, ``resource-path``, as the platform has them;
- ``subscriptions``: objects of ``ep``, a device's id, and ``paths``.

Limits are those of the public API contract (April 2020).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from subscriber.platforms.pelion.callback import (
    REGISTERED_CHARACTERS,
    SECRET_HEADER,
    callback_headers,
    registered_characters,
)
from subscriber.platforms.pelion.rules import (
    CALLBACK,
    MAX_PATHS,
    MAX_RULES,
    NAME_CHARS,
    PATH_CHARS,
    WEBSOCKET,
    Presubscription,
    ResourceSubscription,
)
from subscriber.settings.declaring import read, setting
from subscriber.settings.parsers import at_least, header_name, http_url
from subscriber.settings.parts import Part, document

US_REGION = "https://api.us-east-1.mbedcloud.com"  # base of the public API contract
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # fit for an address and a table
KEY = re.compile(r"[A-Za-z0-9._~+/=-]{1,512}")  # what a bearer token may be (RFC 6750, 2.1)
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
HOST = re.compile(r"(https?://)?[A-Za-z0-9.:_\[\]/-]{1,200}")
MODE = re.compile(f"{CALLBACK}|{WEBSOCKET}")
HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
DEVICE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
WILD_NAME = re.compile(rf"(?!.{{{NAME_CHARS + 1}}})[!-)+-~]*\*?")
WILD_PATH = re.compile(rf"(?!.{{{PATH_CHARS + 1}}})/[!-)+-~]*\*?")
PATH = re.compile(rf"(?!.{{{PATH_CHARS + 1}}})(/[A-Za-z0-9_.-]+){{1,3}}")
MAX_CHANNELS = 100  # four times the applications of the largest account (25)
MAX_DEVICES = 10_000  # of one channel's own subscriptions: each path is a call
# Say how a request travels, are the service's own to set, or carry our secret.
TAKEN = frozenset(
    (
        "host",
        "connection",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "expect",
        "te",
        SECRET_HEADER.lower(),
    )
)


@dataclass(frozen=True, kw_only=True)
class PelionChannel:
    """One application's notification channel. ``name`` is its tenant."""

    name: str
    api_key: str = field(repr=False)
    host: str  # an address without a trailing slash
    mode: str  # CALLBACK or WEBSOCKET
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # may hold credentials
    presubscriptions: tuple[Presubscription, ...] = ()
    subscriptions: tuple[ResourceSubscription, ...] = ()

    def __str__(self) -> str:
        return self.name

    @property
    def callback_headers(self) -> dict[str, str]:
        """All headers that its callback is registered with."""
        return callback_headers(self.name, self.api_key, self.headers)


@dataclass(frozen=True)
class Entry:
    """A channel as it is written: its key may still have to be looked up."""

    channel: PelionChannel
    place: str
    key_variable: str = ""

    def __str__(self) -> str:
        return self.channel.name


def channel_entries(text: str) -> tuple[Entry, ...]:
    """Raises ``ValueError`` with all problems, each with its place."""
    problems: list[str] = []
    whole = document(text, problems)
    entries = whole.items(_entry)
    if isinstance(whole.value, list) and not 0 < len(entries) <= MAX_CHANNELS:
        whole.problem(f"must have 1 to {MAX_CHANNELS} channels")
    for name, times in Counter(entry.channel.name for entry in entries if entry.channel.name).items():
        if times > 1:
            problems.append(f"{name}: given {times} times")
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(entries)


def _entry(part: Part) -> Entry:
    members = part.members(
        ("name", "mode"), ("api_key", "api_key_env", "host", "headers", "presubscriptions", "subscriptions")
    )
    if isinstance(part.value, dict) and ("api_key" in members) == ("api_key_env" in members):
        part.problem("needs api_key or api_key_env, one of them")
    mode = _text(members, "mode", MODE, f"{CALLBACK} or {WEBSOCKET}")
    if mode == WEBSOCKET and "headers" in members:
        part.problem(f"has headers, which only {CALLBACK} has")
    channel = PelionChannel(
        name=_text(members, "name", NAME, "letters, digits, - and _, at most 64"),
        api_key=_text(members, "api_key", KEY, "an access key"),
        host=_host(members["host"]) if "host" in members else US_REGION,
        mode=mode,
        headers=tuple(_headers(members["headers"])) if "headers" in members else (),
        presubscriptions=_presubscriptions(members["presubscriptions"]) if "presubscriptions" in members else (),
        subscriptions=_subscriptions(members["subscriptions"]) if "subscriptions" in members else (),
    )
    return Entry(channel, part.place, _text(members, "api_key_env", VARIABLE, "the name of a variable"))


def _text(members: dict[str, Part], name: str, pattern: re.Pattern[str], wanted: str) -> str:
    """Empty if it is not there, or not as wanted: that is noted then."""
    return members[name].text(pattern, wanted) if name in members else ""


def _host(part: Part) -> str:
    wanted = "the name of a host, or an http(s) address"
    text = part.text(HOST, wanted)
    try:
        return http_url(text if "://" in text else f"https://{text}") if text else ""
    except ValueError:
        part.problem(f"must be {wanted}")
        return ""


def _headers(part: Part) -> list[tuple[str, str]]:
    names = list(part.value) if isinstance(part.value, dict) else []
    found = [(name, one.text(HEADER_VALUE, "printable ASCII")) for name, one in part.members(names).items()]
    for name in names:
        try:
            header_name(name)
        except ValueError as error:
            part.problem(f"has a name that {error}")
    lower = [name.lower() for name in names]
    if len(set(lower)) < len(lower):
        part.problem("names a header twice")
    for name in sorted(TAKEN & set(lower)):
        part.problem(f"must not have {name}, which has a meaning already")
    return found


def _presubscriptions(part: Part) -> tuple[Presubscription, ...]:
    rules = part.items(_presubscription)
    if len(rules) > MAX_RULES:
        part.problem(f"must have at most {MAX_RULES} rules")
    if len({path for rule in rules for path in rule.resource_paths}) > MAX_PATHS:
        part.problem(f"must name at most {MAX_PATHS} different paths")
    return tuple(rules)


def _presubscription(part: Part) -> Presubscription:
    members = part.members((), ("endpoint-name", "endpoint-type", "resource-path"))
    wanted = f"at most {NAME_CHARS} characters, * only at the end"
    paths: list[str] = []
    if "resource-path" in members:
        paths = members["resource-path"].items(lambda one: one.text(WILD_PATH, "a path, * only at the end"))
        if not paths and members["resource-path"].value == []:
            members["resource-path"].problem("must not be empty: leave it out for all")
    return Presubscription(
        endpoint_name=_text(members, "endpoint-name", WILD_NAME, wanted),
        endpoint_type=_text(members, "endpoint-type", WILD_NAME, wanted),
        resource_paths=tuple(paths),
    )


def _subscriptions(part: Part) -> tuple[ResourceSubscription, ...]:
    found = part.items(_subscription)
    if len(found) > MAX_DEVICES:
        part.problem(f"must have at most {MAX_DEVICES} devices")
    for ep, times in Counter(one.ep for one in found if one.ep).items():
        if times > 1:
            part.problem(f"has device {ep} {times} times")
    return tuple(found)


def _subscription(part: Part) -> ResourceSubscription:
    members = part.members(("ep", "paths"))
    paths: list[str] = []
    if "paths" in members:
        paths = members["paths"].items(lambda one: one.text(PATH, "/object, /object/instance or …/resource"))
        if isinstance(members["paths"].value, list) and not 0 < len(set(paths)) == len(paths) <= MAX_PATHS:
            members["paths"].problem(f"must have 1 to {MAX_PATHS} paths, each once")
    return ResourceSubscription(ep=_text(members, "ep", DEVICE, "a device's id"), paths=tuple(paths))


@dataclass(frozen=True, kw_only=True)
class PelionSettings:
    """The Pelion side; exists only where PELION_CHANNELS is set."""

    channels: tuple[PelionChannel, ...] = setting(
        "PELION_CHANNELS",
        (),
        "Pelion: JSON list of `name, api_key` or `api_key_env, host, mode` (`callback`/`websocket`), `headers, "
        "presubscriptions, subscriptions`; absent = Pelion off",
        secret=True,
        parse=channel_entries,
    )
    client_cn: str = setting(
        "PELION_CLIENT_CN",
        "notifications.mbedcloud.com",
        "common name of the service's client certificate, looked at where TLS_CLIENT_CA_FILE or "
        "PELION_SUBJECT_HEADER is set",
    )
    subject_header: str = setting(
        "PELION_SUBJECT_HEADER",
        "",
        "header with the verified subject of the client certificate (RFC 2253, or the common name alone), from a "
        "proxy that always overwrites it",
        parse=header_name,
    )
    max_body_bytes: int = setting(
        "PELION_MAX_BODY_BYTES",
        67_108_864,
        "largest Pelion callback accepted; larger, chunked too: 413",
        parse=at_least(1),
    )


def read_pelion(environ: Mapping[str, str], origins: dict[str, str], problems: list[str]) -> PelionSettings | None:
    """The settings, None where there is no PELION_CHANNELS; ``problems`` and ``origins`` are added to."""
    values = read(PelionSettings, environ, origins, problems)
    entries: tuple[Entry, ...] = values.pop("channels")
    if not entries:
        return None
    channels = tuple(_with_key(entry, environ, problems) for entry in entries)
    problems += [f"PELION_CHANNELS: {problem}" for problem in _contradictions(channels)]
    return PelionSettings(channels=channels, **values)


def _with_key(entry: Entry, environ: Mapping[str, str], problems: list[str]) -> PelionChannel:
    if not entry.key_variable:
        return entry.channel
    key = environ.get(entry.key_variable, "").strip()
    if not KEY.fullmatch(key):
        what = "holds no access key" if key else "is not set"
        problems.append(f"PELION_CHANNELS: {entry.place}.api_key_env names {entry.key_variable}, which {what}")
    return replace(entry.channel, api_key=key)


def _contradictions(channels: Iterable[PelionChannel]) -> list[str]:
    """What is fine of each channel alone, or would only be noticed by the platform."""
    found = []
    by_key: dict[tuple[str, str], list[str]] = {}
    for channel in channels:
        if channel.api_key:
            by_key.setdefault((channel.host, channel.api_key), []).append(channel.name)
        if channel.mode == CALLBACK and registered_characters("", channel.callback_headers) > REGISTERED_CHARACTERS:
            found.append(
                f"{channel.name}: its headers alone exceed the {REGISTERED_CHARACTERS} characters that a callback's "
                "address and headers may have"
            )
    for names in by_key.values():
        if len(names) > 1:
            found.append(f"{', '.join(names)} have the same access key: an application has one channel")
    return found
