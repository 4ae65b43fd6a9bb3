"""The engine on a real database, with an enqueuer that only records what it is given."""

from __future__ import annotations

import contextlib
import datetime
import json
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, cast

import pytest
import sqlalchemy as sa
from aodh.storage import impl_sqlalchemy
from aodh.storage import models as api_models
from aodh.storage.sqlalchemy import models as aodh_models
from oslo_db.sqlalchemy import enginefacade

from eventalarm.database_url import with_driver
from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.evaluator import decide
from eventalarm.evaluator.background_recorder import BackgroundRecorder
from eventalarm.evaluator.batch import BatchReport
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.engine import Engine
from eventalarm.evaluator.options import CacheOptions, EngineOptions
from eventalarm.exceptions import InvalidRule
from eventalarm.ifa_shim.resource import recorded_resource
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import UTC, AlarmDefinition, Delivery, Event, Transition
from eventalarm.storage import tables
from eventalarm.storage.alarms import AlarmReader
from eventalarm.storage.column_types import to_key
from eventalarm.storage.database import Database, connect
from eventalarm.storage.events import EVENT_LENGTH
from eventalarm.storage.tables import metadata

TYPES = (decide.EVENT_TYPE, decide.NOTIFICATION_TYPE)
OWNER_TRAITS = ("project_id", "tenant_id")
RESOURCE_TRAITS = ("resource_id", "instance_id", "host")
ALARM_TABLE = aodh_models.Alarm.__table__


class RecordingEnqueuer:
    """Records the transitions whose transaction was committed, in order."""

    def __init__(self) -> None:
        self.sent: list[Transition] = []
        self.recoveries = 0
        self._open: list[Transition] = []

    def enqueue(
        self,
        connection: sa.Connection,
        transitions: Sequence[Transition],
        unfinished: Collection[str] | None,
        subscribed: datetime.datetime | None = None,
    ) -> list[Delivery]:
        self._open = [t for t in transitions if t.actions]
        return []

    def submit(self, deliveries: Sequence[Delivery]) -> None:
        self.sent += self._open
        self._open = []

    def recover(self) -> None:
        self.recoveries += 1


_SETTINGS = Settings()


def resource_naming(rule: Mapping[str, Any], managed_object: str, event: Event) -> str | None:
    """Return the resource of an occurrence with the default settings."""
    found = recorded_resource(rule, managed_object, event, _SETTINGS)
    return to_key(found) if found is not None else None


class EngineHarness:
    """One engine with its own cache, as in a listener process."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], datetime.datetime] | None = None,
        infrastructure_projects: Sequence[str] = (),
        clear_mode: str = decide.WITH_OK_ACTIONS,
        max_candidates: int = 10000,
        enqueuer: Any = None,
        beside_aodh_listener: bool = False,
        max_occurrences: int = 10000,
        recorder: BackgroundRecorder | None = None,
        **more: Any,
    ) -> None:
        self.database = database
        self.enqueuer = enqueuer or RecordingEnqueuer()
        self.bad_rules: list[tuple[str, str]] = []
        self.cache = AlarmCache(
            AlarmReader(database, TYPES),
            CacheOptions(RESOURCE_TRAITS, overlap=10.0, reload_interval=600.0, max_alarms=1_000_000),
            clears=lambda definition: decide.clears(clear_mode, definition),
            bad_rule=self._bad_rule,
            monotonic=time.monotonic,
        )
        options = EngineOptions(
            types=TYPES,
            owner_traits=OWNER_TRAITS,
            resource_traits=RESOURCE_TRAITS,
            infrastructure_projects=tuple(infrastructure_projects),
            clear_mode=clear_mode,
            record_history=True,
            max_candidates=max_candidates,
            beside_aodh_listener=beside_aodh_listener,
            max_occurrences=max_occurrences,
            resource_of=resource_naming,
            **{"max_event_size": EVENT_LENGTH, **more},
        )
        parts: dict[str, Any] = {"clock": clock} if clock is not None else {}
        parts["recorder"] = recorder
        self.engine = Engine(database, self.cache, cast(OutboxEnqueuer, self.enqueuer), options, **parts)

    def _bad_rule(self, definition: AlarmDefinition, error: InvalidRule) -> None:
        self.bad_rules.append((definition.alarm_id, error.field))

    @property
    def sent(self) -> list[Transition]:
        """The transitions with actions, as committed."""
        return list(self.enqueuer.sent)

    def process(self, *events: Event | dict[str, Any]) -> BatchReport:
        """Evaluate events as one batch."""
        return self.engine.process([e if isinstance(e, Event) else Event.parse(e) for e in events])


def alarm_row(alarm_id: str = "", *, rule: Any, **columns: Any) -> dict[str, Any]:
    """Return a row of Aodh's alarm table, as its API would have just written it."""
    now = datetime.datetime.now(UTC).replace(tzinfo=None)
    row = {
        "alarm_id": alarm_id or str(uuid.uuid4()),
        "enabled": True,
        "name": "an alarm",
        "type": "event",
        "severity": "low",
        "description": "",
        "timestamp": now,
        "user_id": "user",
        "project_id": "project-a",
        "state": "ok",
        "state_reason": "Not evaluated yet",
        "state_timestamp": now,
        "ok_actions": [],
        "alarm_actions": ["http://alarm"],
        "insufficient_data_actions": [],
        "repeat_actions": False,
        "rule": rule,
        "time_constraints": [],
        "evaluate_timestamp": now,
    }
    return row | columns


