"""What an event is about: the managed object, from event or rule, and whether it is a root cause."""

from __future__ import annotations

import dataclasses
import json
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from eventalarm.catalogue.faults import FanOut, Fault
from eventalarm.ifa_shim.alarm import FaultyResource
from eventalarm.ifa_shim.aodh_history import AodhAlarm
from eventalarm.ifa_shim.tables import Family, Settings
from eventalarm.model import EVENT_ALARM_TYPES, TIMER_EVENT_TYPE, Event

TRAITS: Final = "traits."
DEPTH: Final = 32
IN_RULE: Final = ("resource_id", "pool_id")
TRUE_WORDS: Final = frozenset({"true", "yes", "1"})
# Traits of an event about one server or port, or of one owner.
OF_ONE_OWNER: Final = ("fault_id", "instance_id", "server_id", "port_id", "project_id", "tenant_id")


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A condition of a rule on the resource: ``trait`` must equal ``value``."""

    trait: str
    value: str


def is_made_up(event_type: str) -> bool:
    """Return True for the event of a timer, which stands for the events that did not come."""
    return event_type.startswith(TIMER_EVENT_TYPE)


def targets(rule: Mapping[str, Any], settings: Settings) -> tuple[Target, ...]:
    """Return the resource that an event or notification rule is bound to, as its conditions name it.

    Empty if the rule is about any resource, or has one occurrence for each resource (``group_by``).
    """
    if rule.get("group_by"):
        return ()
    places = settings.places(event_types_of(rule))
    found = [t for t in _equalities(rule.get("query"), DEPTH) if t.trait in places]
    named = rule.get("resource_id")
    if isinstance(named, str) and named:
        found.insert(0, Target("resource_id", named))
    return tuple(sorted(found, key=lambda t: places.get(t.trait, -1)))


def event_types_of(rule: Mapping[str, Any]) -> list[str]:
    """Return the event types that an event or notification rule names; none if it is of another type."""
    named = rule.get("event_type")
    return [str(one) for one in (named if isinstance(named, list) else [named]) if one]


def _equalities(query: Any, depth: int) -> Iterator[Target]:
    """Yield the equality conditions that must all hold: a list, or an ``and`` of conditions."""
    if isinstance(query, Mapping) and "and" in query:
        query = query["and"]
    if not isinstance(query, list):
        query = [query] if isinstance(query, Mapping) else []
    for part in query if depth else ():
        if not isinstance(part, dict) or "and" in part:
            yield from _equalities(part, depth - 1)
        elif part.get("op", "eq") == "eq":
            field, value = part.get("field"), part.get("value")
            if isinstance(field, str) and isinstance(value, str | int) and value != "":
                yield Target(field.removeprefix(TRAITS), str(value))


def object_of_rule(alarm: AodhAlarm, settings: Settings) -> str:
    """Return the one managed object that the definition of *alarm* names, or an empty string."""
    if alarm.type in EVENT_ALARM_TYPES:
        bound = targets(alarm.rule, settings)
        return bound[0].value if bound else ""
    ids = {str(found) for found in _resource_ids(alarm.rule, DEPTH)}
    return ids.pop() if len(ids) == 1 else ""


def _resource_ids(rule: Any, depth: int) -> Iterator[str]:
    """Yield every resource that a threshold, load balancer or composite rule names."""
    if not depth:
        return
    if isinstance(rule, list):
        for part in rule:
            yield from _resource_ids(part, depth - 1)
    elif isinstance(rule, Mapping):
        for name in IN_RULE:
            if isinstance(rule.get(name), str) and rule[name]:
                yield rule[name]
        for word in ("or", "and"):
            yield from _resource_ids(rule.get(word), depth - 1)
        yield from _ids_of_query(rule.get("query"))


def _ids_of_query(query: Any) -> Iterator[str]:
    """Yield the ids that the JSON query of an aggregation rule requires, ``{"=": {"id": …}}``."""
    if isinstance(query, str):
        try:
            query = json.loads(query)
        except (ValueError, RecursionError):
            return
    if not isinstance(query, Mapping):
        return
    equal = query.get("=") or query.get("eq")
    if isinstance(equal, Mapping) and isinstance(equal.get("id"), str):
        yield equal["id"]
    for part in query.get("and") or ():
        yield from _ids_of_query(part)


def object_of_event(event: Event, family: Family | None, settings: Settings) -> str:
    """Return the managed object that an event is about: by its family's traits, then by the generic ones."""
    return event.first_trait((*(family.traits if family else ()), *settings.traits))


