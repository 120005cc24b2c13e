"""Settings of the web server, each with its reason; gunicorn 27.0 reads them in its arbiter, before any worker is.

What differs between installations comes from ``Settings``, and from one convention of platforms: WEB_CONCURRENCY,
the number of processes.
"""

import gc
import logging
import os
import resource
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import NoReturn

from gunicorn.arbiter import Arbiter

from subscriber.errors import SettingsError, SubscriberError, Unavailable
from subscriber.exclusive import Exclusive
from subscriber.lifeline import end_with
from subscriber.logs import log_to_stderr
from subscriber.settings import Settings

FAILED = 1  # exit code for what may pass; the supervisor tries again
REFUSED = 2  # exit code for what no restart cures; the supervisor ends
SWITCH_SECONDS = 0.001  # a fifth of the default; below, threads change places more than they work
OTHER_FILES = 200  # beside connections: listeners, database, metrics, logs


def refuse(*texts: str, code: int = REFUSED) -> NoReturn:
    """End before anything listens, with words for people."""
    print(*texts, sep="\n", file=sys.stderr)
    sys.exit(code)


log_to_stderr()
logger = logging.getLogger("subscriber.web")
try:
    settings = Settings.from_environ(os.environ)
    workers = int(os.environ.get("WEB_CONCURRENCY") or 2)  # one per core of the smallest machine we plan for
except SettingsError as error:
    refuse(*error.problems)
except ValueError:
    refuse("WEB_CONCURRENCY must be a whole number")

# prometheus_client asks for this variable when it is imported, so it is set before anything of ours imports that.
# The name is the same at every start: what a killed server left behind is found and cleared by the next.
metrics_folder = Path(tempfile.gettempdir()) / f"subscriber-metrics-{os.getuid()}-{settings.port}"
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_folder)

from prometheus_client import multiprocess  # noqa: E402

from subscriber.services import Services  # noqa: E402
from subscriber.store import open_store  # noqa: E402
from subscriber.web.server import Worker, hold_stop_signals, let_stop_signals_come  # noqa: E402
from subscriber.web.server.tls import Certificate  # noqa: E402

wsgi_app = "app:app"

# Where.
bind = f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"
certfile = settings.tls_cert_file or None  # the worker builds its own context of them, and renews it
keyfile = settings.tls_key_file or None
ca_certs = settings.tls_client_ca_file or None
# Each process listens for itself and the kernel shares connections out. With one listener for all, whichever process
# wakes first takes them, and a router that keeps connections keeps that process busy alone.
reuse_port = True
backlog = 1024  # a burst of connections; more than any process takes in one turn

# How many.
worker_class = Worker  # slow clients wait in a poller, see its module
threads = 12  # no delivery waits in one (web/deferral.py), and few are woken at a time (web/server/threads.py)
worker_connections = 2000  # per process, idle and slow ones included; an idle one costs a few kilobytes
# A long body must fit beside others, or it would never be taken at all.
Worker.in_flight_bytes = max(Worker.in_flight_bytes, 3 * settings.max_body_bytes)
if settings.pelion:  # one callback of the largest size at a time; a second one comes again after a second
    Worker.in_flight_bytes += settings.pelion.max_body_bytes

# How long.
keepalive = 95  # seconds; Cloud Foundry's router reuses a connection for 90 and must be the one to close it
graceful_timeout = 6  # seconds for requests in flight after SIGTERM; all is over in 8, the platform kills after 10
timeout = 30  # seconds without a sign of life from a process's main thread, which never waits: it hangs

# What is let in. A token of the platform has 1 to 6 KB; the gateway passes 10 KB of header fields in all.
limit_request_line = 4094
limit_request_fields = 100
limit_request_field_size = 16 * 1024
# No header of a proxy means anything to this service, so none is believed.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""

# What is said. Outcomes are logged by the application, one line each; an access log would repeat them.
accesslog = None
errorlog = "-"
loglevel = "warning"

# Around it.
preload_app = False  # each process opens its own store; modules are loaded before the fork all the same
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # a busy disk must not look like a hung worker
control_socket_disable = True  # nobody here uses it


def on_starting(server: Arbiter) -> None:
    """Refuse what cannot work before anything listens; a second service above all."""
    server.exclusive = Exclusive()
    try:
        server.exclusive.take_port(settings.host, settings.port)
        if settings.sqlite_path:  # PostgreSQL is made for many
            server.exclusive.take_database(settings.sqlite_path)
        open_store(settings.database_url).close()  # its schema fits; each worker opens its own
        if settings.tls:
            Certificate(settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file)
        shutil.rmtree(metrics_folder, ignore_errors=True)
        metrics_folder.mkdir(mode=0o700)
    except SettingsError as error:
        refuse(*error.problems)
    except Unavailable as error:
        refuse(str(error), code=FAILED)
    except SubscriberError as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"cannot start: {error}")
    _allow_files(worker_connections + OTHER_FILES)
    os.register_at_fork(after_in_parent=let_stop_signals_come)


def _allow_files(wanted: int) -> None:
    """Raise the number of files a process may open to what its connections need, as far as we may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))


def when_ready(server: Arbiter) -> None:
    """All modules are loaded; keep the collector off them, for workers share these pages."""
    gc.collect()
    gc.freeze()
    logger.info("serving on %s", bind, extra={"action": "serve", "workers": workers, "tls": settings.tls})


def pre_fork(server: Arbiter, worker: Worker) -> None:
    """A process that is told to stop while it is being made shall hear it."""
    hold_stop_signals()


def post_fork(server: Arbiter, worker: Worker) -> None:
    """A worker holds none of the arbiter's locks, and does not outlive it."""
    server.exclusive.release()
    end_with(server.pid)


def post_worker_init(worker: Worker) -> None:
    """The application is built and stays: the collector need not look at it again."""
    # Who comes out of the database holds its lock until it gets the interpreter's back, and other processes wait.
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    worker.stopping = threading.Event()
    if services := _services(worker):
        threading.Thread(target=services.beat, args=(worker.stopping,), name="heartbeat", daemon=True).start()


def worker_exit(server: Arbiter, worker: Worker) -> None:
    """What waits to be written is written. Also called by the arbiter, for workers that it lost."""
    if services := _services(worker):
        worker.stopping.set()
        services.store.close()


def _services(worker: Worker) -> Services | None:
    """The parts of the application in this worker; None before it is built, and for applications of tests."""
    found: Services | None = getattr(getattr(worker, "wsgi", None), "extensions", {}).get("subscriber")
    return found


def child_exit(server: Arbiter, worker: Worker) -> None:
    """A dead worker's counts remain, its gauges go."""
    multiprocess.mark_process_dead(worker.pid, str(metrics_folder))  # type: ignore[no-untyped-call]


def on_exit(server: Arbiter) -> None:
    shutil.rmtree(metrics_folder, ignore_errors=True)
