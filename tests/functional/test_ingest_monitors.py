"""Alerts of monitors through the real ingest API and a real listener to the webhooks of owners.

No monitor is installed: the bodies are those that their documentation and source define
(``tests/support/monitors.py``).
"""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from tests.functional.conftest import Spawn
from tests.support.cloud import Cloud
from tests.support.doctor import ADMINS, HOST_RULE, SERVICE
from tests.support.engine_harness import alarm_row, insert_alarms
from tests.support.helpers import WebhookSink, console_script
from tests.support.ingest_api import send
from tests.support.monitors import ENDED, alert, alertmanager, collectd, zabbix

NIC_RULE: dict[str, Any] = {
    "event_type": "compute.host.nic",
    "query": [{"field": "traits.status", "value": "failed"}],
    "clear": {"query": [{"field": "traits.status", "value": "ok"}]},
    "group_by": ["hostname"],
}
DISK_RULE: dict[str, Any] = {**NIC_RULE, "event_type": "compute.host.disk"}
OWNER_RULE: dict[str, Any] = {**NIC_RULE, "event_type": "vnf.*"}


class Monitored:
    """The ingest API and a listener as processes; alarms call ``/PATH`` and ``/PATH/ok`` on the sink."""

    def __init__(
        self, spawn: Spawn, folder: pathlib.Path, database_url: str, rabbit_url: str, sink: WebhookSink
    ) -> None:
        self.sink = sink
        ingest_options = {"auth_mode": "noauth", "port": 0, "alert_event_types": "VnfSlow:vnf.slow"}
        self._cloud = Cloud(
            spawn,
            folder,
            database_url,
            rabbit_url,
            eventalarm={"infrastructure_projects": ADMINS, "workers": 1},
            eventalarm_ingest=ingest_options,
        )
        self._cloud.start_listener(wait=False).wait_for_log("Listening on topic")
        process = spawn([console_script("eventalarm-ingest-api"), "--config-file", self._cloud.conf_path])
        self._url = process.wait_for_log(r"Serving on (http://\S+)")[1]

    def watch(self, path: str, rule: dict[str, Any], project: str) -> None:
        """Insert an alarm."""
        urls: dict[str, Any] = {
            f"{state}_actions": [self.sink.url(end)] for state, end in _paths(path).items()
        }
        row = alarm_row(rule=rule, type="notification", project_id=project, name=path, **urls)
        insert_alarms(self._cloud.database, row)

    def send(self, monitor: str, body: Any) -> list[str]:
        """Post *body* as *monitor* does and return the ids of the events."""
        status, answer = send(f"{self._url}/v1/{monitor}", body, **SERVICE)
        assert status == 202, answer
        ids: list[str] = answer["message_ids"]
        return ids

    def called(self, path: str) -> dict[str, Any]:
        """Return the event in the only webhook at *path*."""
        (hook,) = self.sink.wait(1, path)
        event: dict[str, Any] = hook.json["reason_data"]["event"]
        return event

    def settle(self) -> list[str]:
        """Return the paths of all webhooks once everything sent is evaluated and delivered."""
        self.send("alertmanager", alertmanager(alert("VnfSlow", project_id="marker", instance="m:1")))
        self.sink.wait(1, "/marker")
        self._cloud.settle()
        return sorted(request.path for request in self.sink.requests)

    def close(self) -> None:
        """Close the connections."""
        self._cloud.close()


def _paths(path: str) -> dict[str, str]:
    return {"alarm": f"/{path}", "ok": f"/{path}/ok"}


@pytest.fixture
def monitored(
    spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str, webhook_sink: WebhookSink
) -> Any:
    one = Monitored(spawn, tmp_path, our_mariadb_url, rabbit_url, webhook_sink)
    one.watch("admin", HOST_RULE, ADMINS)
    one.watch("stranger", HOST_RULE, "stranger")
    one.watch("nic", NIC_RULE, ADMINS)
    one.watch("disk", DISK_RULE, ADMINS)
    one.watch("owner", OWNER_RULE, "project-a")
    one.watch("marker", OWNER_RULE, "marker")
    yield one
    one.close()


def test_alerts_raise_and_clear_the_alarms_of_their_owners(monitored: Monitored) -> None:
    """Fails when labels do not name owner and host, when the end does not clear, and without a stable id."""
    owned = alert("VnfSlow", project_id="project-a")
    first = monitored.send("alertmanager", alertmanager(alert(), owned))
    raised = [monitored.called(path) for path in ("/admin", "/owner")]
    assert [one["message_id"] for one in raised] == first
    assert [one["event_type"] for one in raised] == ["compute.host.down", "vnf.slow"]

    # One webhook of Alertmanager with an alert that began and another that ended; and all of it again.
    mixed = alertmanager(alert("NodeRAIDDegraded"), alert(ended=True), {**owned, **_ended()})
    assert monitored.send("alertmanager", mixed) == monitored.send("alertmanager", mixed)
    changed = [monitored.called(path) for path in ("/disk", "/admin/ok", "/owner/ok")]
    assert [one["event_type"] for one in changed] == ["compute.host.disk", "compute.host.up", "vnf.slow"]
    assert monitored.send("alertmanager", alertmanager(alert(), owned)) == first

    monitored.send("collectd", collectd())
    assert monitored.called("/nic")["event_type"] == "compute.host.nic"
    monitored.send("collectd", collectd("OKAY", ENDED))
    assert monitored.called("/nic/ok")["message_id"]

    monitored.send("zabbix", zabbix(host="compute2"))
    monitored.send("zabbix", zabbix(True, host="compute2"))
    expected = ["/admin", "/admin", "/admin/ok", "/admin/ok", "/disk"]
    assert monitored.settle() == [*expected, "/marker", "/nic", "/nic/ok", "/owner", "/owner/ok"]


def _ended() -> dict[str, Any]:
    return {"status": "resolved", "endsAt": ENDED}
