"""Every database counts the same projects as large, and returns whole projects."""

from __future__ import annotations

import sqlalchemy as sa

from eventalarm.storage.alarms import AlarmReader
from tests.support.builders import rule
from tests.support.engine_harness import TYPES, alarm_row, insert_alarms, open_database


def test_crowded_projects_are_counted(our_database_url: str) -> None:
    """Only enabled alarms of our types count; NULL is no project."""
    owners = {"many": 3, "some": 2, "one": 1, None: 4}
    rows = [alarm_row(rule=rule("*"), project_id=p) for p, number in owners.items() for _ in range(number)]
    rows += [alarm_row(rule=rule("*"), project_id="one", enabled=False) for _ in range(5)]
    rows += [alarm_row(rule={}, project_id="one", type="composite") for _ in range(5)]
    with open_database(our_database_url) as database:
        insert_alarms(database, *rows)
        reader = AlarmReader(database, TYPES)
        assert reader.crowded_projects(1) == [("", 4), ("many", 3), ("some", 2)]
        assert [reader.has_more_than(project, 1) for project in ("many", "some", "one", "")] == [
            True,
            True,
            False,
            True,
        ]


def test_several_projects_are_read_with_few_statements(our_database_url: str) -> None:
    """Whole projects only, whatever the order in which a database sorts them; large ones are left out."""
    owners = {"one": 1, "ONE": 2, "two": 2, "Two": 2, "many": 5, "some": 3, "disabled": 0}
    rows = [alarm_row(rule=rule("*"), project_id=p) for p, number in owners.items() for _ in range(number)]
    rows += [alarm_row(rule=rule("*"), project_id="disabled", enabled=False)]
    wanted = [*owners, "unknown"]
    with open_database(our_database_url) as database:
        insert_alarms(database, *rows)
        statements: list[str] = []
        sa.event.listen(
            database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]), named=False
        )
        reader = AlarmReader(database, TYPES)
        for limit in range(1, 18):
            statements.clear()
            found = reader.of_projects(wanted, limit)
            reads = sum("alarm.rule" in one for one in statements)
            assert reads <= len(rows) // limit + len(owners)
            for project in wanted:
                number = owners.get(project, 0)
                if project in found:
                    assert len(found[project]) == number
                    assert {one.project_id for one in found[project]} <= {project}
                else:
                    # Those whose ids differ in case only may count together.
                    same = sum(n for name, n in owners.items() if name.casefold() == project.casefold())
                    assert same > limit
        assert reads == 1
        assert set(found) == set(wanted)
        # It may equal any other, depending on the collation.
        insert_alarms(database, alarm_row(rule=rule("*"), project_id="zoë"))
        for limit in (1, 5, 17):
            found = reader.of_projects([*owners, "zoë"], limit)
            assert all(len(of) == {**owners, "zoë": 1}[project] for project, of in found.items())
        assert len(found) == len(owners) + 1
