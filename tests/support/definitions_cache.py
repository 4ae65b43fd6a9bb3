"""A definitions cache with a source that filters exactly as the database does."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.options import CacheOptions
from eventalarm.exceptions import InvalidRule, Retryable
from eventalarm.model import AlarmDefinition, DefinitionChange
from eventalarm.storage.alarms import AlarmReader
from eventalarm.storage.change_window import ChangeWindow, Look
from tests.support.builders import PROJECT, RESOURCE_TRAITS, at, event

OVERLAP = 10.0
RELOAD = 600.0
ERROR = event(state="error")
BAD = {"event_type": "*", "query": [{"field": "traits.a", "type": "integer", "value": "one"}]}


class Window(ChangeWindow):
    """The changes that one read found; it may be passed to one further read."""

    def __init__(self, changes: set[DefinitionChange]) -> None:
        super().__init__()
        self.changes = changes
        self.given = False


class Source:
    """The alarm table in memory. Applies every filter; fails on request; its clock is set by the test."""

    def __init__(self) -> None:
        self.rows: dict[str, AlarmDefinition] = {}
        self.disabled: set[str] = set()
        self.seconds = 0.0
        self.calls: list[str] = []
        self.changes_read = 0
        self.failing: set[str] = set()
        self.after_reading: Callable[[], None] | None = None

    def put(self, *definitions: AlarmDefinition) -> None:
        self.rows |= {d.alarm_id: d for d in definitions}

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failing:
            raise Retryable(f"{name} failed")

    def now(self) -> datetime.datetime:
        """Not counted, since the clock is usually extrapolated without a query."""
        if "now" in self.failing:
            raise Retryable("now failed")
        return at(self.seconds)

    def monotonic(self) -> float:
        return 1000.0 + self.seconds

    def _enabled(self) -> list[AlarmDefinition]:
        return [d for d in self.rows.values() if d.alarm_id not in self.disabled and d.type == "event"]

    def changed_since(
        self, moment: datetime.datetime, looked_at: datetime.datetime, window: ChangeWindow | None
    ) -> Look:
        """Leave out all changes that may be left out."""
        assert window is None or (isinstance(window, Window) and not window.given), "given twice"
        known = window.changes if isinstance(window, Window) else set()
        if isinstance(window, Window):
            window.given = True
        self._call("changed_since")
        changes = {
            DefinitionChange(d.alarm_id, d.project_id, d.version)
            for d in self.rows.values()
            if d.version >= moment
        }
        self.changes_read = len(changes - known)
        return Look(sorted(changes - known, key=repr), Window(changes))

    def of_project(self, project_id: str) -> Iterable[AlarmDefinition]:
        self._call("of_project")
        found = [d for d in self._enabled() if d.project_id == project_id]
        if self.after_reading is not None:
            self.after_reading()
        return found

    def of_projects(self, project_ids: Sequence[str], limit: int) -> Mapping[str, Sequence[AlarmDefinition]]:
        self._call("of_projects")
        found = {one: [d for d in self._enabled() if d.project_id == one] for one in project_ids}
        return {one: of for one, of in found.items() if len(of) <= limit}

    def crowded_projects(self, number: int) -> list[tuple[str, int]]:
        self._call("crowded_projects")
        counts = Counter(d.project_id for d in self._enabled())
        return [(project, count) for project, count in counts.most_common() if count > number]

    def has_more_than(self, project_id: str, number: int) -> bool:
        self._call("has_more_than")
        return len([d for d in self._enabled() if d.project_id == project_id]) > number

    def of_alarms(self, alarm_ids: Collection[str]) -> Iterable[AlarmDefinition]:
        self._call("of_alarms")
        return [d for d in self._enabled() if d.alarm_id in alarm_ids]


class Cached:
    """A cache with its source, and the alarms that an event finds in it."""

    def __init__(self, max_alarms: int = 1000) -> None:
        self.source = Source()
        self.bad: list[tuple[str, datetime.datetime, str]] = []
        self.cache = AlarmCache(
            cast(AlarmReader, self.source),
            CacheOptions(RESOURCE_TRAITS, OVERLAP, RELOAD, max_alarms),
            clears=lambda d: d.has_ok_actions,
            bad_rule=self._bad_rule,
            monotonic=self.source.monotonic,
        )

    def _bad_rule(self, bad: AlarmDefinition, error: InvalidRule) -> None:
        self.bad.append((bad.alarm_id, bad.version, error.field))

    def found(self, project: str = PROJECT, the_event: Any = ERROR) -> set[str]:
        """Refresh as a batch does, and return which alarms of a project an event finds."""
        self.cache.refresh()
        return {c.alarm_id for c in self.cache.project(project).candidates(the_event)}
