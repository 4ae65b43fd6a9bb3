"""Planned maintenance of hosts, and the resources whose alarms it inhibits."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Iterable
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import HostMaintenance, Resource
from eventalarm.storage.column_types import in_chunks, to_key
from eventalarm.storage.database import Database
from eventalarm.storage.errors import retry_conflicts
from eventalarm.storage.inspector_tables import inhibition, maintenance
from eventalarm.storage.resource_map import moved_from, on_hosts, volumes_on

STATE_LENGTH: Final = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Inhibition:
    """That alarms on a resource are inhibited by the maintenance of its host, *since* when (aware UTC)."""

    resource_id: str
    session_id: str
    since: datetime.datetime


class MaintenanceStore:
    """The maintenance of hosts in one database; every method raises Retryable when the database failed.

    Safe to call from several processes at once, and to repeat. *now* is the present time (aware UTC).
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @retry_conflicts
    def begin(self, report: HostMaintenance, now: datetime.datetime) -> bool:
        """Record that a host is in maintenance, and inhibit the alarms on it and on what is on it.

        A further report about the same session and host prolongs it. Return False if the report is older
        than what is known, so that nothing changed.
        """
        report = _as_stored(report)
        with self._database.begin() as connection:
            known = _lock(connection, report.session_id, report.host)
            if known is not None and _is_late(known, report.at):
                return False
            _put(connection, report, exists=known is not None)
            _refresh(connection, report, now)
        return True

    @retry_conflicts
    def end(self, report: HostMaintenance, now: datetime.datetime) -> bool:
        """Record that the maintenance of a host in a session has ended; its inhibitions end with it.

        Return False if a newer report says otherwise. Without an earlier report the end is recorded all the
        same, so that a beginning that arrives late changes nothing.
        """
        report = dataclasses.replace(_as_stored(report), ended_at=now)
        with self._database.begin() as connection:
            known = _lock(connection, report.session_id, report.host)
            if known is not None and (known.ended_at is not None or report.at < known.at):
                return False
            _put(connection, report, exists=known is not None)
            _end_inhibitions(connection, report, now)
        return True

    def in_maintenance(self, hosts: Collection[str], now: datetime.datetime) -> set[str]:
        """Return which of the hosts are in planned maintenance."""
        return {one.host for one in self.active(now, {to_key(host) for host in hosts})}

    def active(self, now: datetime.datetime, hosts: Collection[str] | None = None) -> list[HostMaintenance]:
        """Return the maintenance that has neither ended nor expired, of some hosts or of all."""
        query = sa.select(maintenance).where(maintenance.c.ended_at.is_(None), maintenance.c.expires_at > now)
        with self._database.read() as connection:
            if hosts is None:
                return [_maintenance(row) for row in connection.execute(query)]
            return [
                _maintenance(row)
                for chunk in in_chunks(hosts)
                for row in connection.execute(query.where(maintenance.c.host.in_(chunk)))
            ]

    def inhibited(self, resource_ids: Collection[str], now: datetime.datetime) -> list[Inhibition]:
        """Return the inhibitions of some resources that stand at *now*; a host is a resource too."""
        stands = (inhibition.c.ended_at.is_(None), inhibition.c.expires_at > now)
        columns = (inhibition.c.resource_id, inhibition.c.session_id, inhibition.c.since)
        with self._database.read() as connection:
            return [
                Inhibition(*row)
                for chunk in in_chunks({to_key(name) for name in resource_ids})
                for row in connection.execute(
                    sa.select(*columns).where(inhibition.c.resource_id.in_(chunk), *stands)
                )
            ]

    def refresh(self, now: datetime.datetime, hosts: Collection[str] | None = None) -> None:
        """Inhibit what has arrived on hosts in maintenance, and no longer what has left them.

        :param hosts: the hosts to look at; None for all.
        """
        for one in self.active(now, hosts):
            with self._database.begin() as connection:
                known = _lock(connection, one.session_id, one.host)
                if known is not None and known.ended_at is None:
                    _refresh(connection, known, now)

    def follow(self, resources: Iterable[Resource], now: datetime.datetime) -> None:
        """Refresh the hosts in maintenance where some observed *resources* are, or were when it began."""
        resources = list(resources)
        active = {one.host for one in self.active(now)}
        if not active:
            return
        hosts = {one.host for one in resources}
        # A port or volume is where its server is.
        ids = {one.resource_id for one in resources} | {one.device_id for one in resources}
        with self._database.read() as connection:
            for chunk in in_chunks({to_key(name) for name in ids}):
                query = sa.select(inhibition.c.host).where(
                    inhibition.c.resource_id.in_(chunk), inhibition.c.ended_at.is_(None)
                )
                hosts |= set(connection.execute(query).scalars())
        self.refresh(now, active & hosts)

    def forget(self, before: datetime.datetime) -> None:
        """Remove maintenance that ended or expired before then, and its inhibitions."""
        with self._database.begin() as connection:
            for table in (inhibition, maintenance):
                over = sa.or_(table.c.ended_at < before, table.c.expires_at < before)
                connection.execute(sa.delete(table).where(over))


