"""The alarm definitions: cached and indexed per project, never older than the batch that is evaluated.

Freshness contract (guarantee G3): once :meth:`AlarmCache.refresh` returns, :meth:`AlarmCache.project` has
every alarm whose creation or change was committed before the call, provided that the clocks of the Aodh API
hosts differ from the database's by less than ``overlap`` seconds. If the database's clock is set back, the
changes made in between are found as well. Entries have no time to live: a refresh reads only the alarms that
changed since the last one. The *state* of alarms is never cached. A deleted alarm may stay in the cache until
an event concerns it: its row is then found missing, and :meth:`AlarmCache.forget` removes it. As a safety
net, each project is reloaded completely every ``reload_interval`` seconds.
"""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable, Collection
from typing import Final

import cachetools
import sqlalchemy as sa

from eventalarm.evaluator.cached_project import CachedProject, CacheFigures, Need
from eventalarm.evaluator.event_rule import Watch
from eventalarm.evaluator.index import ProjectIndex
from eventalarm.evaluator.notification_rule import compile_definition
from eventalarm.evaluator.options import CacheOptions
from eventalarm.evaluator.project_builder import ProjectBuilder
from eventalarm.exceptions import InvalidRule
from eventalarm.model import AlarmDefinition, DefinitionChange
from eventalarm.storage.alarms import AlarmReader
from eventalarm.storage.change_window import ChangeWindow, Look

LOG = logging.getLogger(__name__)

# A project with more definitions takes longer to load than one or two batches take.
LARGE: Final = 1000

# Projects that one statement names: a host with a thousand servers may fail whose owners' projects are all
# unknown.
TOGETHER: Final = 100


