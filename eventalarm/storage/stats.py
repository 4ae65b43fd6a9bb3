"""Figures for health checks and metrics: the outbox, live listeners, alarms and subscriptions.

Every function reads without locks and raises :class:`eventalarm.exceptions.Retryable` if the database failed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import UNFINISHED, UTC, DeliveryState
from eventalarm.storage.claims import AT_ONCE, IN_TURN
from eventalarm.storage.database import Database
from eventalarm.storage.ifa_tables import subscription
from eventalarm.storage.schema import version_of
from eventalarm.storage.subscriptions import SubscriptionState
from eventalarm.storage.tables import alarm, alarm_count, delivery, project_secret, worker

# How many connections are opened at once to see to which nodes of a Galera cluster they lead.
PROBES: Final = 3

ACTIONS: Final = (alarm.c.alarm_actions, alarm.c.ok_actions, alarm.c.insufficient_data_actions)


@dataclasses.dataclass(frozen=True, slots=True)
class OutboxFigures:
    """Numbers of unfinished and of due deliveries; ``oldest_due`` is the longest time overdue in seconds."""

    unfinished: int
    due: int
    oldest_due: float


@dataclasses.dataclass(frozen=True, slots=True)
class FailedFigures:
    """Numbers of deliveries that were given up, in total and recently."""

    failed: int
    recently: int


@dataclasses.dataclass(frozen=True, slots=True)
class LiveListeners:
    """The hosts of listener processes with a valid lease, and when any of them last consumed an event."""

    hosts: tuple[str, ...]
    last_event_at: datetime.datetime | None
    now: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmFigures:
    """How many alarms of each type are enabled, and the ids of some that are at a limit.

    ``full`` are raised on the largest number of managed objects that is recorded for one alarm,
    ``full_awaited`` await the absence of the largest number.
    """

    enabled: dict[str, int]
    full: tuple[str, ...]
    full_awaited: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class SubscriptionFigures:
    """How many subscriptions there are, and how many of them are suspended."""

    total: int
    suspended: int


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """``standby``: PostgreSQL in recovery. ``cluster_size``: nodes of a Galera cluster, 0 without one.

    ``nodes`` are the names of those to which our connections lead, and ``node_state`` is that of one of them,
    ``Synced`` if it can be used.
    ``sync_wait`` and ``time_zone`` are those of our own session; the zone is empty where none matters.
    ``version`` is what the server says; ``max_packet`` is MariaDB's and MySQL's ``max_allowed_packet`` in
    bytes, 0 elsewhere; ``pooled`` is true behind a pooler (pgbouncer). ``standbys`` are the ``sync_state`` of
    PostgreSQL's standbys, as far as our role may see them, ``synchronous_commit`` its setting in our session.
    """

    standby: bool = False
    read_only: bool = False
    cluster_size: int = 0
    nodes: tuple[str, ...] = ()
    node_state: str = "Synced"
    sync_wait: int = 0
    time_zone: str = ""
    version: str = ""
    max_packet: int = 0
    pooled: bool = False
    standbys: tuple[str, ...] = ()
    synchronous_commit: str = "on"


def outbox_figures(database: Database) -> OutboxFigures:
    """Return how many deliveries are to be sent and how long they have been waiting."""
    now = database.now()
    made = sa.func.coalesce(delivery.c.retried_at, delivery.c.created_at)
    since = sa.case((delivery.c.next_attempt_at == AT_ONCE, made), else_=delivery.c.next_attempt_at)
    waiting = delivery.c.state.in_(UNFINISHED)
    is_due = sa.and_(
        delivery.c.state == DeliveryState.PENDING.value,
        delivery.c.next_attempt_at <= now,
        delivery.c.next_attempt_at < IN_TURN,
    )
    with database.read() as connection:
        unfinished = connection.execute(sa.select(sa.func.count()).where(waiting)).scalar_one()
        due, oldest = connection.execute(sa.select(sa.func.count(), sa.func.min(since)).where(is_due)).one()
    oldest = _moment(oldest)
    return OutboxFigures(unfinished, due, max(0.0, (now - oldest).total_seconds()) if oldest else 0.0)


def failed_figures(database: Database, since: datetime.datetime | None = None) -> FailedFigures:
    """Return how many deliveries were given up, in total and after *since* (None: not counted)."""
    failed = sa.select(sa.func.count()).where(delivery.c.state == DeliveryState.FAILED.value)
    with database.read() as connection:
        total = int(connection.execute(failed).scalar_one())
        if since is None or not total:
            return FailedFigures(total, 0)
        recently = connection.execute(failed.where(delivery.c.finished_at > since)).scalar_one()
    return FailedFigures(total, int(recently))


def live_listeners(database: Database) -> LiveListeners:
    """Return the listener processes whose lease is valid by the database's clock."""
    now = database.now()
    query = sa.select(worker.c.host, worker.c.last_event_at).where(worker.c.expires_at > now)
    with database.read() as connection:
        rows = connection.execute(query.order_by(worker.c.host)).all()
    seen = [row.last_event_at for row in rows if row.last_event_at is not None]
    return LiveListeners(tuple(row.host for row in rows), max(seen, default=None), now)


