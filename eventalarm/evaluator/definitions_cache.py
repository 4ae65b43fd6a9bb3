"""The alarm definitions: cached and indexed per project, never older than the batch that is evaluated.

Freshness contract (guarantee G3): after :meth:`AlarmCache.refresh` returns, every alarm whose creation or
change was committed before the call is seen by :meth:`AlarmCache.project`, provided that the clocks of the
Aodh API hosts differ from the database's by less than ``overlap`` seconds. A step of the database's clock is
noticed and looked behind. There is no time to live: only alarms changed since
the last look are read again. Alarm *state* is never cached; deleted alarms may linger until they are locked
for firing, which is when :meth:`AlarmCache.forget` is called. A full reload now and then is the net.
"""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable
from typing import Final

import cachetools

from eventalarm.evaluator.cached_project import CachedProject, CacheFigures, Entry, Need, collector_paused
from eventalarm.evaluator.event_rule import Watch
from eventalarm.evaluator.index import ProjectIndex
from eventalarm.evaluator.notification_rule import compile_definition
from eventalarm.evaluator.options import CacheOptions
from eventalarm.exceptions import InvalidRule
from eventalarm.model import AlarmDefinition, DefinitionChange
from eventalarm.storage.alarms import AlarmReader
from eventalarm.storage.change_window import ChangeWindow

LOG = logging.getLogger(__name__)

# Number of definitions that are loaded in the time of one or two batches.
LARGE: Final = 1000

REPORTED_LIMIT: Final = 10000


