"""The keeper of a service: a child process that runs a server and ends it when its input closes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

import psutil
from pifpaf.drivers import Driver

LOCALHOST = "127.0.0.1"
SERVER_PATH = ["/usr/sbin", "/usr/libexec", "/usr/lib/rabbitmq/bin", "/usr/local/sbin"]


def free_ports(count: int) -> list[int]:
    """Return ports that are not in use."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOCALHOST, 0))
        return [one.getsockname()[1] for one in sockets]


def kill_all(processes: list[psutil.Process]) -> None:
    """Kill processes, and wait until they have ended."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


# Servers that need no clean end.
KILLED_AT_END = ("rabbitmq", "rabbitmq-cluster", "mariadb", "stepped-mariadb", "galera")


def keep(servers: Mapping[str, type[Driver]], name: str) -> None:
    """Keep the server *name* of *servers*: start it, obey standard input, and end it when that closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A server that runs as another user must be able to enter its working directory.
    os.chdir("/")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**result: Any) -> None:
        answers.write(json.dumps(result) + "\n")
        answers.flush()

    try:
        with servers[name]() as service:
            answer(result=service.info())
            for line in sys.stdin:
                verb, *arguments = json.loads(line)
                try:
                    answer(result=getattr(service, verb)(*arguments))
                except Exception as exc:  # noqa: BLE001 - whatever failed, the test must learn of it
                    answer(error=repr(exc))
            if name in KILLED_AT_END:
                # Its data is not needed any more, and a clean end takes seconds. It may be dead already.
                with contextlib.suppress(KeyError):
                    service.kill()
    except Exception as exc:  # noqa: BLE001 - as above
        answer(error=repr(exc))