def clock_offsets(database: Database) -> dict[str, float]:
    """Return by how many seconds the clock of each live listener's host is ahead of the database's."""
    columns = (worker.c.host, worker.c.clock_offset)
    query = sa.select(*columns).where(
        worker.c.expires_at > database.now(), worker.c.clock_offset.is_not(None)
    )
    with database.read() as connection:
        return {row.host: float(row.clock_offset) for row in connection.execute(query)}


def last_alarm_change(database: Database) -> datetime.datetime | None:
    """Return when an alarm definition was last changed, by the clock of the host that served the request."""
    with database.read() as connection:
        found: datetime.datetime | None = connection.execute(
            sa.select(sa.func.max(alarm.c.timestamp))
        ).scalar()
    return found


def alarm_figures(database: Database, types: Iterable[str], most: int) -> AlarmFigures:
    """Return how many alarms of *types* are enabled, and up to *most* of them that are at each limit."""
    ours = sa.and_(alarm.c.enabled, alarm.c.type.in_(sorted(types)))
    counts = sa.select(alarm.c.type, sa.func.count()).where(ours).group_by(alarm.c.type)
    names = sa.select(alarm_count.c.alarm_id).join(alarm, alarm.c.alarm_id == alarm_count.c.alarm_id)
    ordered = names.where(ours).order_by(alarm_count.c.alarm_id).limit(most)
    with database.read() as connection:
        enabled = {str(kind): int(number) for kind, number in connection.execute(counts)}
        full = tuple(connection.execute(ordered.where(alarm_count.c.is_full)).scalars())
        full_awaited = tuple(connection.execute(ordered.where(alarm_count.c.is_full_awaited)).scalars())
    return AlarmFigures(enabled, full, full_awaited)


def actions_like(database: Database, pattern: str, most: int) -> list[tuple[str, list[str]]]:
    """Return the actions of up to *most* enabled ``event`` alarms of which one may match a LIKE *pattern*.

    *pattern* is in lower case.
    """
    texts = [sa.func.lower(sa.type_coerce(column, sa.Text)) for column in ACTIONS]
    query = sa.select(alarm.c.alarm_id, *ACTIONS).where(
        alarm.c.enabled, alarm.c.type == "event", sa.or_(*(text.like(pattern) for text in texts))
    )
    with database.read() as connection:
        rows = connection.execute(query.order_by(alarm.c.alarm_id).limit(most)).all()
    return [
        (alarm_id, [str(action) for actions in lists for action in actions or ()])
        for alarm_id, *lists in rows
    ]


