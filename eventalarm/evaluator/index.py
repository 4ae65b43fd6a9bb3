"""The content index: from an event to the alarms of one project that it may concern, and to no others.

Every alarm is filed under one *anchor*: its least crowded equality condition on a trait, else its exact event
type, else its event type pattern. An event is looked up only under the keys that it holds, so the price of
an event depends on how many alarms share its keys, not on how many alarms there are (design §6).
Alarms with equal rules under one anchor share one group and are tested once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

from eventalarm.evaluator.query import Condition, Rule, Verdict, is_glob
from eventalarm.model import Event

RESOLVED_LIMIT: Final = 4096
TUPLE_LIMIT: Final = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """An alarm that an event concerns, as far as the cached definitions tell."""

    alarm_id: str
    verdict: Verdict


class Group:
    """The alarms of one anchor that have the same rule.

    ``clears`` tells whether they recover by themselves, and so must also hear of recovery.
    """

    __slots__ = ("alarm_ids", "clears", "rule")

    def __init__(self, rule: Rule, clears: bool) -> None:
        self.rule = rule
        self.clears = clears
        self.alarm_ids: tuple[str, ...] | dict[str, None] = ()

    def add(self, alarm_id: str) -> None:
        """Add an alarm; a reader sees the group with or without it."""
        if isinstance(self.alarm_ids, dict):
            self.alarm_ids[alarm_id] = None
        elif len(self.alarm_ids) < TUPLE_LIMIT:
            self.alarm_ids = (*self.alarm_ids, alarm_id)
        else:
            self.alarm_ids = {**dict.fromkeys(self.alarm_ids), alarm_id: None}

    def discard(self, alarm_id: str) -> None:
        """Remove an alarm if it is there."""
        if isinstance(self.alarm_ids, dict):
            self.alarm_ids.pop(alarm_id, None)
        else:
            self.alarm_ids = tuple(a for a in self.alarm_ids if a != alarm_id)

    def judge(self, event: Event) -> Verdict:
        """Judge an event whose type the rule watches."""
        if self.clears:
            return self.rule.verdict(event)
        return Verdict.MATCH if self.rule.matches(event) else Verdict.NOTHING


GroupKey = tuple[Rule, bool]
# Most keys hold one group: it stands there by itself, without a dict around it.
Bucket = Group | dict[GroupKey, Group]


class Table:
    """Groups filed under keys of one kind (the values of one trait, or event types)."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets: dict[object, Bucket] = {}

    def __bool__(self) -> bool:
        return bool(self._buckets)

    def get(self, key: object) -> Bucket | None:
        """Return what is filed under *key*."""
        return self._buckets.get(key)

    def keys(self) -> list[object]:
        """Return the keys at this moment."""
        return list(self._buckets)

    def crowd(self, key: object) -> int:
        """Return how many groups share *key*."""
        bucket = self._buckets.get(key)
        return 0 if bucket is None else 1 if isinstance(bucket, Group) else len(bucket)

    def add(self, key: object, rule: Rule, clears: bool, alarm_id: str) -> Group:
        """File an alarm under *key* and return its group."""
        bucket = self._buckets.get(key)
        if bucket is None:
            group = Group(rule, clears)
            group.add(alarm_id)
            self._buckets[key] = group
            return group
        if isinstance(bucket, Group):
            if (bucket.rule, bucket.clears) == (rule, clears):
                bucket.add(alarm_id)
                return bucket
            bucket = self._buckets[key] = {(bucket.rule, bucket.clears): bucket}
        group = bucket.get((rule, clears)) or Group(rule, clears)
        group.add(alarm_id)
        bucket[(rule, clears)] = group
        return group

    def discard(self, key: object, rule: Rule, clears: bool, alarm_id: str) -> None:
        """Take an alarm away from *key*; what becomes empty goes too."""
        bucket = self._buckets.get(key)
        if isinstance(bucket, Group):
            bucket.discard(alarm_id)
            if not bucket.alarm_ids:
                del self._buckets[key]
        elif bucket is not None:
            group = bucket.get((rule, clears))
            if group is not None:
                group.discard(alarm_id)
                if not group.alarm_ids:
                    del bucket[(rule, clears)]
            if not bucket:
                del self._buckets[key]


