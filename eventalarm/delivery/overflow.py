"""For whom there is no room in memory, so that no more of theirs is claimed until there is."""

from __future__ import annotations

from typing import Final

from eventalarm.delivery import action
from eventalarm.delivery.scheduler import Call, Scheduler
from eventalarm.delivery.senders.base import Destination
from eventalarm.storage.claims import Place

# How many destinations one claim names at most.
MOST_AVOIDED: Final = 50


class Overflow:
    """Remembers projects, and destinations of a project, that have their share of memory.

    Lives in the event loop, like the *scheduler* that it asks.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        # Destinations of a project, with how their actions begin.
        self._destinations: dict[tuple[str, Destination], str] = {}
        self._projects: set[str] = set()

    def note(self, call: Call) -> None:
        """Remember for whom *call* found no room."""
        project = call.delivery.project_id
        if self._scheduler.full(project):
            self._projects.add(project)
        elif self._scheduler.full(project, call.queue):
            start = action.start(call.delivery.action)
            self._destinations.setdefault((project, call.queue), start)

    def places(self) -> list[Place]:
        """Return the destinations to avoid in a claim; those that have room again are forgotten."""
        for place in [place for place in self._destinations if not self._scheduler.full(*place)]:
            del self._destinations[place]
        return [(project, start) for (project, _), start in self._destinations.items()][:MOST_AVOIDED]

    def projects(self) -> set[str]:
        """Return the projects to avoid in a claim; those that have room again are forgotten."""
        self._projects = {project for project in self._projects if self._scheduler.full(project)}
        return self._projects
