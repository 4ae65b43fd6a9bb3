"""Events that resemble a recovery clear nothing after the fault of a page; the real recovery does."""

from __future__ import annotations

import copy
import json
import pathlib
from typing import Any

import pytest

from eventalarm.storage.database import connect
from tests.support.definitions import Converter
from tests.support.doctor import HOST_RULE, MAINTENANCE_HOST_RULE, MAINTENANCE_RULE, SERVER_RULE
from tests.support.engine_harness import create_schemas
from tests.support.scenarios import PAGES, Scenario, blocks


def changed(block: str, **changes: Any) -> tuple[str, dict[str, Any]]:
    """A near miss is the page's *block* with other values, at paths with ``__`` between the names."""
    return block, changes


SERVICE = "payload__nova_object.data__"
MISSES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "server-failed": [
        changed("recovery", payload__instance_id="vm-2"),
        changed("recovery", payload__state="building"),
        changed("recovery", payload__old_state="active"),
        changed("recovery", payload__old_state=None),
        # From a compute host that does not yet know that the state was reset.
        changed("recovery", event_type="compute.instance.power_on.end"),
        changed("recovery", event_type="compute.instance.exists", payload__old_state=None),
    ],
    "host-down": [
        # Nova's state of the host does not end the inspector's fault.
        changed("recovery-nova"),
        changed("recovery-nova", **{f"{SERVICE}disabled": True}),
        changed("recovery", event__details__hostname="compute1"),
        changed("recovery", event__type="compute.host.nic"),
        changed("recovery", event__details__status="degraded"),
        # Another server works again.
        changed("recovery", event__details__instance_id="vm-1"),
    ],
    "host-down/fault-nova": [
        changed("recovery"),
        changed("recovery-nova", **{f"{SERVICE}binary": "nova-scheduler", f"{SERVICE}uuid": "s-2"}),
        changed("recovery-nova", **{f"{SERVICE}binary": "nova-scheduler", f"{SERVICE}disabled": True}),
        # A host of the same name in another cell.
        changed("recovery-nova", **{f"{SERVICE}uuid": "s-3"}),
        changed("recovery-nova", **{f"{SERVICE}host": "compute1", f"{SERVICE}uuid": "s-4"}),
        # Disabled beside being forced down, and deleted.
        changed("fault-nova", **{f"{SERVICE}disabled": True}),
        changed("recovery-nova", event_type="service.delete"),
        changed("recovery-nova", event_type="service.create", **{f"{SERVICE}uuid": "s-5"}),
    ],
    "port-down": [
        changed("recovery", payload__port__id="port-2"),
        changed("recovery", payload__port__data_plane_status="DOWN", payload__port__name="new"),
        changed("recovery", payload__port__data_plane_status=None),
        changed("recovery", event_type="port.update.start", payload={"port": {"name": "x"}, "id": "port-1"}),
        changed("recovery", event_type="port.delete.end"),
    ],
    "volume-failed": [
        changed("recovery", payload__backup_id="backup-2"),
        changed("recovery", payload__status="creating"),
        changed("recovery", payload__status="error_deleting"),
        # The volume that should have been saved is healthy, as it always was.
        changed("recovery", event_type="volume.update.end", payload__backup_id=None),
        changed("recovery", event_type="snapshot.create.end", payload__snapshot_id="snap-1"),
    ],
    "maintenance": [
        changed("recovery", payload__session_id="session-2"),
        changed("recovery", event_type="maintenance.host", payload__host="compute0"),
    ],
    "guest-unhealthy": [
        changed("recovery", event__details__instance_id="vm-2"),
        changed("recovery", event__details__check="watchdog"),
        changed("recovery", event__details__state="unknown"),
        changed("recovery", event__details__project_id="another"),
        changed("recovery", event__details__instance_id=None),
    ],
    "hardware": [
        changed("recovery", event__details__component="cpu2"),
        changed("recovery", event__details__hostname="compute1"),
        changed("recovery", event__details__sensor="CPU1 VRM"),
        changed("recovery", event__type="compute.host.processor"),
        changed("recovery", event__type="compute.host.up", event__details__status="up"),
        changed("recovery", event__details__status="degraded"),
        changed("recovery", event__details__instance_id="vm-1"),
    ],
}