def subscription_figures(database: Database) -> SubscriptionFigures:
    """Return how many subscriptions there are."""
    count = sa.select(sa.func.count()).select_from(subscription)
    suspended = count.where(subscription.c.state == SubscriptionState.SUSPENDED.value)
    with database.read() as connection:
        total = int(connection.execute(count).scalar_one())
        return SubscriptionFigures(total, int(connection.execute(suspended).scalar_one()))


def encrypted_secrets(database: Database, limit: int) -> list[tuple[str, str]]:
    """Return up to *limit* of each kind of encrypted secret, each with the name of its owner.

    The secrets that sign webhooks, and the credentials of the subscriptions that are notified.
    """
    signing = sa.select(project_secret.c.project_id, project_secret.c.secret)
    credentials = sa.select(subscription.c.subscription_id, subscription.c.authentication).where(
        subscription.c.authentication.is_not(None)
    )
    with database.read() as connection:
        return [
            *((f"project {owner}", text) for owner, text in connection.execute(signing.limit(limit))),
            *(
                (f"subscription {owner}", text)
                for owner, text in connection.execute(credentials.limit(limit))
            ),
        ]


def read_server(database: Database) -> Server:
    """Return the properties of the database server and of this session.

    :raises eventalarm.exceptions.Retryable: if the database failed.
    """
    if database.dialect == "postgresql":
        return _read_postgresql(database)
    if database.dialect not in ("mysql", "mariadb"):
        return Server()
    with database.read() as connection:
        query = "SELECT @@global.read_only, @@SESSION.time_zone, @@global.max_allowed_packet"
        read_only, time_zone, max_packet = connection.exec_driver_sql(query).one()
        version = version_of(connection)
        galera = _galera(database, connection)
    return Server(
        **galera,
        read_only=str(read_only).upper() not in ("0", "OFF"),
        time_zone=str(time_zone),
        version=version,
        max_packet=int(max_packet),
    )


def _read_postgresql(database: Database) -> Server:
    with database.read() as connection:
        query = (
            "SELECT pg_is_in_recovery(), current_setting('transaction_read_only'), "
            "current_setting('synchronous_commit')"
        )
        standby, read_only, synchronous_commit = connection.exec_driver_sql(query).one()
        # Without the privileges of pg_monitor the state is NULL. A backup that streams is not a standby.
        replication = (
            "SELECT sync_state FROM pg_stat_replication "
            "WHERE sync_state IS NOT NULL AND state = 'streaming' AND application_name <> 'pg_basebackup'"
        )
        standbys = tuple(sorted(connection.exec_driver_sql(replication).scalars()))
        version = version_of(connection)
    return Server(
        standby=bool(standby),
        read_only=read_only == "on",
        version=version,
        pooled=database.pooled,
        standbys=standbys,
        synchronous_commit=synchronous_commit,
    )


def _galera(database: Database, connection: sa.Connection) -> dict[str, Any]:
    """Return the fields of :class:`Server` about a Galera cluster; nothing where there is none."""
    named = "SHOW SESSION VARIABLES WHERE Variable_name IN ('wsrep_on', 'wsrep_sync_wait')"
    settings = {str(row[0]): row[1] for row in connection.exec_driver_sql(named)}
    if str(settings.get("wsrep_on", "OFF")).upper() != "ON":
        return {}
    named = "SHOW STATUS WHERE Variable_name IN ('wsrep_cluster_size', 'wsrep_local_state_comment')"
    status = {str(row[0]): str(row[1]) for row in connection.exec_driver_sql(named)}
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(database.engine.connect()) for _ in range(PROBES)]
        names = {str(probe.exec_driver_sql("SELECT @@wsrep_node_name").scalar_one()) for probe in probes}
    return {
        "cluster_size": int(status["wsrep_cluster_size"]),
        "nodes": tuple(sorted(names)),
        "node_state": status["wsrep_local_state_comment"],
        "sync_wait": int(settings["wsrep_sync_wait"]),
    }


def _moment(value: Any) -> datetime.datetime | None:
    """Restore the type of the result of an expression, which SQLite returns as text."""
    if value is None:
        return None
    moment = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
