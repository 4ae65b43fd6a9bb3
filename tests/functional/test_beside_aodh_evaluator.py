"""The stock ``aodh-evaluator`` beside eventalarm reads ``notification`` alarms and leaves them unchanged."""

from __future__ import annotations

import pathlib
import re
from typing import Any

from tests.support.cloud import PROJECT, Cloud, Spawn, make_event
from tests.support.engine_harness import EngineHarness, alarm_row, history, insert_alarms, read_alarm
from tests.support.helpers import console_script, wait_until

RULE = {
    "event_type": "compute.instance.update",
    "query": [{"field": "traits.state", "value": "error"}],
    "clear": {"query": [{"field": "traits.state", "value": "active"}]},
    "group_by": ["instance_id"],
}
NAMES = ("raised", "repeating", "unknown")
CYCLES = re.compile(r"initiating evaluation cycle on 3 alarms")


def test_the_stock_evaluator_leaves_notification_alarms_unchanged(
    spawn: Spawn, tmp_path: pathlib.Path, our_sqlite_url: str
) -> None:
    """Fails without the no-op evaluator: Aodh then warns about the type in every cycle."""
    options: dict[str, Any] = {"evaluator": {"evaluation_interval": 1}, "DEFAULT": {"debug": True}}
    cloud = Cloud(spawn, tmp_path, our_sqlite_url, "fake://", **options)
    common = {"type": "notification", "project_id": PROJECT}
    rows = [
        alarm_row("raised", rule=RULE, ok_actions=["http://127.0.0.1:1/"], **common),
        alarm_row("repeating", rule=RULE, repeat_actions=True, **common),
        alarm_row("unknown", rule={**RULE, "event_type": "no"}, state="insufficient data", **common),
    ]
    insert_alarms(cloud.database, *rows)
    EngineHarness(cloud.database).process(make_event("vm-1"))
    states = {name: read_alarm(cloud.database, name)["state"] for name in NAMES}
    assert states == {"raised": "alarm", "repeating": "alarm", "unknown": "insufficient data"}
    before = everything(cloud)

    evaluator = spawn([console_script("aodh-evaluator"), "--config-file", cloud.conf_path])
    wait_until(lambda: len(CYCLES.findall(evaluator.text())) >= 3, 60, "three cycles")
    assert evaluator.terminate() == 0
    assert everything(cloud) == before
    said = [line for line in evaluator.text().splitlines() if re.search(r" (WARNING|ERROR) ", line)]
    assert [line for line in said if "alarm" in line.partition("] ")[2]] == []
    cloud.close()


def everything(cloud: Cloud) -> list[tuple[dict[str, Any], Any]]:
    """Return the alarms with their history, without the time of their last evaluation."""
    found = [(read_alarm(cloud.database, name), history(cloud.database, name)) for name in NAMES]
    for row, _ in found:
        del row["evaluate_timestamp"]
    return found
