"""From the options of ``[eventalarm]`` to the limits of rules and events."""

from __future__ import annotations

from typing import Any

from eventalarm.evaluator.conditions import RuleLimits
from eventalarm.model import EventLimits


def rule_limits(group: Any) -> RuleLimits:
    """Return what a rule may be when it is saved; *group* holds the options."""
    return RuleLimits(
        size=group.max_rule_size,
        depth=group.max_rule_depth,
        conditions=group.max_rule_conditions,
        list_length=group.max_rule_list,
        value_length=group.max_rule_value_length,
        pattern_length=group.max_rule_pattern_length,
    )


def event_limits(group: Any) -> EventLimits:
    """Return what an event may be when it arrives; *group* holds the options."""
    return EventLimits(
        traits=group.max_event_traits, text=group.max_trait_length, key=group.max_event_key_length
    )
