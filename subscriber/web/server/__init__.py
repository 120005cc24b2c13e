"""Our gunicorn worker: slow clients wait in a poller, and only whole requests get a thread.

The stock threaded worker gives every connection a thread as soon as its first byte is there; a few hundred clients
that send a byte a minute then stop a service. Here the main thread accepts, shakes hands (TLS) and collects header
blocks and short bodies without ever waiting; a thread gets

- a request that is complete, or
- the header block of one with a long body, so that the application learns who sends before it reads. Few threads
  may read such bodies at a time, and none for long (``wire.Reader``).

Everything a stranger can make us hold has a limit: connections (gunicorn's ``worker_connections``), bytes
(``Worker.in_flight_bytes``), seconds (``Worker`` and below). HTTP/1.1 only. Built on gunicorn 27.0.1; of its settings
``pre_request``, ``post_request`` and ``max_requests`` have no effect here, and the access log lacks promised answers.
"""

from __future__ import annotations

import errno
import logging
import selectors
import signal
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from http import HTTPStatus
from wsgiref.types import WSGIEnvironment

from gunicorn.http import errors, wsgi
from gunicorn.workers.gthread import ThreadWorker

from subscriber.errors import Overloaded, SubscriberError
from subscriber.web.answers import Answer, closing_answer
from subscriber.web.clients import CLIENT_NAMES, names_of_peer
from subscriber.web.deferral import DEFER, Deferral
from subscriber.web.server.framing import HEAD_BYTES, Progress
from subscriber.web.server.limits import InFlight, Slots
from subscriber.web.server.outlet import Outlet
from subscriber.web.server.plain import PlainReader
from subscriber.web.server.response import Response
from subscriber.web.server.threads import STUCK_SECONDS, Threads
from subscriber.web.server.tls import Certificate
from subscriber.web.server.wire import Address, Connection, Parser, Phase, Promise, Reader

logger = logging.getLogger(__name__)

CLOSING_SECONDS = 2.0  # gunicorn's own patience for the other side's end
DISCARD_BYTES = 16 * 1024 * 1024  # of a refused body: a sender cut off in the middle may never see why
LEAVING_SECONDS = 1.0  # a stopping worker still takes a request that is on its way on a kept connection
RECEIVE_BYTES = 64 * 1024  # one call usually gets a whole notification
ACCEPT_BURST = 16  # connections taken before the ones already here get their turn
SWEEP_SECONDS = 1.0  # how exactly deadlines are kept; also the heartbeat to the arbiter
DRAINING_SWEEP_SECONDS = 0.1
CHASE_SECONDS = 5.5  # a promised answer is asked for: the store, which is what promises wait for, gives up after 5
SHARE_OF_THREADS = 4  # a quarter may wait for senders of long bodies (design, section 3)

# What gunicorn's parser refuses, by status; all other refusals are 400.
PARSER_STATUS = {
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.ExpectationFailed: 417,
    errors.UnsupportedTransferCoding: 501,
}
# A new process begins with the arbiter's handlers, which only take notes for the arbiter. Until it has its own, these
# wait: one that was lost would leave a process with its door open until it is killed.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def run_all(chases: Sequence[Callable[[], None]]) -> None:
    """Ask for answers that take long, one after another: they usually wait for the same thing."""
    for chase in chases:
        chase()


