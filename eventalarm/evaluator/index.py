"""The content index of one project: finds the alarms whose rules match an event.

Each alarm is indexed under an *anchor*: the equality condition on a trait that the fewest rules share, or
else its event type, or else its event type pattern. A list of values, or an ``or`` of equalities, gives
several anchors. An event is looked up only under the values that it has. Its cost therefore depends on the
number of rules that share these values, not on the number of alarms. Alarms with equal rules under one anchor
form a group, whose rule is tested once.

Rules without an equality condition are indexed by event type, and each event is tested against all of them
that watch its type. Their number (:attr:`ProjectIndex.scanned`) is the only cost that a project can increase
without limit, so the cache reports a project in which it exceeds ``[eventalarm] max_scan_groups``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Final

from eventalarm.evaluator.event_rule import Anchor, Anchors, Moment, Part, Verdict, Watch, watches
from eventalarm.model import Event
from eventalarm.patterns import is_glob

# The number of event types for which the matching patterns are remembered.
RESOLVED_LIMIT: Final = 4096
# The number of alarms up to which a group keeps their ids in a tuple, which takes less memory than a dict.
TUPLE_LIMIT: Final = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """An alarm that an event raises or clears according to the cached definitions.

    ``managed_object`` is None if the rule does not determine it; then it is the one that the event is about.
    ``timed``: the alarm has timers.
    """

    alarm_id: str
    verdict: Verdict
    managed_object: str | None = None
    timed: bool = False


class Group:
    """The alarms that have the same rule and the same anchor.

    ``clears``: whether events can clear these alarms, so that recoveries must be found, too.
    """

    __slots__ = ("alarm_ids", "clears", "rule")

    def __init__(self, rule: Watch, clears: bool) -> None:
        self.rule = rule
        self.clears = clears
        self.alarm_ids: tuple[str, ...] | dict[str, None] = ()

    def add(self, alarm_id: str) -> None:
        """Add an alarm; atomic for concurrent readers."""
        if isinstance(self.alarm_ids, dict):
            self.alarm_ids[alarm_id] = None
        elif len(self.alarm_ids) < TUPLE_LIMIT:
            self.alarm_ids = (*self.alarm_ids, alarm_id)
        else:
            self.alarm_ids = {**dict.fromkeys(self.alarm_ids), alarm_id: None}

    def discard(self, alarm_id: str) -> None:
        """Remove an alarm if the group has it."""
        if isinstance(self.alarm_ids, dict):
            self.alarm_ids.pop(alarm_id, None)
        else:
            self.alarm_ids = tuple(a for a in self.alarm_ids if a != alarm_id)

    def verdict(self, event: Event, now: Moment) -> Verdict:
        """Return the verdict of the rule on an event whose type it watches."""
        if self.clears:
            return self.rule.verdict(event, now)
        return Verdict.MATCH if self.rule.matches(event, now) else Verdict.NOTHING


GroupKey = tuple[Watch, bool]
# Most keys have one group, which is stored without a dict to save memory.
Postings = Group | dict[GroupKey, Group]


class Table:
    """The postings of keys of one kind: the values of a trait, or event types.

    ``groups`` is the number of groups. ``get`` returns the postings of a key, or None; it is the method of
    the dict itself, since each event calls it.
    """

    __slots__ = ("_postings", "get", "groups")

    def __init__(self) -> None:
        self._postings: dict[object, Postings] = {}
        self.get = self._postings.get
        self.groups = 0

    def __bool__(self) -> bool:
        return bool(self._postings)

    def keys(self) -> list[object]:
        """Return a copy of the keys, safe against concurrent changes."""
        return list(self._postings)

    def crowd(self, key: object) -> int:
        """Return the number of groups under *key*."""
        postings = self._postings.get(key)
        return 0 if postings is None else 1 if isinstance(postings, Group) else len(postings)

    def add(self, key: object, rule: Watch, clears: bool, alarm_id: str) -> Group:
        """Index an alarm under *key*, and return its group."""
        postings = self._postings.get(key)
        if postings is None:
            group = Group(rule, clears)
            group.add(alarm_id)
            self._postings[key] = group
            self.groups += 1
            return group
        if isinstance(postings, Group):
            if (postings.rule, postings.clears) == (rule, clears):
                postings.add(alarm_id)
                return postings
            postings = self._postings[key] = {(postings.rule, postings.clears): postings}
        known = postings.get((rule, clears))
        group = known or Group(rule, clears)
        self.groups += known is None
        group.add(alarm_id)
        postings[(rule, clears)] = group
        return group

    def discard(self, key: object, rule: Watch, clears: bool, alarm_id: str) -> None:
        """Remove an alarm from *key*, and the postings if they become empty."""
        postings = self._postings.get(key)
        if isinstance(postings, Group):
            postings.discard(alarm_id)
            if not postings.alarm_ids:
                del self._postings[key]
                self.groups -= 1
        elif postings is not None:
            group = postings.get((rule, clears))
            if group is not None:
                group.discard(alarm_id)
                if not group.alarm_ids:
                    del postings[(rule, clears)]
                    self.groups -= 1
            if not postings:
                del self._postings[key]


def groups_of(postings: Postings) -> tuple[Group, ...]:
    """Return a copy of the groups of *postings*, safe against concurrent changes."""
    return (postings,) if isinstance(postings, Group) else tuple(postings.values())


FiledUnder = Anchor | Anchors


class ProjectIndex:
    """Indexes the alarms of one project by the contents of their rules.

    Thread safety: any number of readers (:meth:`candidates`) may run concurrently with one writer
    (:meth:`add`, :meth:`discard`). A reader sees each alarm as before or as after a change. An alarm with
    several anchors is found as soon as it is indexed under the first of them that the event has.
    """

    def __init__(self) -> None:
        self._by_trait: dict[str, Table] = {}
        self._by_object: dict[tuple[str, ...], Table] = {}
        self._by_type = Table()
        self._by_pattern = Table()
        self._resolved: dict[str, tuple[object, ...]] = {}

    @property
    def scanned(self) -> int:
        """The number of groups without an equality condition; each event of their type is tested on them."""
        return self._by_type.groups + self._by_pattern.groups

    def _crowd(self, anchors: Anchors) -> int:
        crowd = 0
        for anchor in anchors:
            table = self._existing(anchor)
            crowd += table.crowd(anchor.key) if table is not None else 0
        return crowd

    def _choose(self, part: Part) -> Anchors:
        best: Anchors | None = None
        least = (0, 0)
        for anchors in part.choices:
            cost = (self._crowd(anchors), len(anchors))
            if best is None or cost < least:
                best, least = anchors, cost
        return best if best is not None else tuple(Anchor("", pattern) for pattern in part.event_types)

    def _existing(self, anchor: Anchor) -> Table | None:
        if not isinstance(anchor.trait, str):
            return self._by_object.get(anchor.trait)
        if anchor.trait:
            return self._by_trait.get(anchor.trait)
        return self._by_pattern if is_glob(str(anchor.key)) else self._by_type

    def _table(self, anchor: Anchor) -> Table:
        table = self._existing(anchor)
        if table is None:
            table = Table()
            if isinstance(anchor.trait, str):
                self._by_trait[anchor.trait] = table
            else:
                self._by_object[anchor.trait] = table
        return table

    def add(self, alarm_id: str, rule: Watch, clears: bool) -> FiledUnder:
        """Index an alarm, and return its anchors, which :meth:`discard` needs."""
        anchors: Anchors = ()
        for part in rule.parts(clears):
            anchors += self._choose(part)
        if len(anchors) > 1:
            anchors = tuple(dict.fromkeys(anchors))
        for anchor in anchors:
            self._table(anchor).add(anchor.key, rule, clears, alarm_id)
            if not anchor.trait:
                self._resolved = {}
        # Nearly all alarms have one anchor, so omitting the tuple saves memory.
        return anchors[0] if len(anchors) == 1 else anchors

    def discard(self, alarm_id: str, rule: Watch, clears: bool, filed_under: FiledUnder) -> None:
        """Remove an alarm from the anchors that :meth:`add` returned."""
        for anchor in (filed_under,) if isinstance(filed_under, Anchor) else filed_under:
            table = self._existing(anchor)
            if table is None:
                continue
            table.discard(anchor.key, rule, clears, alarm_id)
            if not anchor.trait:
                self._resolved = {}
            elif not table:
                if isinstance(anchor.trait, str):
                    self._by_trait.pop(anchor.trait, None)
                else:
                    self._by_object.pop(anchor.trait, None)

    def _patterns_for(self, event_type: str) -> tuple[object, ...]:
        resolved = self._resolved
        patterns = resolved.get(event_type)
        if patterns is None:
            patterns = tuple(key for key in self._by_pattern.keys() if watches(str(key), event_type))  # noqa: SIM118
            if len(resolved) >= RESOLVED_LIMIT:
                # Do not replace the dict: the writer may have replaced it already, and this result is older.
                resolved.clear()
            resolved[event_type] = patterns
        return patterns

    def _postings(self, event: Event) -> list[Postings]:
        held: list[Postings] = []
        for trait, table in tuple(self._by_trait.items()):
            value = event.trait(trait)
            if value is not None:
                postings = table.get(value)
                if postings is not None:
                    held.append(postings)
        if self._by_object:
            objects = [(table, event.first_trait(traits)) for traits, table in tuple(self._by_object.items())]
            held.extend(postings for table, key in objects if (postings := table.get(key)) is not None)
        if self._by_type:
            postings = self._by_type.get(event.event_type)
            if postings is not None:
                held.append(postings)
        if self._by_pattern:
            patterns = self._patterns_for(event.event_type)
            held.extend(b for pattern in patterns if (b := self._by_pattern.get(pattern)) is not None)
        return held

    def candidates(self, event: Event, now: Moment = None) -> list[Candidate]:
        """Return the alarms that the event raises or clears, each once.

        :param now: the time of evaluation (aware UTC), from which relative times in rules count. Without it,
            a condition with a relative time is false.
        """
        found: list[Candidate] = []
        doubled = False
        for postings in self._postings(event):
            for group in groups_of(postings):
                rule = group.rule
                if rule.watches(event.event_type):
                    verdict = group.verdict(event, now)
                    if verdict is not Verdict.NOTHING:
                        place = rule.managed_object(event)
                        timed = rule.is_timed
                        found.extend(Candidate(a, verdict, place, timed) for a in tuple(group.alarm_ids))
                        doubled = doubled or rule.finds_twice
        return _each_once(found) if doubled else found


def _each_once(found: Iterable[Candidate]) -> list[Candidate]:
    return list({candidate.alarm_id: candidate for candidate in found}.values())
