"""The playbook of the documentation, run by Ansible against Aodh's API."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Mapping

from tests.functional.conftest import Spawn
from tests.support.cloud import PROJECT, USER, Cloud
from tests.support.helpers import console_script
from tests.support.orchestration import documented

TOKEN = 'headers: {X-Auth-Token: "{{ token }}"}'
# Aodh's API without Keystone reads the caller from the headers that keystonemiddleware would set.
CALLER = f"headers: {{X-Project-Id: {PROJECT}, X-User-Id: {USER}, X-Roles: 'member,reader'}}"


def play(playbook: pathlib.Path, values: Mapping[str, str]) -> str:
    """Run a playbook; return its summary."""
    done = subprocess.run(
        [
            console_script("ansible-playbook"),
            *("--inventory", "localhost,", "--connection", "local", str(playbook)),
            *(word for name, value in values.items() for word in ("-e", f"{name}={value}")),
        ],
        env={"HOME": str(playbook.parent), "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return next(line for line in done.stdout.splitlines() if line.startswith("localhost "))


def test_the_playbook_creates_one_alarm_and_changes_it(
    spawn: Spawn, tmp_path: pathlib.Path, our_sqlite_url: str
) -> None:
    cloud = Cloud(spawn, tmp_path, our_sqlite_url, "fake://")
    cloud.start_api()
    text = documented(1)
    assert text.count(TOKEN) == 1
    playbook = tmp_path / "alarms.yaml"
    playbook.write_text(text.replace(TOKEN, CALLER))
    values = {"aodh": cloud.api_url, "webhook": "http://a/", "ansible_python_interpreter": sys.executable}
    assert "changed=1 " in play(playbook, values)
    (made,) = cloud.client().alarm.list()
    assert (made["name"], made["severity"], made["ok_actions"]) == (
        "server-failed",
        "critical",
        ["http://a/"],
    )
    assert made["notification_rule"]["group_by"] == ["instance_id"]

    playbook.write_text(playbook.read_text().replace("severity: critical", "severity: low"))
    assert "changed=0 " in play(playbook, values)
    (changed,) = cloud.client().alarm.list()
    assert (changed["alarm_id"], changed["severity"]) == (made["alarm_id"], "low")
    cloud.close()
