"""Builds the cached projects of the alarm definitions, and reports rules that are invalid or costly."""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Final

import cachetools

from eventalarm.evaluator.cached_project import CachedProject, Entry, collector_paused
from eventalarm.evaluator.notification_rule import compile_definition
from eventalarm.evaluator.options import CacheOptions
from eventalarm.exceptions import InvalidRule
from eventalarm.model import AlarmDefinition

LOG = logging.getLogger(__name__)

# Most alarms and projects that are remembered as reported.
REPORTED_LIMIT: Final = 10000


class ProjectBuilder:
    """Compiles definitions into projects; remembers what was reported. Safe to use from several threads.

    :param clears: returns True if events can clear an alarm with this definition.
    :param bad_rule: called once for each version of an alarm whose rule cannot be compiled.
    :param crowded: called once for each project with more than ``max_scan_groups`` rules without an equality,
        with their number.
    """

    def __init__(
        self,
        options: CacheOptions,
        *,
        clears: Callable[[AlarmDefinition], bool],
        bad_rule: Callable[[AlarmDefinition, InvalidRule], None],
        crowded: Callable[[str, int], None],
    ) -> None:
        self._options = options
        self._clears = clears
        self._bad_rule = bad_rule
        self._crowded = crowded
        self._lock = threading.Lock()
        # Outlives the projects, which are loaded again and again.
        self._reported: cachetools.LRUCache[str, datetime.datetime] = cachetools.LRUCache(REPORTED_LIMIT)
        self._reported_projects: cachetools.LRUCache[str, int] = cachetools.LRUCache(REPORTED_LIMIT)

    def build(
        self, project_id: str, definitions: Iterable[AlarmDefinition], loaded_at: float
    ) -> CachedProject:
        """Return a project with these definitions; *loaded_at* is in seconds of a monotonic clock."""
        project = CachedProject(loaded_at)
        with collector_paused(project.entries):
            for definition in definitions:
                self.add(project, definition)
        LOG.debug("Loaded %d alarm definitions of project %s", len(project.entries), project_id)
        return project

    def add(self, project: CachedProject, definition: AlarmDefinition) -> None:
        """Add a definition to a project that lacks it."""
        clears = self._clears(definition)
        try:
            rule = compile_definition(definition, self._options.resource_traits)
        except InvalidRule as exc:
            project.entries[definition.alarm_id] = Entry(definition.version, None, clears, None)
            self._report_bad(definition, exc)
            return
        anchor = project.index.add(definition.alarm_id, rule, clears)
        project.entries[definition.alarm_id] = Entry(definition.version, rule, clears, anchor)

    def _report_bad(self, definition: AlarmDefinition, problem: InvalidRule) -> None:
        with self._lock:
            if self._reported.get(definition.alarm_id) != definition.version:
                self._reported[definition.alarm_id] = definition.version
                self._bad_rule(definition, problem)

    def report_crowded(self, project_id: str, scanned: int) -> None:
        """Report a project in which *scanned* rules are tested one by one, if these are too many."""
        with self._lock:
            if scanned > self._options.max_scan_groups and project_id not in self._reported_projects:
                self._reported_projects[project_id] = scanned
                self._crowded(project_id, scanned)
