"""The lives of an alarm, folded from Aodh's history: it is the truth for the past, the row for the present.

One function, :func:`fold`: records in any order in, lives in order out. It never patches an earlier answer,
since two writers (API and evaluators) with clocks of their own write the history.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from eventalarm.ifa_shim.aodh_history import CREATION, NEVER, RULE_CHANGE, AodhAlarm, Record
from eventalarm.ifa_shim.tables import InsufficientData, Settings
from eventalarm.model import ALARM, UNKNOWN

# What a rule change must touch to change the alarm that an NFVO sees; enabled and actions do not.
VISIBLE: Final = frozenset({"rule", "name", "description", "severity"})

ObjectOf = Callable[[Mapping[str, Any]], str]


class ChangeKind(enum.StrEnum):
    """What happened to a life."""

    RAISED = "raised"
    CHANGED = "changed"
    REPEATED = "repeated"
    CLEARED = "cleared"


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened to a life: when, why, by whom; ``severity`` is Aodh's word, None if unknown.

    ``event`` is the event that caused it as it was stored, where we have it.
    """

    kind: ChangeKind
    at: datetime.datetime
    reason: str = ""
    severity: str | None = None
    manual: bool = False
    user_id: str = ""
    message_id: str = ""
    event_type: str = ""
    estimated: bool = False
    event: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class OccurrenceView:
    """One raise…clear life. ``rule`` is the definition it was raised by, None where it is not known.

    ``hits`` counts the raise and its repetitions; ``unknown`` tells of insufficient data now.
    """

    raised_at: datetime.datetime
    changed_at: datetime.datetime | None
    cleared_at: datetime.datetime | None
    steps: tuple[Change, ...]
    hits: int = 1
    last_hit_at: datetime.datetime | None = None
    unknown: bool = False
    rule: Mapping[str, Any] | None = None

    @property
    def first(self) -> Change:
        """The step that raised it."""
        return self.steps[0]

    @property
    def open(self) -> bool:
        """Tell whether it is not over."""
        return self.cleared_at is None

    def add(self, step: Change, **changes: Any) -> OccurrenceView:
        """Return the life with one more step."""
        return dataclasses.replace(self, steps=(*self.steps, step), **changes)

    def change(self, step: Change, **changes: Any) -> OccurrenceView:
        """Return the life, changed at the time of *step*."""
        return self.add(step, changed_at=step.at, **changes)

    def clear(self, step: Change) -> OccurrenceView:
        """Return the life, over at the time of *step*, which is never before anything else of it."""
        at = max(step.at, self.changed_at or self.raised_at)
        return self.add(dataclasses.replace(step, at=at), changed_at=at, cleared_at=at, unknown=False)


