"""Every database counts the same projects as large."""

from __future__ import annotations

from eventalarm.storage.alarms import AlarmReader
from tests.support.builders import rule
from tests.support.engine_harness import TYPES, alarm_row, insert_alarms, open_database


def test_crowded_projects_are_counted(aodh_database_url: str) -> None:
    """Only enabled alarms of our types count; NULL is no project."""
    owners = {"many": 3, "some": 2, "one": 1, None: 4}
    rows = [alarm_row(rule=rule("*"), project_id=p) for p, number in owners.items() for _ in range(number)]
    rows += [alarm_row(rule=rule("*"), project_id="one", enabled=False) for _ in range(5)]
    rows += [alarm_row(rule={}, project_id="one", type="composite") for _ in range(5)]
    with open_database(aodh_database_url) as database:
        insert_alarms(database, *rows)
        reader = AlarmReader(database, TYPES)
        assert reader.crowded_projects(1) == [("", 4), ("many", 3), ("some", 2)]
        assert [reader.has_more_than(project, 1) for project in ("many", "some", "one", "")] == [
            True,
            True,
            False,
            True,
        ]
        found = reader.of_projects(["one", "ONE", "some"], 3)
        assert found is not None
        assert [len(found[project]) for project in ("one", "ONE", "some")] == [1, 0, 2]
        assert reader.of_projects(["one", "some"], 2) is None
