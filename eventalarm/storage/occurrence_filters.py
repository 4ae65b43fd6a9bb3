"""Filters of the IFA API as SQL conditions: each may match too much, but never too little."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Collection, Sequence
from typing import Final

import sqlalchemy as sa

from eventalarm.model import ALARM, OK, OTHER_ALARM_TYPES, UNKNOWN, Kind
from eventalarm.patterns import is_glob, matches_glob
from eventalarm.storage.events import EVENT_TEXT, STORED
from eventalarm.storage.ifa_tables import acknowledgement
from eventalarm.storage.tables import alarm, occurrence, transition

MYSQL: Final = frozenset({"mysql", "mariadb"})
TO_LIKE: Final = str.maketrans({"!": "!!", "%": "!%", "_": "!_", "*": "%", "?": "_"})


@dataclasses.dataclass(frozen=True, slots=True)
class Severities:
    """A filter on severities in the words that are stored; it may match too much, but never too little."""

    cleared: bool
    said: frozenset[str]
    words: frozenset[str]
    undefined: bool
    known_words: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class FaultTypes:
    """A filter on fault types by a table of patterns, of which the first one that matches decides.

    The only wildcards are ``*`` and ``?``; *otherwise* decides if no pattern matches. An event with the trait
    ``or_trait`` also passes.
    """

    lines: tuple[tuple[str, bool], ...]
    otherwise: bool = False
    or_trait: str = ""

    def may_pass(self, alarm_type: str) -> bool:
        """Return False if no alarm of Aodh's type *alarm_type* passes, whatever its metric."""
        name = f"aodh.{alarm_type}"
        for pattern, passes in self.lines:
            start = pattern.partition("*")[0].partition("?")[0]
            if pattern.endswith("*") and matches_glob(name, pattern):
                return passes
            if passes and (name.startswith(start) or start.startswith(name)):
                return True
        return self.otherwise


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """The filter of a page. ``project_id`` None means all projects; the times are those of the raise."""

    project_id: str | None
    active: bool | None = None
    raised_from: datetime.datetime | None = None
    raised_to: datetime.datetime | None = None
    cleared_since: datetime.datetime | None = None
    managed_objects: frozenset[str] | None = None
    severities: Severities | None = None
    newest_first: bool = False
    ids: frozenset[str] | None = None
    acknowledged: bool | None = None
    fault_types: tuple[FaultTypes, ...] = ()

    @property
    def named(self) -> bool:
        """Return True if the filter names ids or managed objects, which an index finds."""
        return self.ids is not None or self.managed_objects is not None


def fitting(wanted: Wanted, dialect: str) -> list[sa.ColumnElement[bool]]:
    """Return the conditions on occurrences that no index serves; they may match too much."""
    found: list[sa.ColumnElement[bool]] = []
    over = sa.or_(sa.not_(occurrence.c.raised), alarm.c.alarm_id.is_(None), alarm.c.state == OK)
    edited = alarm.c.timestamp > occurrence.c.raised_at
    if wanted.active is True:
        found.append(sa.and_(occurrence.c.raised, alarm.c.state.in_([ALARM, UNKNOWN])))
    elif wanted.active is False:
        # An edit may have ended it by naming another resource; an unknown state may count as cleared.
        found.append(sa.or_(over, edited, alarm.c.state == UNKNOWN))
    if wanted.cleared_since is not None:
        found.append(
            sa.or_(occurrence.c.cleared_at.is_(None), occurrence.c.cleared_at >= wanted.cleared_since)
        )
    if wanted.severities is not None:
        asked = wanted.severities
        said = sa.or_(occurrence.c.severity.in_(sorted(asked.said)), edited)
        conditions = [said, sa.and_(occurrence.c.severity.is_(None), _severity(asked))]
        if asked.cleared:
            conditions.append(over)
        found.append(sa.or_(*conditions, alarm.c.state == UNKNOWN))
    if wanted.acknowledged is not None:
        found.append(_acknowledged(wanted.acknowledged))
    if wanted.fault_types:
        found.append(_of_fault_types(wanted.fault_types, dialect))
    return found


