"""A real HAProxy in front of database servers, and the HTTP health checks by which it knows which to use."""

from __future__ import annotations

import contextlib
import csv
import http.server
import os
import pathlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eventalarm.trial.own_cloud.services.keeper import LOCALHOST, SERVER_PATH, free_ports
from tests.support.helpers import Process, wait_until

UP, DOWN = "UP", "DOWN"

SETTINGS = """\
global
    stats socket {socket} mode 600 level admin
    maxconn 1000
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout check 5s
listen database
    bind {host}:{port}
    balance {balance}
    option tcpka
    option httpchk GET /
    default-server inter 500ms fastinter 200ms downinter 500ms fall 2 rise 2 on-marked-down shutdown-sessions
"""


class HealthCheck:
    """Answers ``GET /`` with 200 while *is_healthy* returns True, else with 503, as clustercheck does.

    An exception counts as unhealthy. A server of HTTP on its own ``port``, in threads.
    """

    def __init__(self, is_healthy: Callable[[], bool]) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                healthy = False
                with contextlib.suppress(Exception):
                    healthy = is_healthy()
                with contextlib.suppress(OSError):
                    self.send_response(200 if healthy else 503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((LOCALHOST, 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True)
class Backend:
    """A server behind HAProxy; a *backup* is used only while no other server is up.

    :param check_port: where its health check is answered, see :class:`HealthCheck`.
    """

    name: str
    port: int
    check_port: int
    backup: bool = False


class HAProxy:
    """HAProxy on ``port``, before *backends*; it ends the sessions of a server that is marked down.

    Its statistics are at ``socket``.

    :param directory: an existing directory for its configuration and log.
    :param balance: how connections are spread over servers that are up and not backups.
    :param lines: further lines of its section, for example ``stick on dst``.
    :raises RuntimeError: when the program is not installed.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        backends: Sequence[Backend],
        *,
        balance: str = "leastconn",
        lines: Sequence[str] = (),
    ) -> None:
        program = shutil.which("haproxy", path=os.pathsep.join([os.environ["PATH"], *SERVER_PATH]))
        if program is None:
            raise RuntimeError("haproxy is not installed: apt-get install haproxy")
        (self.port,) = free_ports(1)
        # The path of a socket may have 107 bytes.
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="haproxy-"))
        self.socket = self._folder / "stats"
        settings = SETTINGS.format(socket=self.socket, host=LOCALHOST, port=self.port, balance=balance)
        config = directory / "haproxy.cfg"
        config.write_text(settings + "".join(f"    {line}\n" for line in (*lines, *map(_line, backends))))
        self._process = Process([program, "-db", "-f", config], directory / "haproxy.log")
        try:
            wait_until(self._answers, what="HAProxy answers")
        except AssertionError:
            self.close()
            raise RuntimeError(f"haproxy: {self._process.text()[-3000:]}") from None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.states())
        return False

    def ask(self, command: str) -> str:
        """Return what the stats socket answers to *command*, for example ``disable server database/a``."""
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(10)
            end.connect(str(self.socket))
            end.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: end.recv(65536), b"")).decode()

    def _rows(self) -> list[dict[str, str]]:
        lines = self.ask("show stat").removeprefix("# ").splitlines()
        rows = csv.DictReader(line for line in lines if line)
        return [row for row in rows if row["svname"] not in ("FRONTEND", "BACKEND")]

    def states(self) -> dict[str, str]:
        """Return ``UP`` or ``DOWN`` by server, without how many checks are still to pass."""
        return {row["svname"]: row["status"].split()[0] for row in self._rows()}

    def sessions(self) -> dict[str, int]:
        """Return the number of open sessions by server."""
        return {row["svname"]: int(row["scur"]) for row in self._rows()}

    def wait_for(self, timeout: float = 60.0, **states: str) -> None:
        """Wait until servers have *states*, for example ``wait_for(a=DOWN, b=UP)``."""
        wait_until(lambda: states.items() <= self.states().items(), timeout, f"HAProxy finds {states}")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def _line(backend: Backend) -> str:
    role = " backup" if backend.backup else ""
    return f"server {backend.name} {LOCALHOST}:{backend.port} check port {backend.check_port}{role}"
