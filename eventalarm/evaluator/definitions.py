"""The source of alarm definitions that the evaluator reads from."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from eventalarm.change_window import ChangeWindow, Look
from eventalarm.model import AlarmDefinition


class DefinitionSource(Protocol):
    """Reads alarm definitions; every call sees what was committed before it."""

    def now(self) -> datetime.datetime:
        """Return the database's clock; after a step, the earlier of what it shows and would have shown."""

    def changed_since(
        self, moment: datetime.datetime, looked_at: datetime.datetime, window: ChangeWindow | None
    ) -> Look:
        """Return the alarms whose definition changed at or after *moment*, whatever their type is now.

        Those that stand as they did at the look before, at *looked_at*, may be left out if its *window* is
        given. That can be given once: after an error the next look is given None.
        """

    def of_project(self, project_id: str) -> Iterable[AlarmDefinition]:
        """Return the enabled alarms of our types in a project."""

    def has_more_than(self, project_id: str, number: int) -> bool:
        """Return True if a project has more than *number* enabled alarms of our types."""

    def crowded_projects(self, number: int) -> Sequence[tuple[str, int]]:
        """Return which projects have more than *number* enabled alarms, and how many, the most first."""

    def of_alarms(self, alarm_ids: Collection[str]) -> Iterable[AlarmDefinition]:
        """Return those of *alarm_ids* that are enabled and of our types."""
