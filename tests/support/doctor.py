"""A cloud for Doctor's scenarios: reports of inspector, Nova and an admin tool; webhooks of owners."""

from __future__ import annotations

import datetime
import pathlib
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import oslo_messaging

from tests.support.cloud import Cloud, Spawn, load_notification
from tests.support.definitions import merged
from tests.support.engine_harness import alarm_row, insert_alarms
from tests.support.helpers import WebhookSink, console_script, write_config
from tests.support.ingest_api import report, send
from tests.support.telemetry import agent_command, ceilometer_options, notify

ADMINS = "admins"
SERVICE = {"X-Project-Id": ADMINS, "X-User-Id": "inspector", "X-Roles": "service"}
TOPICS = "notifications,versioned_notifications"

# The alarms of the administrator, from the pages of the scenarios.
HOST_RULE: dict[str, Any] = {
    "event_type": ["compute.host.down", "compute.host.up", "service.update"],
    "query": {
        "or": [
            {
                "and": [
                    {"field": "event_type", "value": "compute.host.down"},
                    {"field": "traits.status", "value": "down"},
                    {"field": "traits.instance_id", "op": "exists", "value": False},
                ]
            },
            {
                "and": [
                    {"field": "traits.binary", "value": "nova-compute"},
                    {"field": "traits.forced_down", "value": "True"},
                ]
            },
        ]
    },
    "clear": {
        "query": {
            "or": [
                {
                    "and": [
                        {"field": "traits.status", "value": "up"},
                        {"field": "traits.instance_id", "op": "exists", "value": False},
                    ]
                },
                {
                    "and": [
                        {"field": "traits.binary", "value": "nova-compute"},
                        {"field": "traits.forced_down", "value": "False"},
                    ]
                },
            ]
        }
    },
    "group_by": ["hostname", "service_id"],
}
# The alarms of the owner of a server.
SERVER_RULE: dict[str, Any] = {
    "event_type": ["compute.host.down", "compute.host.up", "compute.instance.update"],
    "query": {
        "or": [
            {
                "and": [
                    {"field": "event_type", "value": "compute.host.down"},
                    {"field": "traits.status", "value": "down"},
                    {"field": "traits.instance_id", "op": "exists", "value": True},
                ]
            },
            {
                "and": [
                    {"field": "event_type", "value": "compute.instance.update"},
                    {"field": "traits.state", "value": "error"},
                ]
            },
        ]
    },
    "clear": {
        "query": {
            "or": [
                {
                    "and": [
                        {"field": "event_type", "value": "compute.host.up"},
                        {"field": "traits.status", "value": "up"},
                    ]
                },
                {
                    "and": [
                        {"field": "event_type", "value": "compute.instance.update"},
                        {"field": "traits.state", "value": "active"},
                        {"field": "traits.old_state", "op": "exists", "value": True},
                        {"field": "traits.old_state", "op": "ne", "value": "active"},
                    ]
                },
            ]
        }
    },
    "group_by": ["instance_id", "hostname"],
}
MAINTENANCE_RULE: dict[str, Any] = {
    "event_type": "maintenance.scheduled",
    "query": [
        {"field": "traits.state", "op": "ne", "type": "string", "value": "MAINTENANCE_COMPLETE"},
    ],
}
MAINTENANCE_HOST_RULE: dict[str, Any] = {
    "event_type": "maintenance.host",
    "query": [{"field": "traits.state", "value": "IN_MAINTENANCE"}],
    "clear": {"query": [{"field": "traits.state", "value": "MAINTENANCE_COMPLETE"}]},
    "group_by": ["host", "session_id"],
}


