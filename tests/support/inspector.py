"""Inspectors for tests: processes of eventalarm-inspector, and the events by which they learn of servers."""

from __future__ import annotations

import datetime
import json
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from eventalarm.inspector import status
from tests.support.cloud import Cloud, Spawn, make_event
from tests.support.helpers import Process, wait_until, write_config


class Inspectors:
    """Starts inspectors on the configuration of a cloud, with *options* of ``[eventalarm_inspector]``."""

    def __init__(self, spawn: Spawn, folder: pathlib.Path, of: Cloud, **options: Any) -> None:
        self._spawn = spawn
        self._cloud = of
        self._file = folder / "inspector.conf"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._options: dict[str, Any] = {}
        self._started: list[Process] = []
        self.use(**options)

    def use(self, **options: Any) -> Inspectors:
        """Use these options from now on; inspectors that run with others are ended."""
        given = {"snapshot_interval": 0, **options}
        if given != self._options:
            for process in self._started:
                process.close()
            self._started, self._options = [], given
            write_config(self._file, {"eventalarm_inspector": given})
        return self

    def _command(self, *words: str) -> list[str]:
        # The module, so that a script that is not installed yet does not matter.
        files = ["--config-file", str(self._cloud.conf_path), "--config-file", str(self._file)]
        return [sys.executable, "-m", "eventalarm.cmd.inspector", *words, *files]

    def start(self, env: Mapping[str, str] | None = None) -> Process:
        """Start one, and return when it consumes events."""
        process = self._spawn(self._command(), env)
        process.wait_for_log("Consuming from queue")
        self._started.append(process)
        return process

    def running(self, env: Mapping[str, str] | None = None) -> Process:
        """Return one that runs; start it if there is none."""
        started = (process for process in self._started if process.popen.poll() is None)
        return next(started, None) or self.start(env)

    def status(self) -> tuple[int, dict[str, Any]]:
        """Return the exit code and the output of ``eventalarm-inspector status --json``."""
        done = subprocess.run(
            [*self._command("status"), "--json"], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, found

    def stale(self, stale_after: float) -> bool:
        """Return True if the map is too old, as the command ``status`` does, but without a process."""
        return status.look(self._cloud.database, self._cloud.database.now(), stale_after).stale

    def where(self, names: list[str]) -> dict[str, str]:
        """Return the hosts of resources that the map has."""
        rows = self._cloud.rows("SELECT resource_id, host FROM eventalarm_resource")
        return {row["resource_id"]: row["host"] for row in rows if row["resource_id"] in set(names)}

    def place(self, host: str, owners: Mapping[str, str], at: datetime.datetime | None = None) -> None:
        """Let Nova say that servers run on a host; return when the inspectors have recorded it."""
        events = [server_event(name, project, host, at) for name, project in owners.items()]
        self._cloud.publish(*events)
        names = list(owners)
        wait_until(lambda: self.where(names) == dict.fromkeys(names, host), 30, f"{len(names)} on {host}")


def server_event(
    name: str, project: str, host: str, at: datetime.datetime | None = None, **traits: Any
) -> dict[str, Any]:
    """Return an event of Nova about a server, as eventalarm's event definitions make it."""
    return make_event(name, "active", project=project, generated=at, compute_host=host, node=host, **traits)
