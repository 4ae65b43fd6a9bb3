"""Options that can never work, and what the commands print about guests."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
from typing import Any

import pytest

from eventalarm.cmd import guest_monitor
from eventalarm.guest import listing
from eventalarm.guest.metadata import GuestSettings
from eventalarm.guest.tracker import Check, GuestState
from tests.support.guests import domain_xml, instance_id
from tests.support.helpers import write_config

AT = datetime.datetime(2026, 11, 20, 23, 1, 36, tzinfo=datetime.UTC)
GUEST = GuestSettings("i-1", "vm-1", "instance-1", "p-1", "m1", 30.0, 5.0, 2, False, True)


def configured(folder: pathlib.Path, **options: Any) -> list[str]:
    values = {"uri": f"dir://{folder}", "auth_mode": "noauth", "endpoint": "http://127.0.0.1:9", **options}
    return ["--config-file", str(write_config(folder / "guest.conf", {"eventalarm_guest": values}))]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"endpoint": ""},
            "[eventalarm_guest] endpoint: auth_mode = noauth knows no service catalog; set the URL",
        ),
        (
            {"auth_mode": "keystone"},
            "[service_credentials] auth_type: is not set; set it, or auth_mode = noauth",
        ),
        ({"flavors": "m1.* x=1"}, "[eventalarm_guest] flavors: 'm1.* x=1' has the unknown setting 'x'"),
        (
            {"health_command": "'a"},
            "[eventalarm_guest] health_command: No closing quotation; quote its words",
        ),
        ({"spool_directory": "/proc/x"}, "[eventalarm_guest] spool_directory: /proc/x: "),
        ({"interval": 0.5}, "[eventalarm_guest] interval: "),
    ],
)
def test_an_option_that_cannot_work_is_named(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        guest_monitor.main(configured(tmp_path, **options))
    assert ended.value.code == 2
    assert f"eventalarm-guest-monitor: error: {message}" in capsys.readouterr().err


def test_the_list_needs_neither_credentials_nor_a_running_monitor(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vm-1.xml").write_text(domain_xml(specs={"eventalarm:guest_heartbeat": "often"}))
    (tmp_path / "vm-2.xml").write_text(domain_xml("vm-2"))
    options = configured(tmp_path, auth_mode="keystone", spool_directory=tmp_path / "none")
    assert guest_monitor.main(["list", "--json", *options]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["instance_id"], one["state"], one["interval"]) == (instance_id("vm-1"), "unknown", 30.0)


@pytest.mark.parametrize(
    ("known", "running", "state", "reason"),
    [
        (None, True, "unknown", "the agent has not answered yet"),
        (GuestState(AT, answered=True), True, "ok", ""),
        (GuestState(AT), False, "stopped", ""),
        (GuestState(AT, faults={Check.CRASH: AT}), False, "failed", "crash since 2026-11-20T23:01:36Z"),
    ],
)
def test_a_row_says_what_is_known_of_a_guest(
    known: GuestState | None, running: bool, state: str, reason: str
) -> None:
    row = listing.stored_row(GUEST, known, running)
    assert (row.state, row.reason) == (state, reason)


def test_the_table_has_no_control_characters_of_tenants() -> None:
    named = dataclasses.replace(GUEST, name="vm\x1b[31m\n")
    text = listing.as_text([listing.row(named, "failed", "no answer")])
    assert "vm?[31m?" in text.splitlines()[1]
    assert text.replace("\n", "").isprintable()
    assert "no guest is watched" in listing.as_text([])