class AlarmCache:
    """Definitions by project, loaded when a project's first event comes, refreshed once per batch.

    :param clears: returns True if events can clear an alarm with this definition.
    :param bad_rule: called once for each version of an alarm whose rule cannot be compiled.
    :param crowded: called once for each project with more than ``max_scan_groups``, with their number.
    :param monotonic: seconds, for the age of a loaded project.
    """

    def __init__(
        self,
        source: AlarmReader,
        options: CacheOptions,
        *,
        clears: Callable[[AlarmDefinition], bool],
        bad_rule: Callable[[AlarmDefinition, InvalidRule], None],
        monotonic: Callable[[], float],
        crowded: Callable[[str, int], None] = lambda project_id, scanned: None,
    ) -> None:
        self._source = source
        self._crowded = crowded
        self._options = options
        self._clears = clears
        self._bad_rule = bad_rule
        self._monotonic = monotonic
        self._looked_at: datetime.datetime | None = None
        self._window: ChangeWindow | None = None
        self._lock = threading.RLock()
        self._loading: set[str] = set()
        self._arriving: dict[str, tuple[CachedProject, datetime.datetime]] = {}
        # Outlives the projects, which are loaded again and again.
        self._reported: cachetools.LRUCache[str, datetime.datetime] = cachetools.LRUCache(REPORTED_LIMIT)
        self._reported_projects: cachetools.LRUCache[str, int] = cachetools.LRUCache(REPORTED_LIMIT)
        self._projects: cachetools.LRUCache[str, CachedProject] = cachetools.LRUCache(
            options.max_alarms, getsizeof=lambda p: min(len(p.entries) + 1, options.max_alarms)
        )

    def refresh(self) -> None:
        """Take in every definition that changed since the last call.

        :raises Retryable: when the database failed; the cache is then as fresh as before.
        """
        with self._lock:
            started = self._source.now()
            self._put_in_place()
            if self._projects and self._looked_at is not None:
                self._look(min(self._looked_at, started))
                noticed = self._source.now()
                if noticed < started:
                    # The look found that the clock was set back: what changed since then is older.
                    started = noticed
                    self._look(started)
            self._looked_at = started

    def _look(self, looked_at: datetime.datetime) -> None:
        since = looked_at - datetime.timedelta(seconds=self._options.overlap)
        # Whatever fails from here on, the next look must find everything again.
        window, self._window = self._window, None
        look = self._source.changed_since(since, looked_at, window)
        news = [change for change in look.changes if self._is_news(change)]
        if news:
            self._take_in(news)
        self._window = look.window

    def _put_in_place(self) -> None:
        """Put loaded projects in place; the next look covers everything since their loading began."""
        for project_id, (project, begun) in self._arriving.items():
            self._projects[project_id] = project
            self._looked_at = min(begun, self._looked_at or begun)
            self._window = None
        self._arriving.clear()

    def _is_news(self, change: DefinitionChange) -> bool:
        project = self._projects.get(change.project_id)
        if project is None:
            return False
        entry = project.entries.get(change.alarm_id)
        return entry is None or entry.version != change.version

    def _take_in(self, changed: list[DefinitionChange]) -> None:
        current = {d.alarm_id: d for d in self._source.of_alarms([c.alarm_id for c in changed])}
        for change in changed:
            definition = current.get(change.alarm_id)
            project = self._projects.get(change.project_id)
            if project is None:
                continue
            project.remove(change.alarm_id)
            if definition is not None and definition.project_id == change.project_id:
                self._file(project, definition)
                self._report_crowd(definition.project_id, project.index.scanned)
            self._projects[change.project_id] = project

    def _file(self, project: CachedProject, definition: AlarmDefinition) -> None:
        clears = self._clears(definition)
        try:
            rule = compile_definition(definition, self._options.resource_traits)
        except InvalidRule as exc:
            project.entries[definition.alarm_id] = Entry(definition.version, None, clears, None)
            with self._lock:
                if self._reported.get(definition.alarm_id) != definition.version:
                    self._reported[definition.alarm_id] = definition.version
                    self._bad_rule(definition, exc)
            return
        anchor = project.index.add(definition.alarm_id, rule, clears)
        project.entries[definition.alarm_id] = Entry(definition.version, rule, clears, anchor)

    def _report_crowd(self, project_id: str, scanned: int) -> None:
        if scanned > self._options.max_scan_groups and project_id not in self._reported_projects:
            self._reported_projects[project_id] = scanned
            self._crowded(project_id, scanned)

    def project(self, project_id: str) -> ProjectIndex:
        """Return the index of a project, loading it when it is not there or too old.

        :raises Retryable: when it must be loaded and the database failed.
        """
        with self._lock:
            project = self._projects.get(project_id)
            if project is None or (self._is_old(project) and project_id not in self._loading):
                project = self._projects[project_id] = self._read(project_id)
                self._report_crowd(project_id, project.index.scanned)
            return project.index

    def need(self, project_id: str) -> Need:
        """Return whether a project must be loaded before its events can be evaluated."""
        with self._lock:
            project = self._projects.get(project_id)
            if project_id in self._arriving or (project is not None and not self._is_old(project)):
                return Need.NOTHING
            return Need.LOAD if project is None else Need.RELOAD

    def is_large(self, project_id: str) -> bool:
        """Return True if loading a project would delay other projects by more than the time of a batch.

        :raises Retryable: when the database failed.
        """
        return self._source.has_more_than(project_id, LARGE)

    def large_projects(self) -> list[str]:
        """Return the large projects that fit into the cache together, the largest first.

        :raises Retryable: when the database failed.
        """
        room = self._options.max_alarms
        fitting: list[str] = []
        for project_id, number in self._source.crowded_projects(LARGE):
            if number < room:
                room -= number + 1
                fitting.append(project_id)
        return fitting

    def promise(self, project_id: str) -> None:
        """Serve a project however old it is, since it will be loaded in the background (:meth:`load`)."""
        with self._lock:
            self._loading.add(project_id)

    def load(self, project_id: str) -> None:
        """Load a project on the calling thread; the next :meth:`refresh` puts it in place.

        Meanwhile other threads can use the cache, which serves the project as it was before.

        :raises Retryable: when the database failed.
        """
        try:
            with self._lock:
                begun = self._source.now()
                self._loading.add(project_id)
            project = self._read(project_id)
            with self._lock:
                self._arriving[project_id] = project, begun
                self._report_crowd(project_id, project.index.scanned)
        finally:
            with self._lock:
                self._loading.discard(project_id)

    def _is_old(self, project: CachedProject) -> bool:
        return self._monotonic() - project.loaded_at >= self._options.reload_interval

    def _read(self, project_id: str) -> CachedProject:
        project = CachedProject(self._monotonic())
        with collector_paused(project.entries):
            for definition in self._source.of_project(project_id):
                self._file(project, definition)
        LOG.debug("Loaded %d alarm definitions of project %s", len(project.entries), project_id)
        return project

    def rule(self, definition: AlarmDefinition) -> Watch:
        """Return the compiled rule of an alarm as it was just read, reusing the cached one if it is the same.

        :raises InvalidRule: when the rule as it stands now cannot be compiled.
        """
        with self._lock:
            project = self._projects.get(definition.project_id)
            entry = project.entries.get(definition.alarm_id) if project is not None else None
        if entry is not None and entry.rule is not None and entry.version == definition.version:
            return entry.rule
        return compile_definition(definition, self._options.resource_traits)

    def forget(self, project_id: str, alarm_id: str) -> None:
        """Drop an alarm that turned out to be deleted, disabled or moved."""
        with self._lock:
            project = self._projects.get(project_id)
            if project is not None:
                project.remove(alarm_id)

    def figures(self) -> CacheFigures:
        """Return how much is cached; walks over the projects, so not for every batch."""
        with self._lock:
            projects = list(self._projects.values())
            return CacheFigures(
                alarms=sum(len(project.entries) for project in projects),
                projects=len(projects),
                scanned=sum(project.index.scanned for project in projects),
                refreshed_at=self._looked_at,
            )

    def __len__(self) -> int:
        """Return how many alarms are cached."""
        with self._lock:
            return sum(len(project.entries) for project in self._projects.values())