def with_changes(block: Any, changes: dict[str, Any]) -> Any:
    said = copy.deepcopy(block)
    for path, value in changes.items():
        place = said
        *folders, name = path.split("__")
        for folder in folders:
            place = place[folder]
        place[name] = value
    return said


def test_every_page_has_near_misses() -> None:
    assert {path.stem for path in PAGES.glob("*.rst")} == {name.partition("/")[0] for name in MISSES}


@pytest.mark.parametrize("name", MISSES)
def test_near_misses_neither_raise_nor_clear(name: str, tmp_path: pathlib.Path, converter: Converter) -> None:
    stem, _, fault = name.partition("/")
    path = PAGES / f"{stem}.rst"
    fault = fault or "fault"
    database = connect(f"sqlite:///{tmp_path / 'aodh.sqlite'}", sqlite_synchronous=False)
    create_schemas(database)
    played = Scenario(path, database, converter)
    said = {
        block: json.loads(text) for block, text in blocks(path).items() if block.startswith(("fault", "reco"))
    }
    assert [hook["current"] for hook in played.webhooks(fault)] == ["alarm"]
    for number, (block, changes) in enumerate(MISSES[name]):
        near = with_changes(said[block], changes)
        if "message_id" in near:
            near["message_id"] = f"near-miss-{number}"
        ends = [hook for hook in played.webhooks_of(near) if hook["current"] == "ok"]
        assert ends == [], (block, changes)
    (_,) = [hook for hook in played.webhooks(fault.replace("fault", "recovery")) if hook["current"] == "ok"]
    database.dispose()


def test_the_rules_of_doctor_tests_are_those_of_the_pages() -> None:
    host_page = (PAGES / "host-down.rst").read_text()
    assert json.loads(blocks(PAGES / "host-down.rst")["rule.json"]) == HOST_RULE
    assert indented_rule(host_page, "The owners of servers create") == SERVER_RULE
    assert json.loads(blocks(PAGES / "maintenance.rst")["rule.json"]) == MAINTENANCE_RULE
    assert indented_rule((PAGES / "maintenance.rst").read_text(), "An administrator") == MAINTENANCE_HOST_RULE


def indented_rule(page: str, start: str) -> Any:
    """Return the literal block behind the paragraph that begins with *start*."""
    literal = page[page.index(start) :].split("::\n\n", 1)[1]
    lines = []
    for line in literal.splitlines():
        if line and not line.startswith("    "):
            break
        lines.append(line)
    return json.loads("\n".join(lines))


def scenario_of_owner(tmp_path: pathlib.Path, converter: Converter) -> Scenario:
    database = connect(f"sqlite:///{tmp_path / 'aodh.sqlite'}", sqlite_synchronous=False)
    create_schemas(database)
    return Scenario(PAGES / "server-failed.rst", database, converter, rule=SERVER_RULE)


def test_faults_reported_by_nova_and_the_inspector_end_separately(
    tmp_path: pathlib.Path, converter: Converter
) -> None:
    """The owner's alarm from the page on hosts: renaming the server is no recovery of its host."""
    played = scenario_of_owner(tmp_path, converter)
    said = blocks(PAGES / "server-failed.rst")
    failed, well = json.loads(said["fault"]), json.loads(said["recovery"])

    def inspector(status: str, second: int) -> Any:
        about = {"hostname": "compute0", "instance_id": "vm-1", "project_id": "tenant", "status": status}
        return {
            "event": {
                "time": f"2026-11-20T23:03:0{second}Z",
                "type": f"compute.host.{status}",
                "details": about,
            }
        }

    def nova(block: Any, number: int, **changes: Any) -> Any:
        return with_changes(
            {**block, "message_id": f"n-{number}", "timestamp": f"2026-11-20 23:04:0{number}"}, changes
        )

    states = []
    for event in (
        inspector("down", 1),
        nova(well, 1, payload__old_state="active"),
        nova(failed, 2),
        inspector("up", 2),
        nova(well, 3, payload__instance_id="vm-2"),
        nova(well, 4),
    ):
        states.append([hook["current"] for hook in played.webhooks_of(event)])
    assert states == [["alarm"], [], [], [], [], ["ok"]]
