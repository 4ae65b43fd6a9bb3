"""Options that limit alarm rules and events, group ``[eventalarm]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

NOTIFICATION_RULE_OPTS: list[Any] = [
    cfg.BoolOpt(
        "require_resource_id",
        default=False,
        help="Whether notification alarms that do not name the resource they watch (resource_id) are "
        "refused.",
    ),
    cfg.IntOpt(
        "max_rule_size",
        default=32768,
        min=256,
        max=60000,
        help="Maximum size of a notification rule, in bytes of JSON. The rule must fit into Aodh's alarm "
        "table.",
    ),
    cfg.IntOpt(
        "max_rule_depth",
        default=8,
        min=2,
        max=64,
        help="Maximum nesting depth of and, or, not and lists in the query of a notification rule.",
    ),
    cfg.IntOpt(
        "max_rule_conditions",
        default=100,
        min=1,
        help="Maximum number of conditions in one query, counted over all levels.",
    ),
    cfg.IntOpt(
        "max_rule_list",
        default=100,
        min=1,
        help="Maximum number of values in one list, and of event types in one rule.",
    ),
    cfg.IntOpt(
        "max_rule_value_length",
        default=1024,
        min=1,
        help="Maximum length of one value of a condition, in characters.",
    ),
    cfg.IntOpt(
        "max_rule_pattern_length",
        default=255,
        min=1,
        help="Maximum length of a field name, an event type, a wildcard or a regular expression in a rule, "
        "in characters.",
    ),
    cfg.IntOpt(
        "max_scan_groups",
        default=1000,
        min=0,
        help="Number of distinct rules without an equality on a trait that one project may have before it "
        "is reported: each event of the project is tested against every such rule that watches its type. "
        "The rules are still evaluated; a warning and a metric, once per project, say how to make them "
        "cheaper.",
    ),
]

EVENT_OPTS: list[Any] = [
    cfg.IntOpt(
        "max_event_traits",
        default=10000,
        min=1,
        help="Maximum number of traits of an event. An event with more is skipped and counted as "
        "too_many_traits.",
    ),
    cfg.IntOpt(
        "max_event_key_length",
        default=1024,
        min=64,
        help="Maximum length of the message_id and of the event_type of an event, in characters. An event "
        "that exceeds it is skipped and counted as message_id_too_long or event_type_too_long.",
    ),
    cfg.IntOpt(
        "max_trait_length",
        default=16384,
        min=1,
        help="Maximum length of a text trait that is compared, in characters. A longer trait is treated as "
        "absent and counted as a bad trait.",
    ),
]

RULE_OPTS: list[Any] = [*NOTIFICATION_RULE_OPTS, *EVENT_OPTS]