class _Fold:
    """The fold under way."""

    def __init__(self, alarm: AodhAlarm, settings: Settings, object_of: ObjectOf) -> None:
        self._alarm = alarm
        self._settings = settings
        self._object_of = object_of
        self.over: list[OccurrenceView] = []
        self.life: OccurrenceView | None = None
        self._state: str | None = None
        self._severity: str | None = None
        self._rule: Mapping[str, Any] | None = None
        self._first: datetime.datetime | None = None
        self._last = NEVER
        # The rule went to another resource while raised: the row still says alarm, but of nothing yet.
        self._awaiting = False

    def take(self, record: Record) -> None:
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
        rule = record.detail.get("rule")
        if self.life is None or not VISIBLE.intersection(record.detail):
            return
        if isinstance(rule, Mapping) and self._rule is not None and self._moved(self._rule, rule):
            self._clear(self._step(ChangeKind.CLEARED, record, reason="the rule names another resource"))
            self._awaiting = True
            return
        words = sorted(VISIBLE.intersection(record.detail))
        reason = f"edited: {', '.join(words)}"
        if "severity" in words and severity_before is not None:
            reason += f" (severity was {severity_before})"
        self.life = self.life.change(self._step(ChangeKind.CHANGED, record, reason=reason))

    def _moved(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        before, after = self._object_of(old), self._object_of(new)
        return bool(before) and bool(after) and before != after

    def _entered(self, state: str, record: Record) -> None:
        if state == ALARM:
            self._raise(record)
        elif state == UNKNOWN and self._settings.insufficient_data is not InsufficientData.CLEAR:
            if self.life is not None and not self.life.unknown:
                step = self._step(ChangeKind.CHANGED, record)
                keep = self._settings.insufficient_data is InsufficientData.KEEP
                self.life = self.life.add(step) if keep else self.life.change(step)
                self.life = dataclasses.replace(self.life, unknown=True)
        elif self.life is not None:
            self._clear(self._step(ChangeKind.CLEARED, record))
        self._awaiting = self._awaiting and state == ALARM and record.type == RULE_CHANGE

    def _raise(self, record: Record) -> None:
        if self.life is None:
            self._begin(self._step(ChangeKind.RAISED, record))
        elif self.life.unknown:
            self.life = self.life.change(self._step(ChangeKind.CHANGED, record), unknown=False)
        else:
            step = self._step(ChangeKind.REPEATED, record)
            more = {"hits": self.life.hits + 1, "last_hit_at": record.at}
            change = self.life.change if self._settings.repeat_is_change else self.life.add
            self.life = change(step, **more)

    def _begin(self, step: Change) -> None:
        last = self.over[-1] if self.over else None
        if last is not None and last.cleared_at is not None and self._settings.hold_down > 0:
            pause = (step.at - last.cleared_at).total_seconds()
            if pause <= self._settings.hold_down:
                self.over.pop()
                again = dataclasses.replace(step, kind=ChangeKind.CHANGED)
                self.life = last.change(again, cleared_at=None, hits=last.hits + 1, last_hit_at=step.at)
                return
        self.life = OccurrenceView(step.at, None, None, (step,), rule=self._rule)

    def _clear(self, step: Change) -> None:
        if self.life is not None:
            self.over.append(self.life.clear(step))
            self.life = None

    def _step(self, kind: ChangeKind, record: Record, reason: str = "") -> Change:
        return Change(
            kind,
            record.at,
            reason=reason or record.reason,
            severity=self._severity,
            manual=record.manual,
            user_id=record.user_id,
        )

    def settle(self) -> list[OccurrenceView]:
        """Make the end of the history agree with the row, whose state is the truth for the present."""
        alarm = self._alarm
        if alarm.state == ALARM:
            if self.life is not None and self.life.unknown:
                at = max(alarm.state_timestamp, self._last)
                step = self._present(ChangeKind.CHANGED, at)
                self.life = self.life.change(step, unknown=False)
            elif self.life is None and not self._awaiting:
                self._begin(self._present(ChangeKind.RAISED, self._raise_estimate()))
        elif alarm.state == UNKNOWN and self._settings.insufficient_data is not InsufficientData.CLEAR:
            if self.life is not None and not self.life.unknown:
                at = max(alarm.state_timestamp, self._last)
                keep = self._settings.insufficient_data is InsufficientData.KEEP
                step = self._present(ChangeKind.CHANGED, at)
                self.life = self.life.add(step) if keep else self.life.change(step)
                self.life = dataclasses.replace(self.life, unknown=True)
        elif self.life is not None:
            self._clear(self._present(ChangeKind.CLEARED, max(alarm.state_timestamp, self._last)))
        return [*self.over, *([self.life] if self.life is not None else [])]

    def _raise_estimate(self) -> datetime.datetime:
        alarm = self._alarm
        if self._state is None and self._first is not None:
            return self._first
        latest = max(alarm.state_timestamp, self._last)
        if self._state is not None:
            return latest
        return latest if latest > alarm.timestamp else alarm.timestamp

    def _present(self, kind: ChangeKind, at: datetime.datetime) -> Change:
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
    """Return the lives of *alarm*, the oldest first; only the last one can be open.

    Records may come in any order, with holes, cut off at the start, or be none at all: where the row says
    more than they do, its state counts and the time is an estimate that stays the same from call to call.
    *object_of* tells which resource a rule is bound to ("" for none): an edit that moves a raised alarm to
    another resource ends its life.
    """
    folding = _Fold(alarm, settings, object_of)
    for record in _in_order(alarm, list(records)):
        folding.take(record)
    return folding.settle()


def _in_order(alarm: AodhAlarm, records: Sequence[Record]) -> list[Record]:
    """Sort by time; what has the same time ends with the state of the row, since ids are random."""

    def rank(record: Record) -> int:
        if record.type == CREATION:
            return 0
        if record.state is None:
            return 1
        return 3 if record.state == alarm.state else 2

    return sorted(records, key=lambda record: (record.at, rank(record), record.record_id))
