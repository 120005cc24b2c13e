"""Every assumption that can be turned, as data: ``--knob EMU_NAME=VALUE`` or ``POST /_control/knobs``.

A knob exists where the platform's documents are silent or contradict each other, or where a rehearsal wants
another scale. Defaults are the documented value where there is one; docs/fidelity.md says which are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import TypeVar

Value = bool | int | float | str
V = TypeVar("V", bool, int, float, str)

TRUE_WORDS = frozenset({"1", "on", "true", "yes"})
FALSE_WORDS = frozenset({"0", "off", "false", "no"})


class KnobError(ValueError):
    """A knob that does not exist, or a value it cannot take."""


def knob(default: V, meaning: str, *, choices: tuple[str, ...] = (), low: float = 0, high: float = 1e12) -> V:
    """One field of ``Knobs``; ``low`` and ``high`` bound numbers, ``choices`` bounds words."""
    return field(default=default, metadata={"help": meaning, "choices": choices, "low": low, "high": high})


@dataclass(frozen=True, slots=True)
class Knobs:
    """Field ``retry_base_s`` is the knob ``EMU_RETRY_BASE_S``; ``_s`` = seconds of the emulator's clock."""

    # time
    time_scale: float = knob(
        1.0, "emulator seconds per real second, with --clock real; read at the start", low=0.001, high=1e6
    )
    retention_s: float = knob(345_600.0, "a message not acknowledged by then is dropped (4 days)", low=1)
    publish_window_s: float = knob(60.0, "events and time series collected per window", low=0.001)
    retry_base_s: float = knob(5.0, "pause after the first failed attempt", low=0.001)
    retry_factor: float = knob(2.0, "growth of the pause from attempt to attempt", low=1, high=100)
    retry_max_s: float = knob(900.0, "longest pause between attempts", low=0.001)
    retry_jitter: float = knob(0.2, "pauses vary by this share, up and down", high=0.99)
    delay_s: float = knob(30.0, "longest pause before a first attempt under the fault delay")
    # delivery (timeouts are real seconds: sockets know no other)
    connect_timeout_s: float = knob(5.0, "real seconds to reach the application", low=0.01, high=600)
    response_timeout_s: float = knob(30.0, "real seconds to its answer", low=0.01, high=600)
    slow_s: float = knob(2.0, "real seconds the faults slow and keys-slow hold an answer", high=600)
    max_inflight_per_sub: int = knob(4, "parallel attempts per subscription", low=1, high=1000)
    max_inflight: int = knob(64, "parallel attempts in all", low=1, high=1000)
    duplicate_prob: float = knob(0.0, "share of messages sent again after a 2xx", high=1)
    reorder_prob: float = knob(0.0, "share of messages that fall back in their queue", high=1)
    reorder_places: int = knob(50, "how many places they fall back at most", low=1, high=100_000)
    wire_form: str = knob("A", "where topic and context travel: body, HTTP headers, both", choices=("A", "B", "both"))
    send_message_id: bool = knob(False, "send X-MDSP-Message-Id and X-MDSP-Delivery-Attempt")
    # Message Broker
    mb_accept_put: bool = knob(True, "PUT makes a subscription, else 405")
    mb_accept_post: bool = knob(True, "POST makes a subscription too, else 405")
    mb_unknown_topic: str = knob("accept", "topics outside the catalogue", choices=("accept", "404"))
    mb_scopes: str = knob(
        "write=mb.s.w,read=mb.s.r,delete=mb.s.w,send=mb.m.w", "scope each broker operation asks for"
    )
    mb_bind_client: bool = knob(True, "subscriber name and version must be the caller's own")
    uri_allow_http_loopback: bool = knob(True, "http URIs are fine while the gateway is on loopback")
    pending_follow_uri: bool = knob(True, "a changed URI redirects what is still pending")
    delete_drops_pending: bool = knob(True, "deleting a subscription drops its pending messages")
    max_subscriptions: int = knob(0, "limit per tenant; 0 = none")
    topic_strict: bool = knob(False, "refuse topic names with empty segments")
    # the broker's own token
    broker_iss_zone: str = knob("core", "zone that issues it")
    broker_client_id: str = knob("message-broker", "its client id")
    broker_ten: str = knob("context", "its tenant claim", choices=("context", "host", "core"))
    # Token Manager, key servers
    ttm_accept_bearer_key: bool = knob(True, "X-SPACE-AUTH-KEY may say Bearer instead of Basic")
    ttm_iss_zone: str = knob("core", "zone that issues application tokens")
    token_lifetime_s: int = knob(1800, "real seconds a token lives", low=1, high=86_400)
    zone_keys: str = knob(
        "own", "zones sign with own keys, or all with those of the zone core", choices=("own", "shared")
    )
    key_grace_s: float = knob(3600.0, "how long a retired key stays published")
    user_tenants_host: bool = knob(False, "the list of user tenants names the host too")
    user_tenants_max_size: int = knob(500, "largest page of that list", low=1, high=10_000)
    tenant_pattern: str = knob("[a-z][a-z0-9]{1,7}", "what a tenant name looks like")
    # gateway
    gw_version_form: str = knob(
        "both", "versions in gateway paths: v1, v1.4.2 or either", choices=("major", "full", "both")
    )
    gw_xsrf: str = knob(
        "sent",
        "the X-XSRF-TOKEN of a signed-in browser's changes is checked if sent, or demanded",
        choices=("sent", "required"),
    )
    gw_strip_prefix: bool = knob(True, "the application sees only what follows the version")
    gw_timeout_s: float = knob(60.0, "real seconds until 504", low=0.01, high=600)
    gw_max_body_bytes: int = knob(0, "larger bodies are refused with 413; 0 = only the emulator's own bound")
    gw_max_header_bytes: int = knob(0, "larger header blocks are refused with 431; 0 = no limit")
    app_ca_file: str = knob("", "PEM file that vouches for an https --app, read at the start; empty = the system's")
    # Pelion Device Management
    pelion_batch_items: int = knob(10_000, "items in a batch at most; kept by a channel", low=1, high=20_000)
    pelion_queue_bytes: int = knob(50_000_000, "size of a channel's queue; kept by a channel", low=1)
    pelion_tier: str = knob("1", "tier that accounts say they have: 0 free, 1 commercial", choices=("0", "1", "2"))
    pelion_event_life_s: float = knob(86_400.0, "an event waits this long at most (24 h)", low=1)
    pelion_idle_s: float = knob(172_800.0, "a channel without events goes after this (48 h)", low=1)
    pelion_disconnected_s: float = knob(
        86_400.0, "a WebSocket channel without a socket goes after this (24 h)", low=1
    )
    pelion_failure_s: float = knob(86_400.0, "a callback failing this long is removed (24 h)", low=1)
    pelion_retry_max_s: float = knob(120.0, "longest pause between attempts; the first is 1 s", low=1)
    pelion_callback_timeout_s: float = knob(20.0, "a callback that has not answered by then has failed", low=0.01)
    pelion_patience_s: float = knob(5.0, "real seconds a client gets at least, however fast time runs", high=600)
    pelion_acknowledging: str = knob("200,204", "statuses that acknowledge", choices=("200,204", "200"))
    pelion_resend: str = knob(
        "identical", "a failed batch is sent again as it was, or cut anew", choices=("identical", "recut")
    )
    pelion_loose_types: bool = knob(False, "max-age and timestamp travel as text")
    pelion_sparse_items: bool = knob(False, "members that may be missing are missing")
    pelion_client_cn: str = knob("notifications.mbedcloud.com", "common name shown to https callbacks")
    pelion_client_chain: str = knob("full", "what https callbacks are shown", choices=("full", "leaf", "none"))
    pelion_visible_after_s: float = knob(0.0, "a new WebSocket channel can be connected to after this")
    pelion_status: str = knob("real", "what a WebSocket channel says of itself", choices=("real", "unknown"))
    pelion_client_close: str = knob(
        "remove", "a client's close frame ends the channel too", choices=("remove", "keep")
    )
    pelion_ping_s: float = knob(30.0, "pause between pings", low=0.01)
    pelion_pong_s: float = knob(5.0, "a ping not answered by then ends the socket", low=0.01)
    pelion_ws_idle_s: float = knob(86_400.0, "a socket without events is closed after this (24 h)", low=1)
    pelion_idle_code: int = knob(1000, "close code of an idle socket", low=1000, high=4999)
    pelion_poll_hold_s: float = knob(30.0, "how long a poll waits for events", low=0.01)
    pelion_poll_expiry_s: float = knob(600.0, "a channel nobody polls goes after this (10 min)", low=1)
    pelion_purge_s: float = knob(0.0, "polls meet 410 this long after a deletion")
    # Cumulocity, Notification 2.0
    n2_enabled: bool = knob(True, "the messaging service is enabled, else 404")
    n2_tenant_measurements: bool = knob(True, "context tenant takes measurements, if they are named")
    n2_consumer_created_by: str = knob(
        "connect", "what makes a consumer: its first connect or its first token", choices=("connect", "token")
    )
    n2_shared_only_mo: bool = knob(False, "shared tokens need subscriptions of the context mo (release 10.16)")
    n2_window: int = knob(1000, "frames a client may leave unacknowledged", low=1, high=1_000_000)
    n2_ack_timeout_s: float = knob(0.0, "a frame not acknowledged by then is sent again; 0 = on reconnect only")
    n2_idle_s: float = knob(300.0, "real seconds until an idle socket is closed", low=0.05, high=86_400)
    n2_ttl_s: float = knob(129_600.0, "a message not acknowledged by then vanishes (36 h)", low=1)
    n2_quota_bytes: int = knob(26_214_400, "backlog of a topic; beyond it requests fail with 500 (25 MiB)", low=1)
    n2_unsubscribe_missing: str = knob(
        "500", "unsubscribing a consumer that is no more", choices=("500", "404", "200")
    )
    n2_close_idle: int = knob(1001, "close code of an idle socket; 0 breaks the connection", high=4999)
    n2_close_unsubscribed: int = knob(1000, "close code when the consumer is no more; 0 breaks", high=4999)
    n2_close_restart: int = knob(1012, "close code when the platform restarts; 0 breaks", high=4999)
    n2_rule_delay_s: float = knob(0.0, "a new subscription forwards only after this")
    n2_extra_header: str = knob("", "a header line a future release might add to frames")
    # Cumulocity, real-time notifications
    sr_line_numbers: bool = knob(False, "rows of advice and notifications carry the line of the connect")
    sr_template_root: str = knob(
        "outer", "what templates see: action with data, or data alone", choices=("outer", "inner")
    )
    sr_heartbeat_s: float = knob(600.0, "pause between the spaces through a held connect", low=0.05)
    sr_timeout_ms: int = knob(5_400_000, "how long a connect is held, as advised", high=86_400_000)
    sr_interval_ms: int = knob(0, "pause before the next connect, as advised", high=86_400_000)
    sr_session_idle_s: float = knob(7200.0, "a session without a connect ends after this", low=0.05)
    sr_max_conn: int = knob(10, "held connects of one user for one channel; 0 = no limit", high=1_000_000)
    sr_reliable: bool = knob(True, "80,true is understood: numbered answers, kept until confirmed")
    sr_ack_row_always: bool = knob(True, "row 88 comes with answers that carry nothing too")
    sr_crlf: bool = knob(False, "rows are separated by CR LF")
    sr_unknown_client_81: str = knob("86", "row that answers 81, 82, 84 of an unknown client", choices=("86", "45"))
    sr_child_operations: bool = knob(True, "an agent hears of operations for what hangs below it")
    sr_restart: str = knob(
        "cut", "how a restart ends held connects: broken, or with an empty body", choices=("cut", "empty")
    )
    sr_queue: int = knob(100_000, "notifications that wait in a session; one more ends it", low=1)
    c8y_devices: int = knob(5, "devices a tenant of the seed world has", low=1, high=100_000)
    # the emulated world
    assets_per_tenant: int = knob(50, "how many different assets a tenant's messages speak of", low=1)
    control_anywhere: bool = knob(False, "/_control answers callers beyond loopback")


