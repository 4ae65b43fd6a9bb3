"""The Prometheus endpoint: the metrics of all processes of one listener, added up, on one port.

The processes write their values into files of a folder that they share (prometheus_client's multiprocess
mode); one more process reads them when it is asked. The counters of a process that died stay, since a counter
must not go back; its gauges go.
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
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import prometheus_client
import sqlalchemy as sa
from oslo_log import log
from prometheus_client import multiprocess, registry, values

from eventalarm.exceptions import EventAlarmError, InvalidOption
from eventalarm.metrics import Metrics
from eventalarm.model import DeliveryState
from eventalarm.storage.database import Database
from eventalarm.storage.stats import living, outbox_figures
from eventalarm.storage.tables import delivery

LOG = log.getLogger(__name__)

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
FOLDER: Final = "eventalarm-metrics-"
OF_PROCESS: Final = re.compile(r"_(\d+)\.db$")


@contextlib.contextmanager
def shared_folder(parent: str = "") -> Iterator[pathlib.Path]:
    """Let this process and those forked from it share their metrics; the folder goes at the end.

    Folders that processes left which were killed go at the beginning.
    """
    place = pathlib.Path(parent or tempfile.gettempdir())
    _sweep(place)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-", dir=place))
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(folder)
    # Chosen when prometheus_client is first imported, which may have been before.
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
            if folder.stat().st_uid == os.geteuid() and not _alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class SharedCollector(registry.Collector):
    """Adds up what the processes wrote into *folder*, without the gauges of those that died."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = str(folder)
        self._all: Any = multiprocess.MultiProcessCollector(None, self._folder)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Any]:
        """Return the metrics, as prometheus_client wants them."""
        found = {int(m[1]) for name in os.listdir(self._folder) if (m := OF_PROCESS.search(name))}
        for pid in found:
            if not _alive(pid):
                multiprocess.mark_process_dead(pid, self._folder)  # type: ignore[no-untyped-call]
        metrics: Iterable[Any] = self._all.collect()
        return metrics


def check_free(host: str, port: int) -> None:
    """Find out before anything is started whether the endpoint can be opened.

    :raises InvalidOption: when the port is taken, or the host is none of ours.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as exc:
        option = "metrics_port" if exc.errno in (errno.EADDRINUSE, errno.EACCES) else "metrics_host"
        raise InvalidOption(
            f"[eventalarm] {option}", f"{host}:{port} cannot be opened ({exc.strerror})", "choose another"
        ) from exc


class Endpoint:
    """Answers on *host*:*port* with what is in *folder*, and keeps an eye on the outbox.

    *opened* opens the database; it is tried again after every failure. The figures of the outbox are older
    than *interval* seconds at most while the database answers, and stay as they were while it does not.
    """

    def __init__(
        self, folder: pathlib.Path, host: str, port: int, opened: Callable[[], Database], interval: float
    ) -> None:
        self._folder, self._host, self._port = folder, host, port
        self._opened = opened
        self._interval = interval
        self._metrics = Metrics()
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="outbox-metrics", daemon=True)
        self._server: Any = None

    def start(self) -> None:
        """Begin to answer; raises OSError when the port is taken."""
        shared = prometheus_client.CollectorRegistry()
        shared.register(SharedCollector(self._folder))
        self._server, _ = prometheus_client.start_http_server(self._port, self._host, shared)
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
    """Set the gauges of the outbox and of living listeners; raises as the database does."""
    found = outbox_figures(database)
    failed = sa.select(sa.func.count()).where(delivery.c.state == DeliveryState.FAILED.value)
    with database.read() as connection:
        given_up = connection.execute(failed).scalar_one()
    metrics.set("listeners", len(living(database).hosts))
    metrics.set("outbox_unfinished", found.unfinished)
    metrics.set("outbox_due", found.due)
    metrics.set("outbox_oldest_due_seconds", found.oldest_due)
    metrics.set("outbox_failed", given_up)
    metrics.set("outbox_looked_timestamp_seconds", time.time())
