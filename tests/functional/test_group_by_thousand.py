"""One alarm over a thousand servers: each server has its own occurrences."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.builders import event_body
from tests.support.engine_harness import (
    EngineHarness,
    alarm_row,
    insert_alarms,
    occurrences,
    open_database,
    read_alarm,
    transitions,
)

SERVERS = [f"vm-{number}" for number in range(1000)]
RULE = {
    "event_type": "compute.instance.update",
    "query": [{"field": "traits.state", "value": "error"}],
    "clear": {"query": [{"field": "traits.state", "value": "active"}]},
    "group_by": ["display_name"],
}


@pytest.fixture
def engine(our_mariadb_url: str) -> Iterator[EngineHarness]:
    with open_database(our_mariadb_url) as database:
        row = alarm_row("all-servers", rule=RULE, type="notification", ok_actions=["http://ok"])
        insert_alarms(database, row)
        yield EngineHarness(database)


def say(engine: EngineHarness, state: str, servers: list[str], moment: int) -> str:
    """Let *servers* enter *state* at *moment*, in batches, in any order; return the alarm's state."""
    mixed = random.Random(moment).sample(servers, len(servers))
    at = f"2026-05-01T11:0{moment}:00"
    for start in range(0, len(mixed), 500):
        engine.process(
            *(
                event_body(generated=at, resource_id="application", display_name=server, state=state)
                for server in mixed[start : start + 500]
            )
        )
    return str(read_alarm(engine.database, "all-servers")["state"])


def test_each_of_a_thousand_servers_has_its_own_occurrences(engine: EngineHarness) -> None:
    """Fails when objects share an occurrence, and when the alarm is ok before the last object is."""
    database = engine.database
    assert say(engine, "error", SERVERS, 1) == "alarm"
    assert say(engine, "error", SERVERS[:100], 2) == "alarm"
    assert say(engine, "active", SERVERS[:-1], 3) == "alarm"
    assert [one["managed_object"] for one in occurrences(database) if one["raised"]] == ["vm-999"]
    assert say(engine, "active", SERVERS[-1:], 4) == "ok"
    assert say(engine, "error", SERVERS[:10], 5) == "alarm"

    raised = Counter(one["managed_object"] for one in occurrences(database))
    assert raised == Counter(SERVERS) + Counter(SERVERS[:10])
    recorded = transitions(database)
    kinds = Counter(one["kind"] for one in recorded)
    assert (kinds["raised"], kinds["cleared"]) == (1010, 1000)
    in_order: dict[str, list[str]] = {server: [] for server in SERVERS}
    for one in sorted(recorded, key=lambda row: row["event_time"]):
        in_order[one["managed_object"]].append(one["kind"])
    assert set(map(tuple, (in_order[server] for server in SERVERS[10:]))) == {("raised", "cleared")}
    assert set(map(tuple, (in_order[server] for server in SERVERS[:10]))) == {("raised", "cleared", "raised")}