def insert_alarms(database: Database, *rows: Mapping[str, Any]) -> None:
    """Write rows of Aodh's alarm table with Aodh's own column types."""
    with database.begin() as connection:
        connection.execute(sa.insert(ALARM_TABLE), list(rows))


def read_alarm(database: Database, alarm_id: str) -> dict[str, Any]:
    """Return an alarm row as Aodh reads it."""
    with database.read() as connection:
        row = connection.execute(sa.select(ALARM_TABLE).where(ALARM_TABLE.c.alarm_id == alarm_id)).one()
    return dict(row._mapping)


def read_table(database: Database, table: sa.Table, **equal: Any) -> list[dict[str, Any]]:
    """Return the rows of one of our tables."""
    wanted = [table.c[name] == value for name, value in equal.items()]
    with database.read() as connection:
        return [dict(row._mapping) for row in connection.execute(sa.select(table).where(*wanted))]


def transitions(database: Database, **equal: Any) -> list[dict[str, Any]]:
    """Return recorded transitions, oldest first."""
    return sorted(read_table(database, tables.transition, **equal), key=lambda row: row["recorded_at"])


def occurrences(database: Database, **equal: Any) -> list[dict[str, Any]]:
    """Return occurrences, oldest first."""
    return sorted(read_table(database, tables.occurrence, **equal), key=lambda row: row["raised_at"])


def history(database: Database, alarm_id: str) -> list[dict[str, Any]]:
    """Return the details of Aodh's history records of an alarm."""
    rows = read_table(database, tables.alarm_history, alarm_id=alarm_id)
    return [json.loads(row["detail"]) for row in sorted(rows, key=lambda row: row["timestamp"])]


def create_schemas(database: Database) -> None:
    """Create Aodh's tables and ours, without their migrations."""
    aodh_models.Base.metadata.create_all(database.engine)
    metadata.create_all(database.engine)


@contextlib.contextmanager
def open_database(url: str) -> Iterator[Database]:
    """Open a database that holds Aodh's tables and ours."""
    database = connect(with_driver(url), pipelines=True)
    yield database
    database.dispose()


class AodhStorage:
    """Aodh's real storage code on a given database; Aodh itself binds one for the whole process."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        facade = enginefacade.transaction_context()
        facade.configure(connection=with_driver(url), max_retries=0, sqlite_fk=True)
        monkeypatch.setattr(impl_sqlalchemy, "enginefacade", facade)
        monkeypatch.setattr(impl_sqlalchemy, "DB_CONFIGURED", True)
        self.connection = impl_sqlalchemy.Connection(None)
        self._facade = facade

    def create(self, row: Mapping[str, Any]) -> str:
        """Create an alarm as the API does and return its id."""
        self.connection.create_alarm(api_models.Alarm(**row))
        return str(row["alarm_id"])

    def get(self, alarm_id: str) -> Any:
        """Return an alarm as the API reads it."""
        (found,) = self.connection.get_alarms(alarm_id=alarm_id)
        return found

    def edit(self, alarm_id: str, **changes: Any) -> None:
        """Change an alarm as a PUT does: the whole row as read, with the changes and a new timestamp."""
        self.put(self.get(alarm_id), **changes)

    def put(self, read_before: Any, **changes: Any) -> None:
        """Write back an alarm that was read earlier, with *changes*."""
        changes["timestamp"] = datetime.datetime.now(UTC).replace(tzinfo=None)
        self.connection.update_alarm(api_models.Alarm(**(read_before.as_dict() | changes)))

    def delete(self, alarm_id: str) -> None:
        """Delete an alarm as the API does."""
        self.connection.delete_alarm(alarm_id)

    def changes(self, alarm_id: str, project_id: str) -> list[Any]:
        """Return the alarm's history as the API reads it for its owner, oldest first."""
        found = self.connection.get_alarm_changes(alarm_id, project_id)
        return sorted(found, key=lambda change: change.timestamp)

    def close(self) -> None:
        """Close the connections."""
        self._facade.writer.get_engine().dispose()
