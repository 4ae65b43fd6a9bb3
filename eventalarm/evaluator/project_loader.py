"""Large projects are loaded aside, so that their first event delays nobody else's, and before it comes."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
from collections.abc import Callable, Iterator

from eventalarm.evaluator.definitions_cache import AlarmCache, Need
from eventalarm.exceptions import Retryable

LOG = logging.getLogger(__name__)


class ProjectLoader:
    """Loads one project after the other, on one thread of its own.

    :meth:`ready` and :meth:`release` belong to the thread that evaluates. A project that is small is not
    loaded here: that is done in passing.

    :param loaded: called with the project when one that was waited for is there, on the thread that loads.
    """

    def __init__(self, cache: AlarmCache, loaded: Callable[[str], None]) -> None:
        self._cache = cache
        self._loaded = loaded
        self._awaited: set[str] = set()
        self._renewed: set[str] = set()
        self._refused: set[str] = set()
        self._stopped = False
        self._executor = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="project-loader")

    def ready(self, project_id: str) -> bool:
        """Tell whether events of a project can be evaluated; if not, see to it that they can be soon.

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
        """Let events of a project pass that was waited for."""
        self._awaited.discard(project_id)

    def preload(self) -> None:
        """Begin to load the large projects, the largest first, before an event of theirs comes."""
        self._executor.submit(self._begin_preloading)

    def _begin_preloading(self) -> None:
        try:
            names = self._cache.large_projects()
        except Retryable as exc:
            LOG.warning("Large projects are loaded when their first event comes: %s", exc)
        except Exception:
            LOG.exception("Large projects are loaded when their first event comes")
        else:
            self._preload_next(iter(names))

    def _preload_next(self, names: Iterator[str]) -> None:
        project_id = next(names, None)
        if project_id is None or self._stopped:
            return
        self._load(project_id, lambda _: None)
        # One at a time: a project that an event waits for goes first. After the end nothing is taken.
        with contextlib.suppress(RuntimeError):
            self._executor.submit(self._preload_next, names)

    def _load(self, project_id: str, ended: Callable[[str], None]) -> None:
        try:
            # It may have been loaded since this was asked for.
            if not self._stopped and self._cache.need(project_id) is not Need.NOTHING:
                self._cache.load(project_id)
        except Retryable as exc:
            LOG.warning("Project %s could not be loaded and is tried again: %s", project_id, exc)
        except Exception:
            # Whoever evaluates its events will meet the same, and can tell what became of them.
            self._refused.add(project_id)
            LOG.exception("Project %s cannot be loaded aside", project_id)
        finally:
            ended(project_id)

    def stop(self) -> None:
        """Load nothing more aside; what is waited for is let pass, and loaded by whoever evaluates it."""
        self._stopped = True
        self._executor.shutdown()
