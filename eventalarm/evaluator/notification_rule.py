"""Notification rules: the ``notification_rule`` of an alarm, parsed alike by Aodh's API and the evaluator."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from eventalarm.evaluator import conditions, rule_fields
from eventalarm.evaluator.compiled_rule import About, CompiledRule, Half, Timers
from eventalarm.evaluator.conditions import Every
from eventalarm.evaluator.decide import NOTIFICATION_TYPE
from eventalarm.evaluator.event_rule import Watch, compile_rule, watches
from eventalarm.evaluator.match_count import MOST_MATCHES, Threshold
from eventalarm.evaluator.objects_in_fault import MOST_AT_LEAST, AtLeast
from eventalarm.evaluator.options import WHEN_LOADED, RuleLimits
from eventalarm.exceptions import InvalidRule
from eventalarm.model import AlarmDefinition

TOP_KEYS: Final = (
    "event_type", "query", "resource_id", "clear", "clear_after", "group_by", "severity", "severity_from",
    "absence", "hold_down", "count", "at_least", "objects",
)  # fmt: skip
# What decides which objects are in fault, and in which group.
SELECTING_KEYS: Final = ("event_type", "query", "resource_id", "clear", "group_by", "objects")


@dataclasses.dataclass(frozen=True, slots=True)
class Pattern:
    """Selects events by type (names or fnmatch patterns) and by a query that must hold."""

    event_types: tuple[str, ...]
    query: Every


@dataclasses.dataclass(frozen=True, slots=True)
class NotificationRule:
    """A valid ``notification_rule``.

    ``resource_id``, ``severity`` (an X.733 word in upper case) and ``severity_from`` are empty when absent;
    ``group_by`` and ``severity_from`` are names of traits.
    """

    raises: Pattern
    clear: Pattern | None = None
    resource_id: str = ""
    group_by: tuple[str, ...] = ()
    severity: str = ""
    severity_from: str = ""
    timers: Timers = dataclasses.field(default_factory=Timers)
    count: Threshold | None = None
    at_least: AtLeast | None = None


def parse(
    document: object, limits: RuleLimits = WHEN_LOADED, *, require_resource_id: bool = False
) -> NotificationRule:
    """Parse and validate a ``notification_rule``.

    :param require_resource_id: reject a rule without ``resource_id``.
    :raises InvalidRule: naming the field that is invalid or exceeds *limits*, and the remedy.
    """
    if not isinstance(document, dict) or not document:
        raise InvalidRule("rule", "must be a non-empty object", "give at least an event_type or a query")
    rule_fields.known_keys(document, TOP_KEYS, "")
    rule_fields.measure(document, limits)
    raises = Pattern(
        rule_fields.event_types(document.get("event_type"), "event_type", limits) or ("*",),
        conditions.read(document.get("query"), "query", limits),
    )
    rule = NotificationRule(
        raises=raises,
        clear=_clear(document.get("clear"), raises, limits),
        resource_id=rule_fields.resource_id(document.get("resource_id"), limits),
        group_by=rule_fields.traits(document.get("group_by"), "group_by"),
        severity=rule_fields.severity(document.get("severity")),
        severity_from=rule_fields.trait(document.get("severity_from"), "severity_from"),
        timers=_timers(document),
        count=_count(document),
        at_least=_at_least(document),
    )
    if require_resource_id and not rule.resource_id:
        raise InvalidRule("resource_id", "required in this cloud", "name the resource to watch")
    if raises.event_types == ("*",) and not raises.query.tests and not rule.resource_id:
        raise InvalidRule(
            "rule", "must not match every event", "give an event_type, a query or a resource_id"
        )
    return rule


def compile_notification(rule: NotificationRule, resource_traits: Collection[str]) -> CompiledRule:
    """Compile a rule into tests that decide whether an event raises or clears the alarm.

    :param resource_traits: the traits that name the object of an event, the most specific first.
    """
    about = (About(tuple(resource_traits), rule.resource_id),) if rule.resource_id else ()
    raises = Half(rule.raises.event_types, (*about, *rule.raises.query.tests))
    clear = Half(rule.clear.event_types, (*about, *rule.clear.query.tests)) if rule.clear else None
    return CompiledRule(
        raises,
        clear,
        about,
        rule.group_by,
        rule.severity_from,
        rule.timers,
        severity_word=rule.severity,
        count=rule.count,
        at_least=rule.at_least,
    )


def compile_definition(definition: AlarmDefinition, resource_traits: Collection[str]) -> Watch:
    """Compile the rule of an ``event`` or ``notification`` alarm.

    :raises InvalidRule: when the rule could never match; names the field and the remedy.
    """
    if definition.type == NOTIFICATION_TYPE:
        return compile_notification(parse(definition.rule), resource_traits)
    return compile_rule(definition.rule, resource_traits)


def _clear(given: object, raises: Pattern, limits: RuleLimits) -> Pattern | None:
    if given is None:
        return None
    if not isinstance(given, dict) or not given:
        raise InvalidRule("clear", "must be a non-empty object", "give {event_type, query}")
    rule_fields.known_keys(given, ("event_type", "query"), "clear.")
    event_types = rule_fields.event_types(given.get("event_type"), "clear.event_type", limits)
    clear = Pattern(
        event_types or raises.event_types, conditions.read(given.get("query"), "clear.query", limits)
    )
    covered = all(any(watches(p, cleared) for p in raises.event_types) for cleared in clear.event_types)
    if not raises.query.tests and covered:
        raise InvalidRule("clear", "every event that it matches raises the alarm", "give a narrower query")
    if clear.query == raises.query and covered:
        raise InvalidRule(
            "clear", "must differ from what raises the alarm", "give another event type or another query"
        )
    return clear


def _timers(document: Mapping[str, Any]) -> Timers:
    timers = Timers(
        clear_after=rule_fields.seconds(document.get("clear_after"), "clear_after"),
        absence_after=_absence(document.get("absence")),
        hold_down=rule_fields.seconds(document.get("hold_down"), "hold_down"),
    )
    if timers.absence_after is not None:
        for name in ("clear", "clear_after"):
            if document.get(name) is not None:
                remedy = "remove it: the expected event clears the alarm"
                raise InvalidRule(name, "must not be combined with absence", remedy)
    return timers


def _absence(given: object) -> float | None:
    if given is None:
        return None
    if not isinstance(given, dict) or given.get("after") is None:
        raise InvalidRule("absence.after", "required", "give {after: seconds}")
    rule_fields.known_keys(given, ("after",), "absence.")
    return rule_fields.seconds(given["after"], "absence.after")


def _count(document: Mapping[str, Any]) -> Threshold | None:
    given = document.get("count")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise InvalidRule("count", "must be an object", "give {at_least: number, within: seconds}")
    rule_fields.known_keys(given, ("at_least", "within"), "count.")
    number, within = given.get("at_least"), rule_fields.seconds(given.get("within"), "count.within")
    if isinstance(number, bool) or not isinstance(number, int) or not 2 <= number <= MOST_MATCHES:
        raise InvalidRule(
            "count.at_least", f"must be an integer from 2 to {MOST_MATCHES}", "give a number of matches"
        )
    if within is None:
        raise InvalidRule("count.within", "required", "give a number of seconds")
    if document.get("absence") is not None:
        raise InvalidRule("count", "must not be combined with absence", "remove one of them")
    if document.get("clear") is None and document.get("clear_after") is None:
        raise InvalidRule("count", "requires what clears the alarm", "give clear or clear_after")
    return Threshold(number, within)


def _at_least(document: Mapping[str, Any]) -> AtLeast | None:
    number, objects = document.get("at_least"), rule_fields.traits(document.get("objects"), "objects")
    if number is None:
        if objects:
            raise InvalidRule("objects", "requires at_least", "give a number of objects, or remove objects")
        return None
    if isinstance(number, bool) or not isinstance(number, int) or not 2 <= number <= MOST_AT_LEAST:
        raise InvalidRule(
            "at_least", f"must be an integer from 2 to {MOST_AT_LEAST}", "give a number of objects"
        )
    if not objects:
        remedy = "name the traits that distinguish the objects of a group, for example resource_id"
        raise InvalidRule("objects", "required with at_least", remedy)
    if set(objects) <= set(rule_fields.traits(document.get("group_by"), "group_by")):
        remedy = "group by what the objects have in common, for example project_id or host"
        raise InvalidRule("group_by", "puts every object into a group of its own", remedy)
    for name in ("absence", "clear_after", "count"):
        if document.get(name) is not None:
            raise InvalidRule("at_least", f"must not be combined with {name}", "remove one of them")
    if document.get("clear") is None:
        raise InvalidRule("at_least", "requires clear", "give the events that end the fault of an object")
    selecting = {name: document.get(name) for name in SELECTING_KEYS}
    text = json.dumps(selecting, sort_keys=True)
    return AtLeast(number, objects, hashlib.blake2b(text.encode(), digest_size=12).hexdigest())