def named() -> dict[str, Field[Value]]:
    """All knobs by outward name, in the order of ``Knobs``."""
    return {f"EMU_{entry.name.upper()}": entry for entry in fields(Knobs)}


def read(entry: Field[Value], text: str) -> Value:
    """``text`` as this knob's type, within its bounds, else ``KnobError``."""
    default = entry.default
    try:
        if isinstance(default, bool):
            return _read_bool(text)
        if isinstance(default, int | float):
            return _bounded(entry, type(default)(text))
    except ValueError as error:
        raise KnobError(str(error) if isinstance(error, KnobError) else f"not a number: {text!r}") from error
    choices = entry.metadata["choices"]
    if choices and text not in choices:
        raise KnobError(f"not one of {', '.join(choices)}: {text!r}")
    return text


def _read_bool(text: str) -> bool:
    word = text.lower()
    if word not in TRUE_WORDS | FALSE_WORDS:
        raise KnobError(f"neither on nor off: {text!r}")
    return word in TRUE_WORDS


def _bounded(entry: Field[Value], number: float) -> Value:
    low, high = entry.metadata["low"], entry.metadata["high"]
    if not low <= number <= high:  # also refuses NaN
        raise KnobError(f"not within {low:g} and {high:g}: {number:g}")
    return number


def split(pairs: Iterable[str]) -> dict[str, str]:
    """``NAME=VALUE`` words of the command line as a mapping."""
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise KnobError(f"{pair!r} is not NAME=VALUE")
        settings[name] = value
    return settings


def turn(current: Knobs, settings: Mapping[str, str]) -> Knobs:
    """``current`` with the named knobs turned; nothing changes if one of them is wrong."""
    table = named()
    changes: dict[str, Value] = {}
    for name, text in settings.items():
        if name not in table:
            raise KnobError(f"there is no knob {name}")
        try:
            changes[table[name].name] = read(table[name], text)
        except KnobError as error:
            raise KnobError(f"{name}: {error}") from error
    return replace(current, **changes)  # type: ignore[arg-type]  # read() returns the field's own type


class Panel:
    """The knobs in force; ``restore`` goes back to those of the start."""

    def __init__(self, knobs: Knobs) -> None:
        self._initial = knobs
        self.now = knobs

    def turn(self, settings: Mapping[str, str]) -> None:
        self.now = turn(self.now, settings)

    def restore(self) -> None:
        self.now = self._initial

    def listing(self) -> dict[str, Value]:
        """Outward name and value of every knob."""
        return {name: getattr(self.now, entry.name) for name, entry in named().items()}
