"""From filters on causes, kinds and fault types to the event types that the database is asked for. Pure.

The database knows the type of the event that raised an occurrence, but not how the tables and the catalogue
name it. So it gets lines of (pattern, may pass), of which the first that fits decides. Where traits decide, a
line passes if any of the faults of its pattern may: the database returns a superset.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from eventalarm.catalogue.faults import Fault
from eventalarm.ifa_shim.tables import NO_CAUSE, Cause, Family, Line, Settings
from eventalarm.model import TIMER_EVENT_TYPE
from eventalarm.patterns import is_glob, matches_glob
from eventalarm.storage.occurrence_filters import FaultTypes
from eventalarm.x733 import FaultyResourceType

Lines = list[tuple[str, bool]]
# Pairs of patterns whose comparison is remembered; those of the package's catalogue need about 2,000.
REMEMBERED: Final = 32768
# The event of a timer does not tell how the rule is named.
TIMERS = (f"{TIMER_EVENT_TYPE}*", True)


def by_cause(settings: Settings, lets: Callable[[Cause], bool]) -> list[FaultTypes]:
    """Return the filter that leaves alarms whose cause may pass *lets*."""
    lines = _lines(settings, settings.causes, lets, Cause.of)
    return _filter([TIMERS, *lines], otherwise=lets(NO_CAUSE))


def by_kind(settings: Settings, lets: Callable[[FaultyResourceType], bool]) -> list[FaultTypes]:
    """Return the filter that leaves alarms the kind of whose resource may pass *lets*."""

    def passes(family: Family) -> bool:
        return family.kind is not None and lets(family.kind)

    lines = _lines(settings, settings.families, passes, Family.of)
    # The fault type of a threshold alarm does not name the kind of its resource.
    return _filter([("aodh.*", True), TIMERS, *lines])


def by_fault_type(settings: Settings, asked: Sequence[str]) -> list[FaultTypes]:
    """Return the filter that leaves alarms whose fault type may match one of the patterns *asked*."""
    renamed = [
        (row.condition.event_type, True)
        for row in settings.faults.reports
        if row.fault.fault_type and any(matches_glob(row.fault.fault_type, one) for one in asked)
    ]
    return _filter([TIMERS, *dict.fromkeys(renamed), *((one, True) for one in asked)])


def _lines(
    settings: Settings, operators: Iterable[Line], passes: Callable[[Line], bool], of: Callable[[Fault], Line]
) -> Lines:
    operators = list(operators)
    found = [(line.pattern, passes(line)) for line in operators]
    for pattern, group in itertools.groupby(settings.faults.reports, lambda row: row.condition.event_type):
        rows = list(group)
        named = [one for row in rows for one in _possible(row.fault, operators, of)]
        # Events that lack the traits are described by a less specific pattern.
        if any(map(passes, named)):
            found.append((pattern, True))
        elif not all(row.condition.traits for row in rows):
            found.append((pattern, False))
    return found


def _possible(fault: Fault, operators: Iterable[Line], of: Callable[[Fault], Line]) -> list[Line]:
    """Return the lines that may describe a fault: the operator's, by its fault type, and the catalogue's."""
    name = fault.fault_type
    renamed = next((line for line in operators if name and matches_glob(name, line.pattern)), None)
    return [of(fault)] if renamed is None else [renamed, of(fault)]


def _filter(lines: Lines, *, otherwise: bool = False) -> list[FaultTypes]:
    """Return the filter of some lines; none where a database cannot evaluate one of the patterns."""
    if any("[" in pattern for pattern, _ in lines):
        return []
    return [FaultTypes(tuple(_without_idle(lines, otherwise)), otherwise)]


def _without_idle(lines: Lines, otherwise: bool) -> Lines:
    """Return the lines without those that change nothing: what follows decides alike."""
    kept: Lines = []
    for pattern, verdict in reversed(lines):
        contrary = any(other is not verdict and _may_meet(pattern, one) for one, other in kept)
        if contrary or verdict is not otherwise:
            kept.append((pattern, verdict))
    kept.reverse()
    return kept


@functools.lru_cache(maxsize=REMEMBERED)
def _may_meet(one: str, other: str) -> bool:
    """Return False if no event type fits both patterns."""
    if not is_glob(one):
        return matches_glob(one, other)
    if not is_glob(other):
        return matches_glob(other, one)
    head, another = _literal(one), _literal(other)
    tail, end = _literal(one[::-1])[::-1], _literal(other[::-1])[::-1]
    heads = head.startswith(another) or another.startswith(head)
    return heads and (tail.endswith(end) or end.endswith(tail))


def _literal(pattern: str) -> str:
    """Return what every name of the pattern begins with."""
    return "".join(itertools.takewhile(lambda character: character not in "*?[", pattern))