def resource_of(rule: Mapping[str, Any], managed_object: str, event: Event, settings: Settings) -> str:
    """Return the resource of an occurrence that *event* raised; empty if nothing names one.

    It is *managed_object* unless the rule has ``group_by``: then the first of the traits that may name the
    resource, those of ``group_by`` before others, and those of the fault catalogue before the generic ones.
    """
    group = rule.get("group_by")
    if managed_object and not group:
        return managed_object
    by_timer = is_made_up(event.event_type)
    family = _family_of_rule(rule, settings) if by_timer else settings.naming_of(event).family
    if group:
        values = dict(zip(group, parts_of(managed_object, group), strict=False))
        for name in (*(family.traits if family else ()), *settings.traits):
            if values.get(name):
                return str(values[name])
    if rule.get("at_least"):
        # The event is about one object of the group.
        return managed_object
    # The event of a timer names the managed object itself.
    return "" if by_timer else object_of_event(event, family, settings)


def recorded_resource(
    rule: Mapping[str, Any], managed_object: str, event: Event, settings: Settings
) -> str | None:
    """Return what :func:`resource_of` does, where it is known and not *managed_object* itself; else None."""
    if managed_object and not rule.get("group_by"):
        return None
    found = resource_of(rule, managed_object, event, settings)
    return found if found and found != managed_object else None


def parts_of(managed_object: str, group: Sequence[str]) -> list[str]:
    """Return the values of the traits of ``group_by`` that *managed_object* was composed of."""
    if len(group) == 1:
        return [managed_object]
    return [urllib.parse.unquote(part) for part in managed_object.split("/")]


def component_of(rule: Mapping[str, Any], managed_object: str, resource: str) -> str:
    """Return what distinguishes the occurrence from others of the same *resource*, joined by slashes."""
    if managed_object == resource or not resource:
        return ""
    # The rule of a deleted alarm is not known.
    parts = parts_of(managed_object, rule.get("group_by") or ())
    return "/".join(part for part in parts if part and part != resource)


def _family_of_rule(rule: Mapping[str, Any], settings: Settings) -> Family | None:
    found = (settings.naming(one).family for one in event_types_of(rule))
    return next((family for family in found if family is not None), None)


def retargeted(rule: Mapping[str, Any], event: Event, settings: Settings) -> bool:
    """Return True if the present *rule* is bound to a resource other than the one that *event* was about."""
    bound = targets(rule, settings)
    for target in bound:
        value = event.trait(target.trait)
        if value is None:
            value = event.body.get(target.trait)
        if str(value) == target.value:
            return False
    return bool(bound)


def faulty_resource(
    managed_object: str, named: Family | None, rule: Mapping[str, Any], settings: Settings
) -> FaultyResource | None:
    """Return the resource with its kind, or None unless its kind is one of SOL003's three.

    *named* describes the resources of such events; a threshold rule names the type of its resource itself.
    """
    resource_type = rule.get("resource_type")
    family = named
    if isinstance(resource_type, str) and resource_type:
        family = settings.naming(f"gnocchi.{resource_type}").family
    if not managed_object or family is None or family.kind is None:
        return None
    return FaultyResource(managed_object, family.kind, family.type)


def is_root_cause(event: Event, fault: Fault | None) -> bool:
    """Return True if an event says that it is the root cause of others, or reports a fault of many resources.

    The latter is a fault of a host, hypervisor or switch by the fault catalogue, in an event that belongs to
    nobody and is not about a single server or port.
    """
    named = event.first_trait(("is_root_cause",))
    if named:
        return named.lower() in TRUE_WORDS
    fans_out = fault is not None and fault.fan_out is not FanOut.NONE
    return fans_out and not event.first_trait(OF_ONE_OWNER)