class Doctor:
    """Listener, ingest API and ``ceilometer-agent-notification`` as processes of their own.

    Every alarm calls ``/PATH`` on the sink when it is raised and ``/PATH/ok`` when it is cleared.
    """

    def __init__(
        self, spawn: Spawn, folder: pathlib.Path, database_url: str, transport_url: str, sink: WebhookSink
    ) -> None:
        self.sink = sink
        self.cloud = Cloud(
            spawn,
            folder,
            database_url,
            transport_url,
            # One worker, so that the evaluation of the last event implies that of all before it.
            eventalarm={"infrastructure_projects": ADMINS, "workers": 1},
            eventalarm_ingest={"auth_mode": "noauth", "port": 0},
        )
        self.listener = self.cloud.start_listener(wait=False)
        ingest = spawn([console_script("eventalarm-ingest-api"), "--config-file", self.cloud.conf_path])
        # The documented configuration, in a file that only the notification agent reads.
        config_dir = folder / ".ceilometer" / "ceilometer-agent-notification.conf.d"
        config_dir.mkdir(parents=True)
        added: dict[str, dict[str, Any]] = {
            "event": {"definitions_cfg_file": merged(folder)},
            "oslo_messaging_notifications": {"topics": TOPICS},
        }
        write_config(config_dir / "eventalarm.conf", added)
        command = agent_command(folder, transport_url, ["eventalarm://"])
        agent = spawn(command, {"HOME": str(folder)})
        self._bus = oslo_messaging.get_notification_transport(ceilometer_options(transport_url))
        self.ingest_url = ingest.wait_for_log(r"Serving on (http://\S+)")[1]
        self.listener.wait_for_log("Listening on topic")
        agent.wait_for_log("Publishing events to")

    def watch(self, rule: Mapping[str, Any], owners: Mapping[str, str], **columns: Any) -> dict[str, str]:
        """Insert one alarm for each path and project of *owners*; return the alarms' ids by path."""
        rows = {
            path: alarm_row(
                rule=dict(rule) | ({"resource_id": path} if rule is SERVER_RULE else {}),
                type="event" if rule is MAINTENANCE_RULE else "notification",
                project_id=project,
                name=path,
                alarm_actions=[self.sink.url(f"/{path}")],
                ok_actions=[self.sink.url(f"/{path}/ok")],
                **columns,
            )
            for path, project in owners.items()
        }
        insert_alarms(self.cloud.database, *rows.values())
        return {path: row["alarm_id"] for path, row in rows.items()}

    def report(self, *reports: Mapping[str, Any]) -> None:
        """Send reports to the ingest API in one request, as an inspector does."""
        status, answer = send(f"{self.ingest_url}/v1/events", {"events": list(reports)}, **SERVICE)
        assert (status, answer["accepted"]) == (202, len(reports)), answer

    def host(self, status: str, host: str, owners: Mapping[str, str]) -> Mapping[str, float]:
        """Report that a host is down or up: once for administrators, and for each server and its owner.

        Return the time of each report (that for administrators under ``""``).
        """
        begun = time.monotonic()
        at, kind = datetime.datetime.now(datetime.UTC), f"compute.host.{status}"
        about = {"hostname": host, "status": status, "severity": "critical"}
        servers = [
            report(kind, at, **about, instance_id=server, project_id=project)
            for server, project in owners.items()
        ]
        self.report(report(kind, at, **about), *servers)
        return dict.fromkeys(["", *owners], begun)

    def nova(self, down: bool, host: str, owners: Mapping[str, str]) -> Mapping[str, float]:
        """Publish Nova's notifications when a host is forced down and its servers are reset, or the opposite.

        Return the time of each server's notification, and that of the host under ``""``.
        """
        begun = {"": time.monotonic()}
        forced = load_notification("nova-service.update-forced-down.json")
        data = {**forced["payload"]["nova_object.data"], "host": host, "forced_down": down}
        forced["payload"] = {**forced["payload"], "nova_object.data": data}
        self.notify(forced, topic="versioned_notifications")
        for server, project in owners.items():
            notification = load_notification("nova-compute.instance.update-error.json")
            state = {"state": "error" if down else "active", "old_state": "active" if down else "error"}
            notification["payload"] |= {"instance_id": server, "tenant_id": project, "host": host, **state}
            begun[server] = time.monotonic()
            self.notify(notification)
        return begun

    def tell(self, event_type: str, exchange: str = "fenix", **payload: Any) -> None:
        """Publish the notification of an admin tool on its own exchange."""
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        said = {
            "message_id": str(uuid.uuid4()),
            "event_type": event_type,
            "payload": payload,
            "priority": "INFO",
            "publisher_id": "admin-tool.controller",
            "timestamp": str(now),
        }
        self.notify(said, exchange)

    def notify(self, notification: Mapping[str, Any], exchange: str = "nova", **more: Any) -> None:
        """Put a notification on the bus."""
        notify(self._bus, notification, exchange, **more)

    def latencies(
        self, begun: Mapping[str, float], paths: Mapping[str, str], count: int, timeout: float = 30.0
    ) -> list[float]:
        """Return the milliseconds, sorted, from *begun* to webhook number *count* at each of *paths*.

        *paths* and *begun* have the same keys.
        """
        return sorted(
            (self.sink.wait(count, f"/{path}", timeout)[count - 1].tick - begun[about]) * 1000
            for about, path in paths.items()
        )

    def close(self) -> None:
        """Close the connections."""
        self._bus.cleanup()
        self.cloud.close()


def described(latencies: Sequence[float]) -> str:
    """Return p50, p99 and the longest of sorted milliseconds."""
    p99 = latencies[min(len(latencies) - 1, round(0.99 * (len(latencies) - 1)))]
    return f"p50 {latencies[len(latencies) // 2]:.0f} ms, p99 {p99:.0f} ms, max {latencies[-1]:.0f} ms"
