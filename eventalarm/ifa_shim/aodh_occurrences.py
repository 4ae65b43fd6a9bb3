"""The occurrences of an alarm, from Aodh's history: the history decides the past, the row the present.

:func:`fold` takes records in any order and returns occurrences in order of time. It keeps nothing between
calls: API and evaluators, with different clocks, write the history, so that earlier records can appear late.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from eventalarm.ifa_shim.aodh_history import CREATION, NEVER, RULE_CHANGE, AodhAlarm, Record
from eventalarm.ifa_shim.occurrences import RETARGETED, Change, ChangeKind, OccurrenceView, edit
from eventalarm.ifa_shim.tables import InsufficientData, Settings
from eventalarm.model import ALARM, UNKNOWN

ObjectOf = Callable[[Mapping[str, Any]], str]


class _HistoryFold:
    """The state of one :func:`fold`: the cleared occurrences so far, and the one that is still open."""

    def __init__(self, alarm: AodhAlarm, settings: Settings, object_of: ObjectOf) -> None:
        self._alarm = alarm
        self._settings = settings
        self._object_of = object_of
        self.cleared: list[OccurrenceView] = []
        self.open: OccurrenceView | None = None
        self._state: str | None = None
        self._severity: str | None = None
        self._rule: Mapping[str, Any] | None = None
        self._first: datetime.datetime | None = None
        self._last = NEVER
        # The rule was moved to another resource while raised: the row is in alarm, but not of the new one.
        self._retargeted = False

    def add(self, record: Record) -> None:
        """Apply one record of the history; records come in order of time."""
        self._first = self._first or record.at
        self._last = record.at
        detail = record.detail
        before = self._severity
        if isinstance(detail.get("severity"), str):
            self._severity = detail["severity"]
        if record.type == RULE_CHANGE:
            self._edited(record, before)
        if isinstance(detail.get("rule"), Mapping):
            self._rule = detail["rule"]
        new = record.state
        if new is not None and (record.type != RULE_CHANGE or new != self._state):
            self._entered(new, record)
        if new is not None:
            self._state = new

    def _edited(self, record: Record, severity_before: str | None) -> None:
        edited, rule = edit(record), record.detail.get("rule")
        if self.open is None or edited is None:
            return
        if isinstance(rule, Mapping) and self._rule is not None and self._moved(self._rule, rule):
            self._clear(self._change(ChangeKind.CLEARED, record, reason=RETARGETED))
            self._retargeted = True
            return
        reason = edited.reason
        if "severity" in record.detail and severity_before is not None:
            reason += f" (severity was {severity_before})"
        self.open = self.open.change(self._change(ChangeKind.CHANGED, record, reason=reason))

    def _moved(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        before, after = self._object_of(old), self._object_of(new)
        return bool(before) and bool(after) and before != after

    def _entered(self, state: str, record: Record) -> None:
        if state == ALARM:
            self._raise(record)
        elif state == UNKNOWN and self._settings.insufficient_data is not InsufficientData.CLEAR:
            if self.open is not None and not self.open.unknown:
                self.open = self.open.lose_data(self._change(ChangeKind.CHANGED, record), self._settings)
        elif self.open is not None:
            self._clear(self._change(ChangeKind.CLEARED, record))
        self._retargeted = self._retargeted and state == ALARM and record.type == RULE_CHANGE

    def _raise(self, record: Record) -> None:
        if self.open is None:
            self._begin(self._change(ChangeKind.RAISED, record))
        elif self.open.unknown:
            self.open = self.open.change(self._change(ChangeKind.CHANGED, record), unknown=False)
        else:
            follow = self.open.change if self._settings.repeat_is_change else self.open.add
            repeated = self._change(ChangeKind.REPEATED, record)
            self.open = follow(repeated, hits=self.open.hits + 1, last_hit_at=record.at)

    def _begin(self, change: Change) -> None:
        last = self.cleared[-1] if self.cleared else None
        if last is not None and last.cleared_at is not None and self._settings.hold_down > 0:
            pause = (change.at - last.cleared_at).total_seconds()
            if pause <= self._settings.hold_down:
                self.cleared.pop()
                again = dataclasses.replace(change, kind=ChangeKind.CHANGED)
                self.open = last.change(again, cleared_at=None, hits=last.hits + 1, last_hit_at=change.at)
                return
        self.open = OccurrenceView(change.at, None, None, (change,), rule=self._rule)

    def _clear(self, change: Change) -> None:
        if self.open is not None:
            self.cleared.append(self.open.clear(change))
            self.open = None

    def _change(self, kind: ChangeKind, record: Record, reason: str = "") -> Change:
        return Change(
            kind,
            record.at,
            reason=reason or record.reason,
            severity=self._severity,
            manual=record.manual,
            user_id=record.user_id,
        )

    def settle(self) -> list[OccurrenceView]:
        """Return all occurrences, after the end of the history agrees with the state of the row."""
        alarm = self._alarm
        latest = max(alarm.state_timestamp, self._last)
        if alarm.state == ALARM:
            if self.open is not None and self.open.unknown:
                self.open = self.open.change(self._change_now(ChangeKind.CHANGED, latest), unknown=False)
            elif self.open is None and not self._retargeted:
                self._begin(self._change_now(ChangeKind.RAISED, self._raise_estimate()))
        elif alarm.state == UNKNOWN and self._settings.insufficient_data is not InsufficientData.CLEAR:
            if self.open is not None and not self.open.unknown:
                self.open = self.open.lose_data(self._change_now(ChangeKind.CHANGED, latest), self._settings)
        elif self.open is not None:
            self._clear(self._change_now(ChangeKind.CLEARED, latest))
        return [*self.cleared, *([self.open] if self.open is not None else [])]

    def _raise_estimate(self) -> datetime.datetime:
        alarm = self._alarm
        if self._state is None and self._first is not None:
            return self._first
        latest = max(alarm.state_timestamp, self._last)
        if self._state is not None:
            return latest
        return latest if latest > alarm.timestamp else alarm.timestamp

    def _change_now(self, kind: ChangeKind, at: datetime.datetime) -> Change:
        alarm = self._alarm
        return Change(
            kind,
            at,
            reason=alarm.state_reason,
            severity=alarm.severity,
            manual=alarm.manual,
            # Evaluators of Aodh leave the row's state_timestamp alone; a PUT of the state sets it.
            estimated=not alarm.manual,
        )


def fold(
    alarm: AodhAlarm, records: Iterable[Record], settings: Settings, object_of: ObjectOf = lambda rule: ""
) -> list[OccurrenceView]:
    """Return the occurrences of *alarm*, the oldest first; only the last one can be active.

    Records may come in any order, and may be incomplete or missing: then the state of the row decides, and
    the time is an estimate, which is the same in every call. *object_of* returns the resource that a rule is
    bound to ("" for none): an edit that moves a raised alarm to another resource clears its occurrence.
    """
    folding = _HistoryFold(alarm, settings, object_of)
    for record in _in_order(alarm, list(records)):
        folding.add(record)
    return folding.settle()


def _in_order(alarm: AodhAlarm, records: Sequence[Record]) -> list[Record]:
    """Sort by time; of records with the same time the one with the state of the row is last.

    Their ids are random, so they give no order.
    """

    def rank(record: Record) -> int:
        if record.type == CREATION:
            return 0
        if record.state is None:
            return 1
        return 3 if record.state == alarm.state else 2

    return sorted(records, key=lambda record: (record.at, rank(record), record.record_id))