def groups_of(bucket: Bucket) -> tuple[Group, ...]:
    """Return the groups of a bucket at this moment."""
    return (bucket,) if isinstance(bucket, Group) else tuple(bucket.values())


@dataclasses.dataclass(frozen=True, slots=True)
class Anchor:
    """Where an alarm is filed: ``trait`` is empty for the tables of event types and patterns."""

    trait: str
    key: object


class ProjectIndex:
    """The alarms of one project, by content.

    Concurrency contract: any number of readers (:meth:`candidates`) beside one writer (:meth:`add`,
    :meth:`discard`). A reader sees each alarm as it was before or after a change, never half changed.
    """

    def __init__(self) -> None:
        self._by_trait: dict[str, Table] = {}
        self._by_type = Table()
        self._by_pattern = Table()
        self._resolved: dict[str, tuple[object, ...]] = {}

    def _anchors(self, rule: Rule, clears: bool) -> Iterator[Condition]:
        # An alarm that recovers by itself must be found by the recovering event too, which still fulfils
        # the conditions that identify the resource but no longer the others.
        conditions = rule.identity if clears else (*rule.identity, *rule.rest)
        for condition in conditions:
            if condition.trait and condition.op == "eq" and condition.type != "boolean":
                yield condition

    def _choose(self, rule: Rule, clears: bool) -> Anchor:
        best: Condition | None = None
        least = 0
        for condition in self._anchors(rule, clears):
            table = self._by_trait.get(condition.trait)
            crowd = table.crowd(condition.value) if table is not None else 0
            if best is None or crowd < least:
                best, least = condition, crowd
        return Anchor(best.trait, best.value) if best is not None else Anchor("", rule.event_type)

    def _table(self, anchor: Anchor) -> Table:
        if anchor.trait:
            return self._by_trait.setdefault(anchor.trait, Table())
        return self._by_pattern if is_glob(str(anchor.key)) else self._by_type

    def add(self, alarm_id: str, rule: Rule, clears: bool) -> Anchor:
        """File an alarm and return where; the caller keeps the anchor to take the alarm away again."""
        anchor = self._choose(rule, clears)
        self._table(anchor).add(anchor.key, rule, clears, alarm_id)
        if not anchor.trait:
            self._resolved = {}
        return anchor

    def discard(self, alarm_id: str, rule: Rule, clears: bool, anchor: Anchor) -> None:
        """Take an alarm away from where :meth:`add` filed it."""
        table = self._table(anchor)
        table.discard(anchor.key, rule, clears, alarm_id)
        if anchor.trait and not table:
            self._by_trait.pop(anchor.trait, None)
        if not anchor.trait:
            self._resolved = {}

    def _patterns_for(self, event_type: str) -> tuple[object, ...]:
        resolved = self._resolved
        patterns = resolved.get(event_type)
        if patterns is None:
            watching = [key for key in self._by_pattern.keys() if Rule(str(key), (), ()).watches(event_type)]  # noqa: SIM118
            patterns = tuple(watching)
            if len(resolved) >= RESOLVED_LIMIT:
                # Never put a new dict in its place: the writer may just have, and what we found is older.
                resolved.clear()
            resolved[event_type] = patterns
        return patterns

    def _buckets(self, event: Event) -> Iterator[Bucket]:
        for trait, table in tuple(self._by_trait.items()):
            value = event.trait(trait)
            if value is not None:
                bucket = table.get(value)
                if bucket is not None:
                    yield bucket
        if self._by_type:
            bucket = self._by_type.get(event.event_type)
            if bucket is not None:
                yield bucket
        if self._by_pattern:
            for pattern in self._patterns_for(event.event_type):
                bucket = self._by_pattern.get(pattern)
                if bucket is not None:
                    yield bucket

    def candidates(self, event: Event) -> list[Candidate]:
        """Return the alarms that match the event or recover by it, each once."""
        found: list[Candidate] = []
        for bucket in self._buckets(event):
            for group in groups_of(bucket):
                if group.rule.watches(event.event_type):
                    verdict = group.judge(event)
                    if verdict is not Verdict.NOTHING:
                        found.extend(Candidate(alarm_id, verdict) for alarm_id in tuple(group.alarm_ids))
        return found