class AlarmCache:
    """Definitions by project, loaded with the first event of a project, refreshed once per batch.

    :param clears: returns True if events can clear an alarm with this definition.
    :param bad_rule: called once for each version of an alarm whose rule cannot be compiled.
    :param crowded: called once for each project with more than ``max_scan_groups`` rules without an equality,
        with their number.
    :param monotonic: returns seconds, from which the age of a loaded project is computed.
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
        self._options = options
        self._builder = ProjectBuilder(options, clears=clears, bad_rule=bad_rule, crowded=crowded)
        self._monotonic = monotonic
        self._refreshed_at: datetime.datetime | None = None
        self._window: ChangeWindow | None = None
        self._lock = threading.RLock()
        self._loading: set[str] = set()
        self._loaded: dict[str, tuple[CachedProject, datetime.datetime]] = {}
        self._projects: cachetools.LRUCache[str, CachedProject] = cachetools.LRUCache(
            options.max_alarms, getsizeof=lambda p: min(len(p.entries) + 1, options.max_alarms)
        )

    def refresh(self) -> bool:
        """Update every definition that changed since the last call; return True if there was one.

        :raises Retryable: when the database failed; the cache is then as it was before.
        """
        with self._lock:
            started = self._source.now()
            self._add_loaded()
            if self._projects and self._refreshed_at is not None:
                earliest = min(self._refreshed_at, started)
                return self._finish(self._source.changed_since(*self._window_since(earliest)), started)
            self._refreshed_at = started
            return False

    @property
    def can_look_along(self) -> bool:
        """Whether :meth:`look_along` can be called: projects are cached, and none waits to be added."""
        return bool(self._projects) and self._refreshed_at is not None and not self._loaded

    def look_along(self, connection: sa.Connection) -> Callable[[], bool]:
        """Ask in a transaction what :meth:`refresh` asks, and return the function that finishes it.

        Both belong to the thread that calls :meth:`refresh`, which it must not call in between. If the
        function is not called, the next look finds the same changes.
        """
        with self._lock:
            started = self._source.now()
            earliest = min(self._refreshed_at or started, started)
            look = self._source.look(connection, *self._window_since(earliest))

        def finish() -> bool:
            found = look()
            with self._lock:
                return self._finish(found, started)

        return finish

    def _finish(self, found: Look, started: datetime.datetime) -> bool:
        """Take in what a look that began at *started* has found; return True if definitions changed."""
        changed = self._take_in(found)
        noticed = self._source.now()
        if noticed < started:
            # The read showed that the clock was set back: later changes carry earlier times.
            started = noticed
            changed |= self._take_in(self._source.changed_since(*self._window_since(started)))
        self._refreshed_at = started
        return changed

    def _window_since(
        self, refreshed_at: datetime.datetime
    ) -> tuple[datetime.datetime, datetime.datetime, ChangeWindow | None]:
        """Return what a look since *refreshed_at* is given."""
        since = refreshed_at - datetime.timedelta(seconds=self._options.overlap)
        # If anything fails from here on, the next read must find all of these changes again.
        window, self._window = self._window, None
        return since, refreshed_at, window

    def _take_in(self, found: Look) -> bool:
        new = [change for change in found.changes if self._is_new(change)]
        if new:
            self._update(new)
        self._window = found.window
        return bool(new)

    def _add_loaded(self) -> None:
        """Add the loaded projects; the next read covers all changes since their loading began."""
        for project_id, (project, begun) in self._loaded.items():
            self._projects[project_id] = project
            self._refreshed_at = min(begun, self._refreshed_at or begun)
            self._window = None
        self._loaded.clear()

    def _is_new(self, change: DefinitionChange) -> bool:
        project = self._projects.get(change.project_id)
        if project is None:
            return False
        entry = project.entries.get(change.alarm_id)
        return entry is None or entry.version != change.version

    def _update(self, changed: list[DefinitionChange]) -> None:
        current = {d.alarm_id: d for d in self._source.of_alarms([c.alarm_id for c in changed])}
        for change in changed:
            definition = current.get(change.alarm_id)
            project = self._projects.get(change.project_id)
            if project is None:
                continue
            project.remove(change.alarm_id)
            if definition is not None and definition.project_id == change.project_id:
                self._builder.add(project, definition)
                self._builder.report_crowded(definition.project_id, project.index.scanned)
            self._projects[change.project_id] = project

    def project(self, project_id: str) -> ProjectIndex:
        """Return the index of a project; load the project if it is not cached or too old.

        :raises Retryable: when it must be loaded and the database failed.
        """
        with self._lock:
            project = self._projects.get(project_id)
            if project is None or (self._is_old(project) and project_id not in self._loading):
                project = self._projects[project_id] = self._read(project_id)
                self._builder.report_crowded(project_id, project.index.scanned)
            return project.index

    def need(self, project_id: str) -> Need:
        """Return what a project needs before its events can be evaluated."""
        with self._lock:
            project = self._projects.get(project_id)
            if project_id in self._loaded or (project is not None and not self._is_old(project)):
                return Need.NOTHING
            return Need.LOAD if project is None else Need.RELOAD

    def is_large(self, project_id: str) -> bool:
        """Return True if loading a project takes longer than a batch, and so would delay other projects.

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

    def load_together(self, project_ids: Collection[str]) -> None:
        """Load the projects that are not cached, many with one statement; :meth:`refresh` adds them.

        Large projects are left out; they are loaded one by one.

        :raises Retryable: when the database failed.
        """
        missing = [one for one in project_ids if one and self.need(one) is Need.LOAD]
        for start in range(0, len(missing), TOGETHER):
            chunk = missing[start : start + TOGETHER]
            begun = self._source.now()
            definitions = self._source.of_projects(chunk, LARGE) if len(chunk) > 1 else {}
            for project_id, found in definitions.items():
                self._keep(project_id, self._builder.build(project_id, found, self._monotonic()), begun)

    def promise(self, project_id: str) -> None:
        """Keep serving a project whatever its age, since it is about to be loaded by :meth:`load`."""
        with self._lock:
            self._loading.add(project_id)

    def load(self, project_id: str) -> None:
        """Load a project on the calling thread; the next :meth:`refresh` adds it to the cache.

        Other threads can use the cache meanwhile; it serves the previous version of the project.

        :raises Retryable: when the database failed.
        """
        try:
            with self._lock:
                begun = self._source.now()
                self._loading.add(project_id)
            self._keep(project_id, self._read(project_id), begun)
        finally:
            with self._lock:
                self._loading.discard(project_id)

    def _keep(self, project_id: str, project: CachedProject, begun: datetime.datetime) -> None:
        """Keep a project for the next :meth:`refresh`; its loading began at *begun*."""
        with self._lock:
            self._loaded[project_id] = project, begun
            self._builder.report_crowded(project_id, project.index.scanned)

    def _is_old(self, project: CachedProject) -> bool:
        return self._monotonic() - project.loaded_at >= self._options.reload_interval

    def _read(self, project_id: str) -> CachedProject:
        definitions = self._source.of_project(project_id)
        return self._builder.build(project_id, definitions, self._monotonic())

    def retain(self, wanted: Callable[[str], bool]) -> None:
        """Remove the projects that are not *wanted*; an event of one loads it again."""
        with self._lock:
            for projects in (self._projects, self._loaded):
                for project_id in [one for one in projects if not wanted(one)]:
                    del projects[project_id]

    def rule(self, definition: AlarmDefinition) -> Watch:
        """Return the compiled rule of a definition that was just read; reuse the cached one if it is current.

        :raises InvalidRule: when the rule cannot be compiled.
        """
        with self._lock:
            project = self._projects.get(definition.project_id)
            entry = project.entries.get(definition.alarm_id) if project is not None else None
        if entry is not None and entry.rule is not None and entry.version == definition.version:
            return entry.rule
        return compile_definition(definition, self._options.resource_traits)

    def forget(self, project_id: str, alarm_id: str) -> None:
        """Remove an alarm that was found to be deleted, disabled or moved to another project."""
        with self._lock:
            project = self._projects.get(project_id)
            if project is not None:
                project.remove(alarm_id)

    def figures(self) -> CacheFigures:
        """Return the size of the cache. Iterates over all projects: do not call it for every batch."""
        with self._lock:
            projects = list(self._projects.values())
            return CacheFigures(
                alarms=sum(len(project.entries) for project in projects),
                projects=len(projects),
                scanned=sum(project.index.scanned for project in projects),
                refreshed_at=self._refreshed_at,
            )

    def __len__(self) -> int:
        """Return the number of cached alarms."""
        with self._lock:
            return sum(len(project.entries) for project in self._projects.values())
