"""A compute node: ``eventalarm-guest-monitor``, the ingest API and a listener, each in its own process."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import subprocess
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.support.cloud import Cloud, Spawn
from tests.support.doctor import ADMINS
from tests.support.engine_harness import alarm_row, insert_alarms
from tests.support.guests import Agents
from tests.support.helpers import Process, WebhookSink, console_script, wait_until, write_config

HOST = "compute-7"
# The rule of the scenario, and that of the administrator who awaits the beat.
GUEST_RULE: dict[str, Any] = {
    "event_type": ["health.*", "guest.*"],
    "query": [
        {"field": "traits.state", "value": "failed"},
        {"field": "traits.instance_id", "op": "exists", "value": True},
    ],
    "clear": {
        "query": [
            {"field": "traits.state", "value": "ok"},
            {"field": "traits.instance_id", "op": "exists", "value": True},
        ]
    },
    "group_by": ["instance_id", "check"],
}
BEAT_RULE: dict[str, Any] = {
    "event_type": "guest.monitor.beat",
    "query": [{"field": "traits.state", "value": "ok"}],
    "absence": {"after": 3},
    "group_by": ["host"],
}


class ComputeNode:
    """The services; *interval* is that of the guests, in seconds."""

    def __init__(
        self,
        spawn: Spawn,
        folder: pathlib.Path,
        database_url: str,
        transport_url: str,
        sink: WebhookSink,
        *,
        interval: float = 2.0,
        timeout: float = 0.5,
        uri: str = "",
        **options: Any,
    ) -> None:
        self.sink = sink
        self._spawn = spawn
        (folder / "guests").mkdir()
        self.agents = Agents(folder / "guests")
        self.spool = folder / "spool"
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self._port = taken.getsockname()[1]
        self.cloud = Cloud(
            spawn,
            folder,
            database_url,
            transport_url,
            eventalarm={"infrastructure_projects": ADMINS, "workers": 1},
            eventalarm_ingest={"auth_mode": "noauth", "port": self._port},
        )
        self._conf = write_config(
            folder / "guest.conf",
            {
                "eventalarm_guest": {
                    "uri": uri or self.agents.uri,
                    "host": HOST,
                    "interval": interval,
                    "timeout": timeout,
                    "startup_grace": 0,
                    "refresh_interval": 1,
                    "beat_interval": 1,
                    "auth_mode": "noauth",
                    "endpoint": f"http://127.0.0.1:{self._port}",
                    "request_timeout": 2,
                    "spool_directory": self.spool,
                    **options,
                }
            },
        )
        self.listener = self.cloud.start_listener(wait=False)
        self.start_api(wait=False)
        self.listener.wait_for_log("Listening on topic")
        self.api.wait_for_log("Serving on")

    def start_api(self, *, wait: bool = True) -> None:
        """Start the ingest API on its port."""
        command = [console_script("eventalarm-ingest-api"), "--config-file", self.cloud.conf_path]
        self.api: Process = self._spawn(command)
        if wait:
            self.api.wait_for_log("Serving on")

    def start_monitor(self, **environment: str) -> Process:
        """Start the monitor; return once it watches."""
        command = [console_script("eventalarm-guest-monitor"), "--config-file", self._conf]
        self.monitor: Process = self._spawn(command, env=environment)
        self.monitor.wait_for_log("Watching")
        return self.monitor

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command with its configuration until it ends."""
        command = [console_script("eventalarm-guest-monitor"), *words, "--config-file", str(self._conf)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def watch(self, projects: Iterable[str], rule: dict[str, Any] = GUEST_RULE) -> None:
        """Insert an alarm for each project; it calls ``/PROJECT``, and ``/PROJECT/ok`` when it clears."""
        rows = [
            alarm_row(
                rule=rule,
                type="notification",
                project_id=project,
                name=project,
                alarm_actions=[self.sink.url(f"/{project}")],
                ok_actions=[self.sink.url(f"/{project}/ok")],
            )
            for project in projects
        ]
        insert_alarms(self.cloud.database, *rows)

    def calls(self) -> dict[str, int]:
        """Return the number of webhooks so far at each path."""
        return dict(Counter(request.path for request in list(self.sink.requests)))

    def traits(self, path: str) -> dict[str, Any]:
        """Return the traits of the event in the last webhook at *path*."""
        event = self.sink.at(path)[-1].json["reason_data"]["event"]
        return {name: value for name, _, value in event["traits"]} | {"event_type": event["event_type"]}

    def wait_for_spool(self, *events: tuple[str, str]) -> None:
        """Wait until the spool has *events*, each a type and a project; without them, until it is empty."""

        def spooled() -> bool:
            found = [json.loads(path.read_bytes()) for path in self.spool.glob("*.event")]
            waiting = {
                (one["event_type"], value)
                for one in found
                for name, _, value in one["traits"]
                if name == "project_id"
            }
            return waiting >= set(events) if events else not waiting

        def looked() -> bool:
            # An event that is sent meanwhile is removed.
            with contextlib.suppress(FileNotFoundError):
                return spooled()
            return False

        wait_until(looked, 20, f"{events} in the spool")

    def close(self) -> None:
        self.agents.close()
        self.cloud.close()
