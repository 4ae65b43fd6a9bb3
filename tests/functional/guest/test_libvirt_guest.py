"""A real guest with a real agent in QEMU, under libvirt; a web server stands in for the ingest API."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.conftest import Spawn
from tests.support.helpers import WebhookSink, console_script, wait_until, write_config
from tests.support.libvirt_guest import LibvirtGuest, needs_libvirt

pytestmark = needs_libvirt
SPECS = {"eventalarm:guest_heartbeat": "4", "eventalarm:guest_timeout": "1", "hw:cpu_policy": "shared"}


@pytest.fixture
def guest(tmp_path: pathlib.Path) -> Iterator[LibvirtGuest]:
    one = LibvirtGuest(tmp_path, "vm-1", "project-1", SPECS)
    yield one
    one.close()


def test_a_guest_of_libvirt_hangs_is_paused_and_loses_its_hypervisor(
    guest: LibvirtGuest, spawn: Spawn, tmp_path: pathlib.Path, webhook_sink: WebhookSink
) -> None:
    """Red when a pause counts as silence, and when a killed QEMU is not a crash."""
    webhook_sink.behave("/v1/events", statuses=[202], body=b"{}")
    options = {
        "uri": guest.uri,
        "host": "compute-7",
        "auth_mode": "noauth",
        "endpoint": webhook_sink.url().rstrip("/"),
        "spool_directory": tmp_path / "spool",
        "beat_interval": 1,
    }
    guest.start()
    conf = write_config(tmp_path / "guest.conf", {"eventalarm_guest": options})
    monitor = spawn([console_script("eventalarm-guest-monitor"), "--config-file", conf])
    monitor.wait_for_log("Watching 1 guests")

    def reported() -> list[tuple[str, dict[str, Any]]]:
        sent = [event for request in webhook_sink.at("/v1/events") for event in request.json["events"]]
        named = [(one["event_type"], {name: value for name, _, value in one["traits"]}) for one in sent]
        return [one for one in named if one[0] != "guest.monitor.beat"]

    def wait_for(number: int) -> tuple[str, dict[str, Any]]:
        return wait_until(lambda: reported()[number - 1] if len(reported()) >= number else None, 30)

    states = tmp_path / "spool/guests.json"
    wait_until(
        lambda: states.exists() and '"answered":true' in states.read_text(), 60, "the guest's first answer"
    )
    guest.suspend()
    guest.resume()
    guest.hang(4.5)
    kind, traits = wait_for(1)
    assert (kind, traits["project_id"], traits["instance_id"]) == (
        "guest.heartbeat.lost",
        "project-1",
        guest.instance_id,
    )
    assert wait_for(2)[0] == "guest.heartbeat.restored"
    guest.kill()
    kind, traits = wait_for(3)
    assert (kind, traits["severity"], traits["host"]) == ("guest.crashed", "critical", "compute-7")
    guest.start()
    assert wait_for(4)[0] == "guest.started"
    assert len(reported()) == 4
    monitor.popen.terminate()
    assert monitor.wait(20) == 0
