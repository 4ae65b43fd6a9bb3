"""The hosts of the cloud with their states, for administrators.

The state is the first of these that holds:

* ``maintenance``: a session of planned maintenance holds the host;
* ``down``: a raised fault of the host is service-affecting and CRITICAL, by its report or the catalogue;
* ``error``: another raised fault is service-affecting, or MAJOR or CRITICAL;
* ``normal``.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from eventalarm.catalogue.faults import FaultCatalogue
from eventalarm.ifa_shim.alarm import Document, Severity, rfc3339
from eventalarm.ifa_shim.resource_states import STATES, ResourceState, state_by_fault
from eventalarm.model import InfrastructureFault, severity_word
from eventalarm.storage.database import Database
from eventalarm.storage.hosts import HostRecord, Hosts


def state_of(record: HostRecord, catalogue: FaultCatalogue) -> ResourceState:
    """Return the state of a host."""
    if record.maintenance:
        return ResourceState.MAINTENANCE
    states = (state_by_fault(catalogue.get(one.name), _severity(one, catalogue)) for one in record.faults)
    return min(states, key=STATES.index, default=ResourceState.NORMAL)


def as_document(
    record: HostRecord, catalogue: FaultCatalogue, snapshot_at: datetime.datetime | None, *, stale: bool
) -> Document:
    """Return the JSON of a host; attributes without a value are left out.

    :param snapshot_at: when the last complete snapshot of the resource map began (aware UTC).
    :param stale: the map may be wrong, as there is no such snapshot, or it is too old.
    """
    found: dict[str, Any] = {
        "host": record.host,
        "state": state_of(record, catalogue).value,
        "servers": record.servers,
        "faults": [_fault(one, catalogue) for one in record.faults],
        "maintenance": [
            {"sessionId": one.session_id, "state": one.state, "reportedTime": rfc3339(one.at)}
            for one in record.maintenance
        ],
        "seenTime": rfc3339(record.seen_at) if record.seen_at is not None else None,
        "snapshotTime": rfc3339(snapshot_at) if snapshot_at is not None else None,
        "stale": stale,
    }
    return {name: value for name, value in found.items() if value is not None}


def _fault(fault: InfrastructureFault, catalogue: FaultCatalogue) -> Document:
    severity = _severity(fault, catalogue)
    return {
        "name": fault.name,
        "source": fault.source,
        "faultId": fault.fault_id,
        "perceivedSeverity": severity.value,
        "reportedTime": rfc3339(fault.at),
    }


def _severity(fault: InfrastructureFault, catalogue: FaultCatalogue) -> Severity:
    """Return the severity that the report names, else that of the fault catalogue."""
    entry = catalogue.get(fault.name)
    named = severity_word(fault.severity) or (entry.severity if entry is not None else None)
    return Severity(named) if named else Severity.INDETERMINATE


class PhysicalResourceReader:
    """Reads hosts as JSON from *database*, an open transaction; *now* is the present time (aware UTC).

    :param stale_after: seconds after which a complete snapshot of the resource map is too old; None where no
        snapshots are taken.
    """

    def __init__(
        self,
        database: Database,
        catalogue: FaultCatalogue,
        now: datetime.datetime,
        stale_after: float | None,
    ) -> None:
        self._hosts = Hosts(database, now)
        self._catalogue = catalogue
        self._now = now
        self._stale_after = stale_after

    def page(self, after: str, limit: int) -> tuple[list[Document], str | None]:
        """Return the next hosts after the host *after*, and the last of them unless there are no more.

        First those with servers by name; with the last of them those without, which have a fault or are in
        maintenance.
        """
        rows = self._hosts.with_servers(after, limit + 1)
        if len(rows) > limit:
            return self._documents(rows[:limit]), rows[limit - 1].host
        return self._documents([*rows, *self._hosts.without_servers()]), None

    def get(self, host: str) -> Document | None:
        """Return one host, or None if nothing is known of it."""
        found = self._hosts.find(host)
        return None if found is None else self._documents([found])[0]

    def has_inspector(self) -> bool:
        """Return True if an inspector has ever finished a snapshot or recorded a host."""
        return self._hosts.snapshot_at() is not None or bool(self.page("", 1)[0])

    def _documents(self, records: Iterable[HostRecord]) -> list[Document]:
        at = self._hosts.snapshot_at()
        stale = self._stale_after is not None and (
            at is None or (self._now - at).total_seconds() > self._stale_after
        )
        return [as_document(one, self._catalogue, at, stale=stale) for one in records]
