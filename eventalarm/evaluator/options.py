"""The limits of rules and events, and how the options of ``[eventalarm]`` set them."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, Final

from eventalarm.model import EventLimits

# The nesting depth that is never exceeded, even for rules that were saved under higher limits.
DEEPEST: Final = 64


@dataclasses.dataclass(frozen=True, slots=True)
class RuleLimits:
    """How large a rule may be when it is saved; from the ``max_rule_*`` options of ``[eventalarm]``.

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
