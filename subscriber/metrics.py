"""Every metric of the service, its labels and their bound. Never a tenant, a topic or any text from outside.

Web processes add up: each writes its numbers into the folder that PROMETHEUS_MULTIPROC_DIR names, and whichever
answers `/metrics` reads all of them. Where that is not set (the worker, tests) a process speaks for itself.
Format: Prometheus text exposition; names follow its conventions (base units, ``_total``).
"""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from subscriber.errors import SubscriberError

logger = logging.getLogger(__name__)

PREFIX = "subscriber"
CONTENT_TYPE = CONTENT_TYPE_LATEST
# Labels come from our own enumerations and reason slugs, a few dozen in all. Whatever exceeds this is a bug that
# must not grow a server's memory: it is counted as OTHER.
MAX_CHILDREN = 64
OTHER = "other"
# A commit takes 1 to 20 ms, the store gives up after 5 s.
ACCEPT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SCRAPER_SECONDS = 5.0  # a scraper that says nothing for so long is let go; Prometheus itself gives up after 10


class Metrics:
    """One process's counters. All methods may be called from any thread and cost a few microseconds."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._refused = 0  # not taken yet
        self._channels = _Channels()
        self._watched: list[Collector] = [self._channels]
        # platform: the four of the contract; outcome: accepted, duplicate, dead_letter
        self._deliveries = self._counter("deliveries", "deliveries acknowledged", "platform", "outcome")
        # reason: slugs of subscriber.errors and of the verifier
        self._refusals = self._counter("refused", "deliveries refused", "platform", "reason")
        self._accept = self._histogram("accept_seconds", "from request to commit", ACCEPT_BUCKETS)
        # outcome: what the dispatcher calls the end of an attempt
        self._handled = self._counter("handled", "attempts ended", "platform", "outcome")
        # outcome: ok, failed
        self._key_fetches = self._counter("key_fetches", "requests to key servers", "outcome")
        # outcome: what became of frames in the store, see channels.Observer
        self._frames = self._counter("channel_frames", "frames stored and acknowledged", "platform", "outcome")
        # reason: slugs of subscriber.errors and of channels
        self._lost = self._counter("channel_losses", "connections that ended or failed", "platform", "reason")
        # reason: answer_lost, session_lost
        self._gaps = self._counter("channel_gaps", "times in which something may be missed", "platform", "reason")

    def delivered(self, platform: str, outcome: str, seconds: float) -> None:
        """A delivery was acknowledged, ``seconds`` after its request was parsed."""
        self._deliveries.child(platform, outcome).inc()
        self._accept.observe(seconds)

    def refused(self, platform: str, reason: str) -> None:
        """A delivery was not acknowledged."""
        self._refusals.child(platform, reason).inc()
        with self._lock:
            self._refused += 1

    def take_refused(self) -> int:
        """How many deliveries this process has refused since it was last asked, for the store's counters."""
        with self._lock:
            taken, self._refused = self._refused, 0
        return taken

    def on_settled(self, platform: str, outcome: str) -> None:
        """An attempt ended; the dispatcher's observer."""
        self._handled.child(platform, outcome).inc()

    def keys_fetched(self, outcome: str) -> None:
        """A key server was asked."""
        self._key_fetches.child(outcome).inc()

    def channel_frames(self, platform: str, outcome: str, count: int) -> None:
        """So many frames of channels were stored and can be acknowledged."""
        self._frames.child(platform, outcome).inc(count)

    def channel_lost(self, platform: str, reason: str) -> None:
        """A channel's connection ended, or could not be made."""
        self._lost.child(platform, reason).inc()

    def channel_gap(self, platform: str, reason: str) -> None:
        """A channel may have missed what was published for a while."""
        self._gaps.child(platform, reason).inc()

    def watch_channels(self, counts: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        """Show how many channels there are by platform and state, as of when someone asks for metrics."""
        self._channels.read = counts

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A gauge whose value is read when someone asks for metrics. Without a value if that raises one of ours."""
        self._watched.append(_Watched(f"{PREFIX}_{name}", meaning, read))

    def watch_platforms(self, name: str, meaning: str, read: Callable[[], Mapping[str, float]]) -> None:
        """The same with a value for each platform: ``read`` returns them by its name."""
        self._watched.append(_WatchedPlatforms(f"{PREFIX}_{name}", meaning, read))

    def render(self) -> bytes:
        """All metrics as text, see ``CONTENT_TYPE``."""
        return b"".join(generate_latest(registry) for registry in self._registries())

    def _registries(self) -> Iterator[CollectorRegistry]:
        shared = CollectorRegistry()
        try:
            MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
            yield shared
        except ValueError:  # this process counts alone
            yield self._registry
        watched = CollectorRegistry()
        for collector in self._watched:
            watched.register(collector)
        yield watched

    def add_process_facts(self) -> None:
        """Memory, CPU time and open files of this process. Only for one that speaks for itself."""
        ProcessCollector(registry=self._registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> _Family:
        return _Family(Counter(f"{PREFIX}_{name}", meaning, labels, registry=self._registry))

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", meaning, buckets=buckets, registry=self._registry)


class _Family:
    """A counter with labels: a bounded number of children, each found by one look into a dictionary."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._children: dict[tuple[str, ...], Counter] = {}

    def child(self, *values: str) -> Counter:
        found = self._children.get(values)
        if found is None:
            if len(self._children) >= MAX_CHILDREN:
                return self._counter.labels(*(OTHER for _ in values))
            found = self._children[values] = self._counter.labels(*values)
        return found


class _Watched(Collector):
    def __init__(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        self._family = (name, meaning)
        self._read = read

    def collect(self) -> Iterable[Metric]:
        try:
            yield GaugeMetricFamily(*self._family, value=self._read())
        except SubscriberError:
            return  # the store is away: an absent value says so better than an old one


class _WatchedPlatforms(Collector):
    def __init__(self, name: str, meaning: str, read: Callable[[], Mapping[str, float]]) -> None:
        self._family = (name, meaning)
        self._read = read

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(*self._family, labels=("platform",))
        try:
            for platform, value in self._read().items():
                family.add_metric((platform,), value)
        except SubscriberError:
            return  # as above
        yield family


class _Channels(Collector):
    """Only shown by the process that runs channels."""

    read: Callable[[], Mapping[tuple[str, str], int]] | None = None

    def collect(self) -> Iterable[Metric]:
        if self.read is None:
            return
        family = GaugeMetricFamily(f"{PREFIX}_channels", "channels by state", labels=("platform", "state"))
        for labels, count in self.read().items():
            family.add_metric(labels, count)
        yield family


def may_read(token: str, authorization: str | None) -> bool:
    """Does the ``Authorization`` header hold the token that metrics demand? An empty token demands nothing."""
    if not token:
        return True
    return hmac.compare_digest(f"Bearer {token}".encode(), (authorization or "").encode("utf-8", "replace"))


def serve_metrics(metrics: Metrics, host: str, port: int, token: str) -> WSGIServer:
    """Answer `GET /metrics` on a port of its own, one scraper at a time. ``shutdown`` and ``server_close`` end it.

    For processes without a web server. Raises ``OSError`` if the port cannot be had.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        if environ.get("PATH_INFO") != "/metrics" or environ.get("REQUEST_METHOD") != "GET":
            start_response("404 Not Found", [])
            return []
        if not may_read(token, environ.get("HTTP_AUTHORIZATION")):
            start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer")])
            return []
        start_response("200 OK", [("Content-Type", CONTENT_TYPE), ("Cache-Control", "no-store")])
        return [metrics.render()]

    server = make_server(host, port, answer, handler_class=_Scrape)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


class _Scrape(WSGIRequestHandler):
    timeout = SCRAPER_SECONDS

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes come every few seconds: they are not worth a line."""
