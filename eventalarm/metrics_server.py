"""The Prometheus endpoint: the aggregated metrics of all processes of one listener, on one port.

The processes write their values to files in a shared folder (prometheus_client's multiprocess mode), which
another process reads for each request. The counters of a process that ended are kept, because a counter must
not decrease; its gauges are removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import prometheus_client
import sqlalchemy as sa
from oslo_log import log
from prometheus_client import multiprocess, registry, values

from eventalarm.exceptions import EventAlarmError, InvalidOption
from eventalarm.metrics import Metrics
from eventalarm.storage.database import Database
from eventalarm.storage.stats import failed_figures, live_listeners, outbox_figures

LOG = log.getLogger(__name__)

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
FOLDER: Final = "eventalarm-metrics-"
OF_PROCESS: Final = re.compile(r"_(\d+)\.db$")


@contextlib.contextmanager
def shared_folder(parent: str = "") -> Iterator[pathlib.Path]:
    """Create the folder in which this process and its children share metrics, and remove it afterwards.

    Folders of processes that were killed are removed first.
    """
    place = pathlib.Path(parent or tempfile.gettempdir())
    _sweep(place)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-", dir=place))
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(folder)
    # prometheus_client chooses the class on its first import, which may have been earlier.
    _choose_value_class()
    try:
        yield folder
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before
        _choose_value_class()
        shutil.rmtree(folder, ignore_errors=True)


def _choose_value_class() -> None:
    choose: Any = values.get_value_class
    values.ValueClass = choose()


def _sweep(place: pathlib.Path) -> None:
    for folder in place.glob(f"{FOLDER}*-*"):
        pid = folder.name.removeprefix(FOLDER).partition("-")[0]
        with contextlib.suppress(OSError, ValueError):
            if folder.stat().st_uid == os.geteuid() and not _is_running(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class SharedCollector(registry.Collector):
    """Aggregates the metrics in *folder*, without the gauges of processes that ended."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = str(folder)
        self._all: Any = multiprocess.MultiProcessCollector(None, self._folder)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Any]:
        """Return the metrics; called by prometheus_client for each request."""
        found = {int(m[1]) for name in os.listdir(self._folder) if (m := OF_PROCESS.search(name))}
        for pid in found:
            if not _is_running(pid):
                multiprocess.mark_process_dead(pid, self._folder)  # type: ignore[no-untyped-call]
        metrics: Iterable[Any] = self._all.collect()
        return metrics


def check_free(host: str, port: int, group: str) -> None:
    """Check that the endpoint can be opened, before anything is started.

    :param group: the group of the options ``metrics_host`` and ``metrics_port``.
    :raises InvalidOption: when the port is in use, or *host* is not an address of this host.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as exc:
        option = "metrics_port" if exc.errno in (errno.EADDRINUSE, errno.EACCES) else "metrics_host"
        raise InvalidOption(
            f"[{group}] {option}", f"{host}:{port} cannot be opened ({exc.strerror})", "choose another"
        ) from exc


class HealthPages:
    """WSGI middleware: answers the paths of *pages* with 200, or 503 and the text of their function."""

    def __init__(self, app: Any, pages: Mapping[str, Callable[[], str]]) -> None:
        self._app = app
        self._pages = pages

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        page = self._pages.get(environ.get("PATH_INFO", ""))
        if page is None:
            answer: Iterable[bytes] = self._app(environ, start_response)
            return answer
        problem = page()
        body = f"{problem or 'ok'}\n".encode()
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response("503 Service Unavailable" if problem else "200 OK", headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


class Endpoint:
    """Serves the metrics in *folder* on *host*:*port*, and gauges of the outbox.

    The gauges of the outbox keep their values while the database does not answer.

    :param opened: opens the database; called again until it succeeds.
    :param interval: seconds between two readings of the outbox.
    :param pages: health checks by path, see :class:`HealthPages`.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        host: str,
        port: int,
        opened: Callable[[], Database],
        interval: float,
        *,
        pages: Mapping[str, Callable[[], str]] = MappingProxyType({}),
    ) -> None:
        self._folder, self._host, self._port = folder, host, port
        self._opened = opened
        self._interval = interval
        self._pages = pages
        self._metrics = Metrics()
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="outbox-metrics", daemon=True)
        self._server: Any = None

    def start(self) -> None:
        """Open the port and start observing the outbox.

        :raises OSError: when the port is in use.
        """
        shared = prometheus_client.CollectorRegistry()
        shared.register(SharedCollector(self._folder))
        self._server, _ = prometheus_client.start_http_server(self._port, self._host, shared)
        self._server.set_app(HealthPages(self._server.get_app(), self._pages))
        self._watcher.start()
        LOG.info("Metrics on http://%s:%d/metrics", self._host, self._port)

    def stop(self) -> None:
        """Close the port."""
        self._stopping.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _watch(self) -> None:
        database: Database | None = None
        while not self._stopping.is_set():
            try:
                database = database or self._opened()
                observe_outbox(database, self._metrics)
            except (EventAlarmError, sa.exc.SQLAlchemyError) as exc:
                LOG.debug("The outbox cannot be observed: %s", exc)
            self._stopping.wait(self._interval)
        if database is not None:
            database.dispose()


def observe_outbox(database: Database, metrics: Metrics) -> None:
    """Set the gauges of the outbox and of running listeners.

    :raises Retryable: when the database failed.
    """
    found = outbox_figures(database)
    failed = failed_figures(database).failed
    metrics.set("listeners", len(live_listeners(database).hosts))
    metrics.set("outbox_unfinished", found.unfinished)
    metrics.set("outbox_due", found.due)
    metrics.set("outbox_oldest_due_seconds", found.oldest_due)
    metrics.set("outbox_failed", failed)
    metrics.set("outbox_looked_timestamp_seconds", time.time())
