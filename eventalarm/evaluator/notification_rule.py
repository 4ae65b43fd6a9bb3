"""Notification rules: the ``notification_rule`` of an alarm, parsed alike by Aodh's API and the evaluator."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from eventalarm.evaluator import conditions
from eventalarm.evaluator.compiled_rule import About, CompiledRule, Half, Timers
from eventalarm.evaluator.conditions import Every
from eventalarm.evaluator.decide import NOTIFICATION_TYPE
from eventalarm.evaluator.event_rule import Watch, compile_rule, trait_of, watches
from eventalarm.evaluator.match_count import MOST_MATCHES, Threshold
from eventalarm.evaluator.options import WHEN_LOADED, RuleLimits
from eventalarm.exceptions import InvalidRule
from eventalarm.model import AlarmDefinition, severity_word

TOP_KEYS: Final = (
    "event_type", "query", "resource_id", "clear", "clear_after", "group_by", "severity", "severity_from",
    "absence", "hold_down", "count",
)  # fmt: skip
# Seconds. A timer that is longer than a year is a mistake.
LONGEST: Final = 366 * 86400
MOST_NAMES: Final = 20
NAME_LENGTH: Final = 255


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


def parse(
    document: object, limits: RuleLimits = WHEN_LOADED, *, require_resource_id: bool = False
) -> NotificationRule:
    """Parse and validate a ``notification_rule``.

    :param require_resource_id: reject a rule without ``resource_id``.
    :raises InvalidRule: naming the field that is invalid or exceeds *limits*, and the remedy.
    """
    if not isinstance(document, dict) or not document:
        raise InvalidRule("rule", "must be a non-empty object", "give at least an event_type or a query")
    _known_keys(document, TOP_KEYS, "")
    _measure(document, limits)
    raises = Pattern(
        _event_types(document.get("event_type"), "event_type", limits) or ("*",),
        conditions.read(document.get("query"), "query", limits),
    )
    rule = NotificationRule(
        raises=raises,
        clear=_clear(document.get("clear"), raises, limits),
        resource_id=_resource_id(document.get("resource_id"), limits),
        group_by=_group_by(document.get("group_by")),
        severity=_severity(document.get("severity")),
        severity_from=_trait(document.get("severity_from"), "severity_from"),
        timers=_timers(document),
        count=_count(document),
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
    )


def compile_definition(definition: AlarmDefinition, resource_traits: Collection[str]) -> Watch:
    """Compile the rule of an ``event`` or ``notification`` alarm.

    :raises InvalidRule: when the rule could never match; names the field and the remedy.
    """
    if definition.type == NOTIFICATION_TYPE:
        return compile_notification(parse(definition.rule), resource_traits)
    return compile_rule(definition.rule, resource_traits)


def _known_keys(document: Mapping[Any, Any], known: Collection[str], where: str) -> None:
    unknown = sorted(str(key) for key in document if key not in known)
    if unknown:
        raise InvalidRule(f"{where}{unknown[0][:80]}", "unknown field", f"use {', '.join(known)}")


def _measure(document: Mapping[str, Any], limits: RuleLimits) -> None:
    try:
        size = len(json.dumps(document))
    except RecursionError as exc:
        raise InvalidRule("rule", "nested too deeply", "flatten the query") from exc
    except (TypeError, ValueError) as exc:
        raise InvalidRule(
            "rule", f"must be JSON: {str(exc)[:80]}", "give strings, numbers, lists and objects"
        ) from exc
    if size > limits.size:
        raise InvalidRule(
            "rule", f"{size} bytes of JSON, more than {limits.size}", "split the rule into several alarms"
        )


def _event_types(given: object, where: str, limits: RuleLimits) -> tuple[str, ...]:
    if given is None:
        return ()
    listed: list[Any] = given if isinstance(given, list) else [given]
    if not listed or not all(isinstance(one, str) and one for one in listed):
        raise InvalidRule(
            where,
            "must be a non-empty string or a list of such strings",
            "give a name, a pattern such as compute.instance.*, or a list of them",
        )
    if len(listed) > limits.list_length:
        raise InvalidRule(where, f"more than {limits.list_length} event types", "use patterns")
    if any(len(one) > limits.pattern_length for one in listed):
        raise InvalidRule(where, f"longer than {limits.pattern_length} characters", "shorten it")
    return tuple(dict.fromkeys(listed))


def _clear(given: object, raises: Pattern, limits: RuleLimits) -> Pattern | None:
    if given is None:
        return None
    if not isinstance(given, dict) or not given:
        raise InvalidRule("clear", "must be a non-empty object", "give {event_type, query}")
    _known_keys(given, ("event_type", "query"), "clear.")
    event_types = _event_types(given.get("event_type"), "clear.event_type", limits)
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


def _resource_id(given: object, limits: RuleLimits) -> str:
    if given is None:
        return ""
    if not isinstance(given, str) or not given or len(given) > min(limits.value_length, NAME_LENGTH):
        most = min(limits.value_length, NAME_LENGTH)
        raise InvalidRule(
            "resource_id", f"must be a string of 1 to {most} characters", "give the id of one resource"
        )
    return given


def _trait(given: object, where: str) -> str:
    if given is None:
        return ""
    name = (trait_of(given) or given) if isinstance(given, str) else ""
    if not name or len(name) > NAME_LENGTH:
        raise InvalidRule(
            where, f"must be the name of a trait, of 1 to {NAME_LENGTH} characters", "name a trait"
        )
    return name


def _severity(given: object) -> str:
    if given is None:
        return ""
    word = severity_word(given) if isinstance(given, str) else None
    if word is None:
        remedy = "use critical, major, minor, warning or indeterminate"
        raise InvalidRule("severity", "must be an X.733 severity", remedy)
    return word


def _group_by(given: object) -> tuple[str, ...]:
    if given is None:
        return ()
    listed = given if isinstance(given, list) else [given]
    if not 0 < len(listed) <= MOST_NAMES:
        raise InvalidRule(
            "group_by", f"must list 1 to {MOST_NAMES} traits", "name the traits that distinguish objects"
        )
    # A null entry is as invalid as an empty name.
    return tuple(_trait(one or "", f"group_by[{number}]") for number, one in enumerate(listed))


def _seconds(given: object, where: str) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= LONGEST:
        raise InvalidRule(where, "must be a number of seconds", f"give more than 0 and at most {LONGEST}")
    return float(given)


def _timers(document: Mapping[str, Any]) -> Timers:
    timers = Timers(
        clear_after=_seconds(document.get("clear_after"), "clear_after"),
        absence_after=_absence(document.get("absence")),
        hold_down=_seconds(document.get("hold_down"), "hold_down"),
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
    _known_keys(given, ("after",), "absence.")
    return _seconds(given["after"], "absence.after")


def _count(document: Mapping[str, Any]) -> Threshold | None:
    given = document.get("count")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise InvalidRule("count", "must be an object", "give {at_least: number, within: seconds}")
    _known_keys(given, ("at_least", "within"), "count.")
    number, within = given.get("at_least"), _seconds(given.get("within"), "count.within")
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