def hold_stop_signals() -> None:
    """Before a process is forked; it lets them come when it can hear them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def let_stop_signals_come() -> None:
    """Those that were held come now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Main thread: the poller, which owns every connection that is not BUSY. Pool threads: ``serve``."""

    alive: bool
    # Deadlines of design, section 3. Both are for the whole, however many packets it takes.
    head_seconds = 10.0  # from accepting, or from a later request's first byte
    body_seconds = 30.0  # from the end of the header block, or from when a thread asks for a long body
    in_flight_bytes = 32 * 1024 * 1024  # unanswered requests hold at most this; gunicorn.conf.py may raise it

    def init_process(self) -> None:
        self.connections: set[Connection] = set()
        self.in_flight = InFlight(self.in_flight_bytes)
        self.plain_reader = PlainReader(self.cfg)
        self.slots = Slots(max(1, self.cfg.threads // SHARE_OF_THREADS))
        self.certificate = (
            Certificate(self.cfg.certfile, self.cfg.keyfile, self.cfg.ca_certs) if self.cfg.is_ssl else None
        )
        self.handover = threading.Lock()  # a connection's phase and whether it is muted change together
        self.sweep_seconds = SWEEP_SECONDS
        self.next_sweep = 0.0
        self.idle_until = float("inf")  # a stopping worker closes kept connections then
        self.refusals: Counter[str] = Counter()  # reason → requests refused unread since the last sweep
        self.accept_from = 0.0  # later than now while the process is out of file descriptors
        super().init_process()

    def init_signals(self) -> None:
        super().init_signals()
        let_stop_signals_come()

    def get_thread_pool(self) -> Threads:
        return Threads(self.cfg.threads, self.serve)

    # The poller: nothing below waits, except for the poller itself.

    def run(self) -> None:
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        while self.alive:
            self.turn()
        self.drain()

    def turn(self) -> None:
        """Wait until something happens, see to it, and now and then look at the clock."""
        self.set_accept_enabled(self.may_accept())
        self.wait_for_and_dispatch_events(STUCK_SECONDS if self.tpool.stretched else self.sweep_seconds)
        now = time.monotonic()
        self.tpool.relieve(now)
        if now >= self.next_sweep:
            self.next_sweep = now + self.sweep_seconds
            self.sweep(now)

    def drain(self) -> None:
        """Take who has already knocked, shut the door, answer, and leave within ``graceful_timeout``."""
        self.set_accept_enabled(False)
        for listener in self.sockets:
            while self.accept(listener):
                pass
            listener.close()
        now = time.monotonic()
        self.idle_until = now + LEAVING_SECONDS
        self.sweep_seconds = DRAINING_SWEEP_SECONDS
        while self.connections and time.monotonic() < now + self.cfg.graceful_timeout:
            self.turn()

    def may_accept(self) -> bool:
        free = len(self.connections) < self.worker_connections
        return self.alive and free and time.monotonic() >= self.accept_from

    def accept(self, listener: socket.socket) -> bool:
        """Take new connections, a few at a time. True if more may be waiting."""
        for _ in range(ACCEPT_BURST):
            try:
                sock, client = listener.accept()
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in OUT_OF_FILES:
                    self.accept_from = time.monotonic() + SWEEP_SECONDS
                    logger.error("cannot accept: %s", error.strerror, extra={"action": "accept_failed"})
                    return False
                continue  # this one is gone already
            self.welcome(sock, client, listener.getsockname())
        return True

    def welcome(self, sock: socket.socket, client: Address, server: Address) -> None:
        sock.settimeout(0)
        if self.certificate:
            try:
                sock = self.certificate.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            except OSError:  # gone already
                sock.close()
                return
        reader = Reader(sock, self.in_flight, self.slots, self.body_seconds)
        connection = Connection(sock, client, server, reader, Parser(self.cfg, reader, client))
        connection.deadline = time.monotonic() + self.head_seconds
        self.connections.add(connection)
        if self.certificate:
            connection.phase = Phase.HANDSHAKE
            self.poller.register(sock, selectors.EVENT_READ, partial(self.on_handshake, connection))
        else:
            self.watch(connection)

    def watch(self, connection: Connection) -> None:
        self.poller.register(connection.sock, selectors.EVENT_READ, partial(self.on_readable, connection))

    def on_handshake(self, connection: Connection, sock: ssl.SSLSocket) -> None:
        step = partial(self.on_handshake, connection)
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            self.poller.modify(sock, selectors.EVENT_READ, step)
        except ssl.SSLWantWriteError:
            self.poller.modify(sock, selectors.EVENT_WRITE, step)
        except OSError:  # it speaks no TLS, or none of ours
            self.drop(connection)
        else:
            connection.phase = Phase.HEAD
            self.poller.modify(sock, selectors.EVENT_READ, partial(self.on_readable, connection))

    def on_readable(self, connection: Connection, sock: socket.socket) -> None:
        if connection.phase is Phase.BUSY and self.mute(connection):
            return
        try:
            data = sock.recv(RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            data = b""
        if not data:
            self.drop(connection)
        elif connection.phase is Phase.CLOSING:
            self.discard(connection, data)
        else:
            self.collect(connection, data)

    def mute(self, connection: Connection) -> bool:
        """Hear no more of a connection before it is given back; False if that has just happened.

        Usually nothing comes while a request is answered, so connections stay in the poller meanwhile: taking each
        out and putting it back would cost more than collecting a request does.
        """
        with self.handover:
            if connection.phase is not Phase.BUSY:
                return False
            self.poller.unregister(connection.sock)
            connection.muted = True
            return True

    def collect(self, connection: Connection, data: bytes) -> None:
        """Add to what has arrived of the request; when it is worth a thread, it gets one."""
        if not self.in_flight.take(len(data)):
            self.refuse(connection, Overloaded.status, Overloaded.reason, "too many bytes in flight", retry=True)
            return
        progress = connection.arrival.feed(data)
        if progress is Progress.READY:
            connection.phase = Phase.BUSY
            self.tpool.submit(connection)
        elif progress is Progress.OVERSIZED:
            self.refuse(connection, 431, "head_too_large", f"more than {HEAD_BYTES} bytes of header fields")
        elif progress is Progress.BODY and connection.phase is not Phase.BODY:
            connection.phase = Phase.BODY
            connection.deadline = time.monotonic() + self.body_seconds
        elif connection.phase is Phase.IDLE:
            connection.phase = Phase.HEAD
            connection.deadline = time.monotonic() + self.head_seconds

    def discard(self, connection: Connection, data: bytes) -> None:
        connection.discarded += len(data)
        if connection.discarded > DISCARD_BYTES:
            self.drop(connection)

    def refuse(self, connection: Connection, status: int, reason: str, detail: str, *, retry: bool = False) -> None:
        """Answer a request that no thread has seen, and close."""
        after = Overloaded.retry_after_seconds if retry else None
        connection.say_last(closing_answer(status, reason, detail, after))
        self.in_flight.give(connection.forget())
        connection.phase = Phase.CLOSING
        connection.deadline = time.monotonic() + CLOSING_SECONDS
        self.refusals[reason] += 1

    def drop(self, connection: Connection) -> None:
        try:
            self.poller.unregister(connection.sock)
        except (KeyError, ValueError):
            pass  # muted, then abandoned: it never came back to the poller
        self.connections.discard(connection)
        self.in_flight.give(connection.forget())
        connection.close()

    def sweep(self, now: float) -> None:
        """Once in a while: deadlines, the certificate, and a sign of life both ways."""
        self.notify()
        if self.certificate:
            self.certificate.refresh()
        with self.handover:
            late = [connection for connection in self.connections if self.is_late(connection, now)]
            overdue = [chase for connection in self.connections if (chase := self.overdue(connection, now))]
        for connection in late:
            self.expire(connection)
        if overdue:
            threading.Thread(target=run_all, args=(overdue,), name="chase", daemon=True).start()
        self.report_refusals()
        if self.alive and not self.is_parent_alive():
            self.alive = False

    def report_refusals(self) -> None:
        """One line per reason and sweep: an attack must not fill the log."""
        for reason, count in self.refusals.items():
            extra = {"action": "refuse_unread", "reason": reason, "count": count}
            logger.info("requests refused unread", extra=extra)
        self.refusals.clear()

    def is_late(self, connection: Connection, now: float) -> bool:
        if connection.phase is Phase.BUSY:
            return False
        silent = connection.phase in (Phase.IDLE, Phase.CLOSING) or not connection.arrival.received
        return now >= (min(connection.deadline, self.idle_until) if silent else connection.deadline)

    def overdue(self, connection: Connection, now: float) -> Callable[[], None] | None:
        """How to chase a promised answer that takes long, once."""
        promise = connection.promise
        if promise is None or now < connection.deadline:
            return None
        connection.deadline = float("inf")
        return promise.deferral.chase

    def expire(self, connection: Connection) -> None:
        """A request begun and not finished is told why; silence is answered with silence."""
        if connection.arrival.received:
            missing = "body" if connection.phase is Phase.BODY else "header block"
            self.refuse(connection, 408, "too_slow", f"the {missing} did not arrive in time")
        else:
            self.drop(connection)

    def resume(self, connection: Connection, data: bytes) -> None:
        """Go on with a connection that already sent the start of its next request."""
        self.give_back(connection, Phase.IDLE, self.cfg.keepalive)
        self.collect(connection, data)

    # The threads.

    def serve(self, connection: Connection) -> None:
        """Answer the request on a connection and give the connection back."""
        if connection.promise is not None:
            reusable = self.keep_promise(connection, connection.promise)
        else:
            reusable = self.answer(connection)
        if reusable is not None:
            self.conclude(connection, reusable)

    def conclude(self, connection: Connection, reusable: bool) -> None:
        """The request was answered: give the connection back."""
        connection.promise = None
        surplus = connection.reader.end()
        if reusable and surplus:
            connection.stop_waiting()
            self.method_queue.defer(self.resume, connection, surplus)
        elif reusable:
            connection.stop_waiting()
            self.give_back(connection, Phase.IDLE, self.cfg.keepalive)
        else:
            connection.end_output()
            self.give_back(connection, Phase.CLOSING, CLOSING_SECONDS)

    def give_back(self, connection: Connection, phase: Phase, seconds: float) -> None:
        """To the poller, at once: waking the main thread for it would cost more than all the rest."""
        with self.handover:
            # The phase is the last to change: whoever sees it may go on at once, and set another deadline.
            connection.deadline = time.monotonic() + seconds
            connection.phase = phase
            if connection.muted:
                connection.muted = False
                self.watch(connection)

    def answer(self, connection: Connection) -> bool | None:
        """Parse and answer one request. True if the connection may carry another; None: the answer was promised."""
        try:
            reusable = self.handle_request(connection, *self.read_request(connection))
            return reusable and connection.finish_request()
        except StopIteration:
            pass  # nothing to parse after all
        except errors.ParseException as error:
            status = PARSER_STATUS.get(type(error), 400)
            connection.say_last(closing_answer(status, "bad_request", type(error).__name__))
        except SubscriberError as error:
            connection.say_last(closing_answer(error.status, error.reason, error.detail, error.retry_after_seconds))
        except OSError:
            pass  # the client went away
        except Exception:
            logger.exception("the application failed", extra={"action": "answer_failed"})
        return False

    def read_request(self, connection: Connection) -> tuple[Response, WSGIEnvironment]:
        """What the application is given, and what its answer goes through. Raises what gunicorn's parser does."""
        plain = connection.begin_plain(self.plain_reader)
        if plain is not None:
            return Response(plain, connection.sock, self.cfg), plain.environ
        connection.begin_request()
        response, environ = wsgi.create(
            next(connection.parser),
            connection.sock,
            connection.client,
            connection.server,
            self.cfg,
            response_class=Response,
        )
        environ["wsgi.multithread"] = True
        return response, environ

    def handle_request(self, connection: Connection, response: Response, environ: WSGIEnvironment) -> bool | None:
        """Run the application. True if the response leaves the connection open; None: the answer was promised."""
        started = datetime.now()

        def start_response(*given: object) -> object:
            if not self.alive:  # told to stop while the application was at work: this answer is the last
                response.force_close()
            return response.start_response(*given)

        deferral = Deferral(partial(self.tpool.submit, connection))
        environ[DEFER] = deferral
        if isinstance(connection.sock, ssl.SSLSocket):
            environ[CLIENT_NAMES] = partial(names_of_peer, connection.sock)
        pieces = self.wsgi(environ, start_response)
        if deferral.promised:
            connection.deadline = time.monotonic() + CHASE_SECONDS
            connection.promise = Promise(deferral, response, start_response)
            deferral.leave()
            return None
        try:
            for piece in pieces:
                response.write(piece)
            response.close()
        finally:
            self.log.access(response, response.req, environ, datetime.now() - started)
            if hasattr(pieces, "close"):
                pieces.close()
        return not response.should_close()

    def keep_promise(self, connection: Connection, promise: Promise) -> bool | None:
        """Send a promised answer. True if the connection may carry another request; None: somebody else goes on."""
        response, answer = promise.response, promise.make()
        if promise.deferral.hand_over:
            self.hand_over(connection, promise, answer, promise.deferral.hand_over)
            return None
        sent = promise.deferral.sent
        if sent and connection.left():  # looked at before: who has read the answer may end the connection at once
            sent = None
        try:
            if not self.alive:
                response.force_close()
            reusable = response.send(answer)
            if sent:
                sent()
            return reusable and connection.finish_request()
        except OSError:
            return False  # the client went away

    def hand_over(
        self, connection: Connection, promise: Promise, answer: Answer, receiver: Callable[[Outlet], None]
    ) -> None:
        """Begin an answer and let the receiver go on with it. It is the last one on its connection."""
        response = promise.response
        response.force_close()
        promise.start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", list(answer.headers.items()))
        connection.sock.settimeout(0)
        receiver(
            Outlet(
                connection.sock,
                response.begin(),
                chunked=bool(response.chunked),
                stopping=lambda: not self.alive,
                give_back=partial(self.conclude, connection, False),
            )
        )
