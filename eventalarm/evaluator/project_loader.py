"""Background loading of large projects, so that their first event does not delay other projects."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
from collections.abc import Callable, Collection, Iterator

from eventalarm.evaluator.cached_project import Need
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.exceptions import Retryable

LOG = logging.getLogger(__name__)


class ProjectLoader:
    """Loads projects on a background thread, one at a time.

    Only the evaluator thread may call :meth:`load_small`, :meth:`ready` and :meth:`release`. Small projects
    are loaded on that thread: those of a batch together, or one with its first event.

    :param loaded: called on the background thread with the id of a project that events wait for, once it is
        loaded or loading has failed.
    """

    def __init__(self, cache: AlarmCache, loaded: Callable[[str], None]) -> None:
        self._cache = cache
        self._loaded = loaded
        self._awaited: set[str] = set()
        self._renewed: set[str] = set()
        self._refused: set[str] = set()
        self._stopped = False
        self._executor = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="project-loader")

    def load_small(self, project_ids: Collection[str]) -> None:
        """Load those of the projects that are neither cached nor large, in as few statements as possible.

        :raises Retryable: when the database failed.
        """
        self._cache.load_together([one for one in project_ids if one not in self._awaited])

    def ready(self, project_id: str) -> bool:
        """Return True if events of a project can be evaluated now; otherwise start to load the project.

        :raises Retryable: when the database failed.
        """
        if project_id in self._awaited:
            return False
        need = self._cache.need(project_id)
        if need is Need.NOTHING or self._stopped or project_id in self._refused:
            return True
        if need is Need.RELOAD:
            if project_id not in self._renewed:
                self._renewed.add(project_id)
                self._cache.promise(project_id)
                self._executor.submit(self._load, project_id, self._renewed.discard)
            return True
        if not self._cache.is_large(project_id):
            return True
        self._awaited.add(project_id)
        self._executor.submit(self._load, project_id, self._loaded)
        return False

    def release(self, project_id: str) -> None:
        """Allow the events that waited for a project to be evaluated."""
        self._awaited.discard(project_id)

    def preload(self, wanted: Callable[[str], bool] = lambda project_id: True) -> None:
        """Start to load all large projects that are *wanted*, the largest first."""
        # Fails after a shutdown.
        with contextlib.suppress(RuntimeError):
            self._executor.submit(self._begin_preloading, wanted)

    def _begin_preloading(self, wanted: Callable[[str], bool]) -> None:
        try:
            names = [name for name in self._cache.large_projects() if wanted(name)]
        except Retryable as exc:
            LOG.warning("Large projects will be loaded with their first event: %s", exc)
        except Exception:
            LOG.exception("Large projects will be loaded with their first event")
        else:
            self._preload_next(iter(names))

    def _preload_next(self, names: Iterator[str]) -> None:
        project_id = next(names, None)
        if project_id is None or self._stopped:
            return
        self._load(project_id, lambda _: None)
        # One at a time, so that a project that events wait for comes next. Fails after a shutdown.
        with contextlib.suppress(RuntimeError):
            self._executor.submit(self._preload_next, names)

    def _load(self, project_id: str, ended: Callable[[str], None]) -> None:
        try:
            # It may have been loaded since the request.
            if not self._stopped and self._cache.need(project_id) is not Need.NOTHING:
                self._cache.load(project_id)
        except Retryable as exc:
            LOG.warning("Project %s could not be loaded; it will be retried: %s", project_id, exc)
        except Exception:
            # The evaluator will get the same error for its events, and report it for each of them.
            self._refused.add(project_id)
            LOG.exception("Project %s cannot be loaded in the background", project_id)
        finally:
            ended(project_id)

    def stop(self) -> None:
        """Stop loading. The evaluator then loads the projects that events still wait for."""
        self._stopped = True
        self._executor.shutdown()