def _as_stored(report: HostMaintenance) -> HostMaintenance:
    return dataclasses.replace(
        report,
        session_id=to_key(report.session_id),
        host=to_key(report.host),
        state=report.state[:STATE_LENGTH],
    )


def _is_late(known: HostMaintenance, at: datetime.datetime) -> bool:
    return at < known.at or (at == known.at and known.ended_at is not None)


def _lock(connection: sa.Connection, session_id: str, host: str) -> HostMaintenance | None:
    query = sa.select(maintenance).where(maintenance.c.session_id == session_id, maintenance.c.host == host)
    row = connection.execute(query.with_for_update()).first()
    return None if row is None else _maintenance(row)


def _maintenance(row: Any) -> HostMaintenance:
    return HostMaintenance(
        **{one.name: getattr(row, one.name) for one in dataclasses.fields(HostMaintenance)}
    )


def _put(connection: sa.Connection, one: HostMaintenance, *, exists: bool) -> None:
    values = dataclasses.asdict(one)
    if exists:
        this = sa.and_(maintenance.c.session_id == one.session_id, maintenance.c.host == one.host)
        connection.execute(sa.update(maintenance).where(this).values(values))
    else:
        connection.execute(sa.insert(maintenance), [values])


def _of(one: HostMaintenance) -> sa.ColumnElement[bool]:
    """Return the condition on the inhibitions of a host in a session."""
    return sa.and_(inhibition.c.host == one.host, inhibition.c.session_id == one.session_id)


def _refresh(connection: sa.Connection, one: HostMaintenance, now: datetime.datetime) -> None:
    """Make the inhibitions those of the host and of what is on it; their maintenance is locked."""
    known = {
        row.resource_id: row.ended_at is None
        for row in connection.execute(sa.select(inhibition).where(_of(one)))
    }
    there = [*on_hosts(connection, [one.host]), *volumes_on(connection, one.host)]
    wanted = {one.host, *(to_key(item.resource_id) for item in there)}
    if new := wanted - known.keys():
        rows = [
            {
                "resource_id": name,
                "session_id": one.session_id,
                "host": one.host,
                "since": now,
                "expires_at": one.expires_at,
            }
            for name in sorted(new)
        ]
        connection.execute(sa.insert(inhibition), rows)
    for chunk in in_chunks({name for name in wanted if known.get(name) is False}):
        back = sa.and_(_of(one), inhibition.c.resource_id.in_(chunk))
        connection.execute(sa.update(inhibition).where(back).values(since=now, ended_at=None))
    absent = {name for name, stands in known.items() if stands} - wanted
    _end_inhibitions(connection, one, now, moved_from(connection, one.host, absent))
    still = sa.and_(_of(one), inhibition.c.ended_at.is_(None), inhibition.c.expires_at != one.expires_at)
    connection.execute(sa.update(inhibition).where(still).values(expires_at=one.expires_at))


def _end_inhibitions(
    connection: sa.Connection,
    one: HostMaintenance,
    now: datetime.datetime,
    resource_ids: Collection[str] | None = None,
) -> None:
    """End the inhibitions of some resources, or all of the host in this session."""
    standing = sa.and_(_of(one), inhibition.c.ended_at.is_(None))
    end = sa.update(inhibition).values(ended_at=now)
    if resource_ids is None:
        connection.execute(end.where(standing))
        return
    for chunk in in_chunks(resource_ids):
        connection.execute(end.where(standing, inhibition.c.resource_id.in_(chunk)))
