"""The options of the evaluator as frozen objects, and the limits of rules and events."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from eventalarm.model import Event, EventLimits

# The maximum nesting depth, even for rules that were saved under higher limits.
DEEPEST: Final = 64


@dataclasses.dataclass(frozen=True, slots=True)
class RuleLimits:
    """The limits for a rule that is saved, from the ``max_rule_*`` options of ``[eventalarm]``.

    ``size`` is in bytes of JSON, the lengths are in characters.
    """

    size: int = 32768
    depth: int = 8
    conditions: int = 100
    list_length: int = 100
    value_length: int = 1024
    pattern_length: int = 255


# A saved rule is always evaluated: lowering a limit later must not silence an alarm.
WHEN_LOADED: Final = RuleLimits(
    size=sys.maxsize,
    depth=DEEPEST,
    conditions=sys.maxsize,
    list_length=sys.maxsize,
    value_length=sys.maxsize,
    pattern_length=sys.maxsize,
)


def rule_limits(group: Any) -> RuleLimits:
    """Return the limits for a rule that is saved; *group* is ``conf.eventalarm``."""
    return RuleLimits(
        size=group.max_rule_size,
        depth=group.max_rule_depth,
        conditions=group.max_rule_conditions,
        list_length=group.max_rule_list,
        value_length=group.max_rule_value_length,
        pattern_length=group.max_rule_pattern_length,
    )


def event_limits(group: Any) -> EventLimits:
    """Return the limits for a received event; *group* is ``conf.eventalarm``."""
    return EventLimits(
        traits=group.max_event_traits, text=group.max_trait_length, key=group.max_event_key_length
    )


# Maximum number of managed objects on which an alarm is raised; see [eventalarm] max_occurrences_per_alarm.
MOST_OBJECTS: Final = 10_000

# Maximum number of objects of one group that are tracked; see [eventalarm] max_objects_per_group.
MOST_TRACKED: Final = 1000

# Returns the resource of an occurrence where the managed object holds more or something else, or None: from
# the rule, the managed object and the event that raised it.
ResourceOf = Callable[[Mapping[str, Any], str, Event], str | None]


def no_resource(rule: Mapping[str, Any], managed_object: str, event: Event) -> None:
    """Return None: the resource is not recorded."""
    return


# Returns True for the type of events that nothing inhibits, such as those that announce a maintenance.
NeverInhibited = Callable[[str], bool]


def none_of_them(event_type: str) -> bool:
    """Return False: events of every type may be inhibited."""
    return False


@dataclasses.dataclass(frozen=True, slots=True)
class EngineOptions:
    """The options of the engine; ``eventalarm.conf`` describes each. Sizes are in bytes, times in seconds."""

    types: tuple[str, ...]
    owner_traits: tuple[str, ...]
    resource_traits: tuple[str, ...]
    infrastructure_projects: tuple[str, ...]
    clear_mode: str
    record_history: bool
    max_candidates: int
    max_event_size: int
    beside_aodh_listener: bool = False
    max_occurrences: int = MOST_OBJECTS
    max_objects: int = MOST_TRACKED
    max_transaction_size: int = 16 * 1024 * 1024
    max_batch_time: float = math.inf
    max_clock_skew: float = 0.0
    resource_of: ResourceOf = no_resource
    never_inhibited: NeverInhibited = none_of_them
    record_matched: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class CacheOptions:
    """The options of the alarm cache. ``overlap`` and ``reload_interval`` are in seconds.

    ``max_alarms`` bounds the memory. A project with more than ``max_scan_groups`` different rules that have
    no equality to index is reported.
    """

    resource_traits: tuple[str, ...]
    overlap: float
    reload_interval: float
    max_alarms: int
    max_scan_groups: int = 1000


# While more than DENSE messages a second arrive, batches are taken GATHER seconds apart: each batch costs a
# read of changed definitions and a commit, and the thread that reads the bus needs the interpreter. Below
# that rate, or with fewer than FEW messages at once, nothing waits.
DENSE = 400.0
FEW = 8
GATHER = 0.05

# Maximum number of unacknowledged messages before the first acknowledgement.
FIRST_PREFETCH = 8


@dataclasses.dataclass(frozen=True, slots=True)
class ListenerOptions:
    """What a ``BatchServer`` consumes, and how it forms batches.

    ``dense`` is the rate in messages per second that counts as a backlog, ``gather`` the seconds between its
    batches.
    ``first_prefetch`` limits unacknowledged messages on RabbitMQ until the first acknowledgement: a listener
    that is killed repeatedly then uses up the delivery limit of a few messages only.
    """

    topic: str
    exchange: str
    batch_size: int
    dense: float = DENSE
    gather: float = GATHER
    first_prefetch: int = FIRST_PREFETCH


@dataclasses.dataclass(frozen=True, slots=True)
class RedeliveryOptions:
    """The numbers of unacknowledged deliveries after which a message is renewed, and finally set aside."""

    renew_after: int = 2
    most: int = 100
