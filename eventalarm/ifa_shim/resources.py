"""The resources of a project with their states: its active alarms, folded by managed object.

Alarms are read in the order of their places, and a resource is listed at the place of its first alarm: so
each is listed once, and pages need no index of resources.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Iterable
from typing import Final

from eventalarm.ifa_shim.alarm import IfaAlarm
from eventalarm.ifa_shim.alarms import AlarmReader, Marker, PlacedAlarm
from eventalarm.ifa_shim.queries import AlarmQuery, is_of
from eventalarm.ifa_shim.resource_states import ResourceState, ResourceStatus, status_of
from eventalarm.ifa_shim.tables import Settings
from eventalarm.storage.database import Database
from eventalarm.storage.maintenance import Inhibition, MaintenanceStore
from eventalarm.storage.occurrence_filters import Wanted
from eventalarm.storage.resource_map import ResourceMap

# The most occurrences that are read for the resources of one page, and in how many rounds at most.
MOST_ALARMS: Final = 10_000
ROUNDS: Final = 4
# Occurrences that are looked at to find out whether a resource is known: nearly always the first one is its.
FEW: Final = 20


@dataclasses.dataclass(frozen=True)
class ResourceQuery:
    """The filters of ``/ifa/v1/resources``: resources with an alarm that *alarms* selects.

    Without ``states`` all are listed.
    """

    project_id: str | None
    alarms: AlarmQuery
    states: frozenset[ResourceState] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class ResourceListing:
    """One page; ``next`` is None at the end. A page can be short, or empty, and still not be the last."""

    resources: list[ResourceStatus]
    next: Marker | None


class ResourceReader:
    """Reads from *database*, usually an open transaction; *now* is the present time (aware UTC)."""

    def __init__(self, database: Database, settings: Settings, now: datetime.datetime) -> None:
        self._alarms = AlarmReader(database, settings)
        self._maintenance = MaintenanceStore(database)
        self._map = ResourceMap(database)
        self._catalogue = settings.faults
        self._now = now

    def page(self, query: ResourceQuery, marker: Marker, limit: int) -> ResourceListing:
        """Return the next resources, those whose alarms were raised first first; up to *limit*.

        The work is bounded for every filter.
        """
        found, place = self._alarms.placed(query.alarms.wanted, marker, limit)
        matching = [one for one in found if one.alarm.active and query.alarms.matches(one.alarm)]
        candidates = _first_of_each(matching)
        active = {one.place: one for one in [*matching, *self._active(query.project_id, candidates)]}
        first = _first_of_each(one for one in active.values() if query.alarms.matches(one.alarm))
        listed = [name for name, one in candidates.items() if first[name].place == one.place]
        shown = self._statuses(query.project_id, listed, [one.alarm for one in active.values()])
        return ResourceListing([one for one in shown if not query.states or one.state in query.states], place)

    def get(self, resource_id: str, project_id: str | None) -> ResourceStatus | None:
        """Return one resource, with or without active alarms; None if the project has none of that id.

        A project has a resource on which one of its alarms is or was raised, or that is its by the resource
        map. *project_id* None stands for all projects.
        """
        alarms = [one.alarm for one in self._active(project_id, [resource_id])]
        if not alarms and not self._is_known(resource_id, project_id):
            return None
        return self._statuses(project_id, [resource_id], alarms)[0]

    def _active(self, project_id: str | None, resource_ids: Collection[str]) -> list[PlacedAlarm]:
        """Return the active alarms of a project (None: of all) on some resources."""
        wanted = Wanted(project_id, active=True, managed_objects=frozenset(resource_ids))
        found = (one for one in self._all(wanted) if is_of(one.alarm, project_id)) if resource_ids else ()
        return [one for one in found if one.alarm.active and one.alarm.managed_object_id in resource_ids]

    def _all(self, wanted: Wanted) -> list[PlacedAlarm]:
        found: list[PlacedAlarm] = []
        place: Marker | None = Marker()
        for _ in range(ROUNDS):
            if place is None or len(found) >= MOST_ALARMS:
                break
            rows, place = self._alarms.placed(wanted, place, MOST_ALARMS - len(found))
            found += rows
        return found

    def _statuses(
        self, project_id: str | None, resource_ids: Collection[str], alarms: Iterable[IfaAlarm]
    ) -> list[ResourceStatus]:
        of: dict[str, list[IfaAlarm]] = {name: [] for name in resource_ids}
        for alarm in alarms:
            if alarm.managed_object_id in of:
                of[alarm.managed_object_id].append(alarm)
        inhibitions = self._inhibitions(project_id, resource_ids)
        return [
            status_of(name, found, inhibitions.get(name, ()), self._catalogue) for name, found in of.items()
        ]

    def _inhibitions(
        self, project_id: str | None, resource_ids: Collection[str]
    ) -> dict[str, list[Inhibition]]:
        """Return what inhibits alarms on some resources, by resource.

        An alarm may name any resource. So a project gets this only for resources that are its by the resource
        map, and not for hosts, which are nobody's.
        """
        found: dict[str, list[Inhibition]] = {}
        for one in self._maintenance.inhibited(resource_ids, self._now) if resource_ids else ():
            found.setdefault(one.resource_id, []).append(one)
        if project_id is None or not found:
            return found
        owners = {name: one.project_id for name, one in self._map.find(found).items()}
        return {name: these for name, these in found.items() if owners.get(name) == project_id}

    def _is_known(self, resource_id: str, project_id: str | None) -> bool:
        mapped = self._map.find([resource_id]).get(resource_id)
        if mapped is not None and project_id in (None, mapped.project_id):
            return True
        found, _ = self._alarms.placed(
            Wanted(project_id, managed_objects=frozenset([resource_id])), Marker(), 1
        )
        return any(
            one.alarm.managed_object_id == resource_id and is_of(one.alarm, project_id) for one in found
        )


def _first_of_each(alarms: Iterable[PlacedAlarm]) -> dict[str, PlacedAlarm]:
    """Return the alarm of the first place of each resource; alarms about no resource are left out."""
    found: dict[str, PlacedAlarm] = {}
    for one in sorted(alarms, key=lambda one: one.place):
        if not one.alarm.is_unresolved:
            found.setdefault(one.alarm.managed_object_id, one)
    return found
