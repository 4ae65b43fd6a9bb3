"""Aodh's installed event evaluator, run for real between a storage and a notifier that live in memory."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import functools
import logging
from typing import Any

from aodh import opts as aodh_opts
from aodh import storage as aodh_storage
from aodh.evaluator import event as aodh_event
from aodh.storage import models
from oslo_config import cfg


def to_model(row: dict[str, Any]) -> models.Alarm:
    """Return a row of the alarm table as Aodh's storage hands it out: a copy."""
    return models.Alarm(**copy.deepcopy(row))


class MemoryStorage:
    """Aodh's storage as far as the evaluator uses it; honours every filter, hands out copies only."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = {row["alarm_id"]: copy.deepcopy(row) for row in rows}
        self.changes: list[dict[str, Any]] = []

    def get_alarms(self, **filters: Any) -> list[models.Alarm]:
        return [
            to_model(row)
            for row in self.rows.values()
            if all(row[name] == value for name, value in filters.items())
        ]

    def update_alarm(self, alarm: models.Alarm) -> models.Alarm:
        if alarm.alarm_id not in self.rows:
            raise aodh_storage.AlarmNotFound(alarm.alarm_id)
        self.rows[alarm.alarm_id] = copy.deepcopy(alarm.as_dict())
        return alarm

    def record_alarm_change(self, change: dict[str, Any]) -> None:
        self.changes.append(copy.deepcopy(change))


class MemoryNotifier:
    """Aodh's notifier up to the message that it would send (``aodh.queue``)."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def sample(self, ctxt: Any, event_type: str, payload: dict[str, Any]) -> None:
        self.sent.append(copy.deepcopy(payload))

    def info(self, ctxt: Any, event_type: str, payload: dict[str, Any]) -> None:
        """Aodh's own notification about the change of state; nobody compares it."""


class MemoryKeystone:
    """Whom Aodh names in its history."""

    user_id = project_id = "service"


class RealEvaluator(aodh_event.EventAlarmEvaluator):
    """The real one; only notes which evaluations raised, which Aodh logs and drops."""

    raised: set[str]

    def _evaluate_alarm(self, alarm: Any, event: Any) -> None:
        try:
            super()._evaluate_alarm(alarm, event)
        except Exception:
            self.raised.add(alarm.id)
            raise


@functools.lru_cache(maxsize=1)
def _conf() -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    for group, options in aodh_opts.list_opts():
        conf.register_opts(options, group=None if group == "DEFAULT" else group)
    conf([], project="aodh", default_config_files=[], default_config_dirs=[])
    return conf


@functools.lru_cache(maxsize=1)
def _evaluator() -> RealEvaluator:
    logging.getLogger("aodh").setLevel(logging.CRITICAL + 1)
    conf = _conf()
    from oslo_messaging import conffixture  # noqa: PLC0415 - registers transport_url

    fixture = conffixture.ConfFixture(conf, transport_url="fake:/")
    fixture.setUp()
    return RealEvaluator(conf)


@dataclasses.dataclass(frozen=True)
class NotifiedAlarm:
    """What Aodh said of one event: the notifications, or that it raised."""

    raised: bool
    notifications: list[dict[str, Any]]


class Oracle:
    """Aodh's answers for one alarm, event after event. Aodh's caches live as long as the oracle."""

    def __init__(self, row: dict[str, Any], cache_ttl: int = 0) -> None:
        _conf().set_override("event_alarm_cache_ttl", cache_ttl)
        self.storage = MemoryStorage([row])
        self.notifier = MemoryNotifier()
        self._alarm_id = row["alarm_id"]
        evaluator = self._evaluator = _evaluator()
        evaluator.caches = {}
        evaluator.raised = set()
        evaluator.storage_conn = self.storage
        evaluator.notifier.notifier = self.notifier
        evaluator._ks_client = MemoryKeystone()
        evaluator._alarm_change_notifier = self.notifier

    def tell(self, event: dict[str, Any]) -> NotifiedAlarm:
        """Have Aodh evaluate one event."""
        before = len(self.notifier.sent)
        self._evaluator.raised.clear()
        try:
            self._evaluator.evaluate_events([event])
            raised = bool(self._evaluator.raised)
        except Exception:  # noqa: BLE001 - in Aodh it would have cost the whole batch
            raised = True
        return NotifiedAlarm(raised, self.notifier.sent[before:])

    @property
    def row(self) -> dict[str, Any]:
        """The alarm row as Aodh left it."""
        return self.storage.rows[self._alarm_id]


def matches(rule: dict[str, Any], event: dict[str, Any]) -> bool | None:
    """Return whether Aodh would fire an alarm that is ok, None when it raises."""
    now = datetime.datetime(2026, 1, 1)
    row: dict[str, Any] = {"alarm_actions": [], "ok_actions": [], "insufficient_data_actions": []}
    row |= {"alarm_id": "a", "type": "event", "enabled": True, "name": "a", "description": ""}
    row |= {"timestamp": now, "state_timestamp": now, "user_id": "", "state": "ok", "state_reason": ""}
    row |= {"time_constraints": [], "repeat_actions": False, "rule": rule, "severity": "low"}
    try:
        row["project_id"] = aodh_event.Event(event).project
    except Exception:  # noqa: BLE001 - an event that Aodh cannot read
        return None
    oracle = Oracle(row)
    if oracle.tell(event).raised:
        return None
    return bool(oracle.row["state"] == "alarm")