def _acknowledged(asked: bool) -> sa.ColumnElement[bool]:
    noted = sa.exists().where(
        acknowledgement.c.object_id == occurrence.c.object_id,
        acknowledgement.c.occurrence_id == occurrence.c.occurrence_id,
    )
    # The managed object of an occurrence without one is known only after its event was read.
    return sa.or_(noted, occurrence.c.managed_object == "") if asked else ~noted


def _of_fault_types(asked: Sequence[FaultTypes], dialect: str) -> sa.ColumnElement[bool]:
    """Return the condition that the event that raised the occurrence may match, or was removed."""
    passing = sa.and_(*(_passes(one, dialect) for one in asked))
    raising = (
        transition.c.occurrence_id == occurrence.c.occurrence_id,
        transition.c.kind == Kind.RAISED.value,
    )
    if dialect in MYSQL:
        # MySQL would execute NOT EXISTS by reading the whole table first.
        verdict = sa.select(sa.case((passing, 1), else_=0)).select_from(STORED).where(*raising).limit(1)
        return sa.func.coalesce(verdict.scalar_subquery(), 1) == 1
    return ~sa.select(sa.literal(1)).select_from(STORED).where(*raising, ~passing).exists()


def _passes(asked: FaultTypes, dialect: str) -> sa.ColumnElement[bool]:
    name = transition.c.event_type
    whens = [(_matches(name, pattern, dialect), sa.literal(int(passes))) for pattern, passes in asked.lines]
    decided = sa.case(*whens, else_=sa.literal(int(asked.otherwise))) == 1
    if asked.or_trait:
        return sa.or_(decided, EVENT_TEXT.element.contains(f'"{asked.or_trait}"', autoescape=True))
    return decided


def _matches(name: sa.ColumnElement[str], pattern: str, dialect: str) -> sa.ColumnElement[bool]:
    if not is_glob(pattern):
        return name == pattern
    if dialect == "sqlite":
        # SQLite's LIKE ignores case.
        return name.op("GLOB", is_comparison=True)(pattern)
    return name.like(pattern.translate(TO_LIKE), escape="!")


def fitting_rows(wanted: Wanted, state: str) -> list[sa.ColumnElement[bool]]:
    """Return the conditions on Aodh's rows in *state*; they may match too much."""
    found: list[sa.ColumnElement[bool]] = []
    if wanted.severities is not None and state == ALARM:
        found.append(_severity(wanted.severities))
    if wanted.managed_objects is not None:
        found.append(_named(wanted.managed_objects))
    if wanted.acknowledged:
        found.append(alarm.c.alarm_id.in_(sa.select(acknowledgement.c.alarm_id)))
    # Their fault types consist of the type and the metric; those of other types depend on the alarm.
    others = [kind for kind in OTHER_ALARM_TYPES if not all(one.may_pass(kind) for one in wanted.fault_types)]
    if others:
        found.append(sa.or_(alarm.c.type.is_(None), alarm.c.type.not_in(others)))
    return found


def _named(managed_objects: Collection[str]) -> sa.ColumnElement[bool]:
    """Return the condition that a row may be about one of the objects: its rule or its alarm id names it."""
    rule = sa.type_coerce(alarm.c.rule, sa.Text)
    spelled = (rule.contains(json.dumps(one)[1:-1], autoescape=True) for one in sorted(managed_objects))
    return sa.or_(alarm.c.alarm_id.in_(sorted(managed_objects)), *spelled)


def _severity(asked: Severities) -> sa.ColumnElement[bool]:
    word = sa.func.lower(alarm.c.severity)
    fits = word.in_(sorted(asked.words))
    if asked.undefined:
        return sa.or_(fits, alarm.c.severity.is_(None), word.not_in(sorted(asked.known_words)))
    return fits
