"""The rule of a ``notification`` alarm: read and measured, by Aodh's API and the evaluator alike."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from eventalarm.evaluator import conditions
from eventalarm.evaluator.compiled_rule import About, CompiledRule, Half, Timers
from eventalarm.evaluator.conditions import WHEN_LOADED, Every, RuleLimits
from eventalarm.evaluator.decide import NOTIFICATION_TYPE
from eventalarm.evaluator.event_rule import Watch, compile_rule, trait_of, watches
from eventalarm.exceptions import InvalidRule
from eventalarm.model import AlarmDefinition

TOP_KEYS: Final = (
    "event_type", "query", "resource_id", "clear", "clear_after", "group_by", "severity_from", "absence",
    "hold_down",
)  # fmt: skip
# A timer that is longer than a year is a mistake.
LONGEST: Final = 366 * 86400
MOST_NAMES: Final = 20
NAME_LENGTH: Final = 255


@dataclasses.dataclass(frozen=True, slots=True)
class Pattern:
    """Which events: the types (names or fnmatch patterns) and the query that must hold."""

    event_types: tuple[str, ...]
    query: Every


@dataclasses.dataclass(frozen=True, slots=True)
class NotificationRule:
    """A ``notification_rule`` that can be evaluated.

    ``resource_id`` and ``severity_from`` are empty when they are not given; ``group_by`` and
    ``severity_from`` are names of traits.
    """

    raises: Pattern
    clear: Pattern | None = None
    resource_id: str = ""
    group_by: tuple[str, ...] = ()
    severity_from: str = ""
    timers: Timers = dataclasses.field(default_factory=Timers)


def parse(
    document: object, limits: RuleLimits = WHEN_LOADED, *, require_resource_id: bool = False
) -> NotificationRule:
    """Read a ``notification_rule``.

    :param require_resource_id: refuse a rule that names no resource.
    :raises InvalidRule: naming the field that cannot be, or is larger than *limits*, and the remedy.
    """
    if not isinstance(document, dict) or not document:
        raise InvalidRule("rule", "empty or not an object", "give at least an event_type or a query")
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
        severity_from=_trait(document.get("severity_from"), "severity_from"),
        timers=_timers(document),
    )
    if require_resource_id and not rule.resource_id:
        raise InvalidRule("resource_id", "missing, and this cloud demands it", "name the resource to watch")
    if raises.event_types == ("*",) and not raises.query.tests and not rule.resource_id:
        raise InvalidRule("rule", "matches every event", "give an event_type, a query or a resource_id")
    return rule


def compile_notification(rule: NotificationRule, resource_traits: Collection[str]) -> CompiledRule:
    """Return what tells, of any event, whether it raises or clears the alarm.

    :param resource_traits: the traits that name the object an event is about, the most telling first.
    """
    about = (About(tuple(resource_traits), rule.resource_id),) if rule.resource_id else ()
    raises = Half(rule.raises.event_types, (*about, *rule.raises.query.tests))
    clear = Half(rule.clear.event_types, (*about, *rule.clear.query.tests)) if rule.clear else None
    return CompiledRule(raises, clear, about, rule.group_by, rule.severity_from, rule.timers)


def compile_definition(definition: AlarmDefinition, resource_traits: Collection[str]) -> Watch:
    """Compile the rule of an alarm of any type of ours.

    :raises InvalidRule: when the rule could never match; says which field and what to do.
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
        raise InvalidRule("rule", "nested too deep", "flatten the query") from exc
    except (TypeError, ValueError) as exc:
        raise InvalidRule(
            "rule", f"no JSON: {str(exc)[:80]}", "give texts, numbers, lists and objects"
        ) from exc
    if size > limits.size:
        raise InvalidRule(
            "rule", f"{size} bytes of JSON, more than {limits.size}", "split it into several alarms"
        )


def _event_types(said: object, where: str, limits: RuleLimits) -> tuple[str, ...]:
    if said is None:
        return ()
    listed: list[Any] = said if isinstance(said, list) else [said]
    if not listed or not all(isinstance(one, str) and one for one in listed):
        raise InvalidRule(
            where, "no text", "give a name, a pattern such as compute.instance.*, or a list of them"
        )
    if len(listed) > limits.list_length:
        raise InvalidRule(where, f"more than {limits.list_length} event types", "use patterns")
    if any(len(one) > limits.pattern_length for one in listed):
        raise InvalidRule(where, f"longer than {limits.pattern_length} characters", "shorten it")
    return tuple(dict.fromkeys(listed))


def _clear(said: object, raises: Pattern, limits: RuleLimits) -> Pattern | None:
    if said is None:
        return None
    if not isinstance(said, dict) or not said:
        raise InvalidRule("clear", "empty or not an object", "give {event_type, query}")
    _known_keys(said, ("event_type", "query"), "clear.")
    event_types = _event_types(said.get("event_type"), "clear.event_type", limits)
    clear = Pattern(
        event_types or raises.event_types, conditions.read(said.get("query"), "clear.query", limits)
    )
    covered = all(any(watches(p, cleared) for p in raises.event_types) for cleared in clear.event_types)
    if not raises.query.tests and covered:
        raise InvalidRule("clear", "every such event raises the alarm", "narrow query, so that not all do")
    if clear.query == raises.query and covered:
        raise InvalidRule(
            "clear", "asks for what raises the alarm", "name another event type or another query"
        )
    return clear


def _resource_id(said: object, limits: RuleLimits) -> str:
    if said is None:
        return ""
    if not isinstance(said, str) or not said or len(said) > min(limits.value_length, NAME_LENGTH):
        raise InvalidRule("resource_id", "no text of reasonable length", "give the id of one resource")
    return said


def _trait(said: object, where: str) -> str:
    if said is None:
        return ""
    name = (trait_of(said) or said) if isinstance(said, str) else ""
    if not name or len(name) > NAME_LENGTH:
        raise InvalidRule(where, "not the name of a trait", "name a trait")
    return name


def _group_by(said: object) -> tuple[str, ...]:
    if said is None:
        return ()
    listed = said if isinstance(said, list) else [said]
    if not 0 < len(listed) <= MOST_NAMES:
        raise InvalidRule(
            "group_by", f"not 1 to {MOST_NAMES} traits", "name the traits that tell objects apart"
        )
    # An entry that is null is no name either.
    return tuple(_trait(one or "", f"group_by[{number}]") for number, one in enumerate(listed))


def _seconds(said: object, where: str) -> float | None:
    if said is None:
        return None
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 < said <= LONGEST:
        raise InvalidRule(where, "not a time", f"give seconds, more than 0 and at most {LONGEST}")
    return float(said)


def _timers(document: Mapping[str, Any]) -> Timers:
    timers = Timers(
        clear_after=_seconds(document.get("clear_after"), "clear_after"),
        absence_after=_absence(document.get("absence")),
        hold_down=_seconds(document.get("hold_down"), "hold_down"),
    )
    if timers.absence_after is not None:
        for name in ("clear", "clear_after"):
            if document.get(name) is not None:
                raise InvalidRule(name, "beside absence", "leave it out: the expected event clears the alarm")
    return timers


def _absence(said: object) -> float | None:
    if said is None:
        return None
    if not isinstance(said, dict) or said.get("after") is None:
        raise InvalidRule("absence.after", "missing", "give {after: seconds}")
    _known_keys(said, ("after",), "absence.")
    return _seconds(said["after"], "absence.after")
