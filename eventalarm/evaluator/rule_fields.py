"""Reads the fields of a notification rule; each error names the field that is invalid, and the remedy."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from eventalarm.evaluator.event_rule import trait_of
from eventalarm.evaluator.options import RuleLimits
from eventalarm.exceptions import InvalidRule
from eventalarm.model import severity_word

# Seconds. A timer that is longer than a year is a mistake.
LONGEST: Final = 366 * 86400
MOST_NAMES: Final = 20
NAME_LENGTH: Final = 255


def known_keys(document: Mapping[Any, Any], known: Collection[str], where: str) -> None:
    """Refuse a field that is not in *known*; *where* ends with a dot, or is empty."""
    unknown = sorted(str(key) for key in document if key not in known)
    if unknown:
        raise InvalidRule(f"{where}{unknown[0][:80]}", "unknown field", f"use {', '.join(known)}")


def measure(document: Mapping[str, Any], limits: RuleLimits) -> None:
    """Refuse a rule that is not JSON or exceeds the size limit."""
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


def event_types(given: object, where: str, limits: RuleLimits) -> tuple[str, ...]:
    """Return one or several event types or patterns."""
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


def resource_id(given: object, limits: RuleLimits) -> str:
    """Return the id of a resource, or an empty string."""
    if given is None:
        return ""
    if not isinstance(given, str) or not given or len(given) > min(limits.value_length, NAME_LENGTH):
        most = min(limits.value_length, NAME_LENGTH)
        raise InvalidRule(
            "resource_id", f"must be a string of 1 to {most} characters", "give the id of one resource"
        )
    return given


def trait(given: object, where: str) -> str:
    """Return the name of a trait, or an empty string."""
    if given is None:
        return ""
    name = (trait_of(given) or given) if isinstance(given, str) else ""
    if not name or len(name) > NAME_LENGTH:
        raise InvalidRule(
            where, f"must be the name of a trait, of 1 to {NAME_LENGTH} characters", "name a trait"
        )
    return name


def severity(given: object) -> str:
    """Return an X.733 word in upper case, or an empty string."""
    if given is None:
        return ""
    word = severity_word(given) if isinstance(given, str) else None
    if word is None:
        remedy = "use critical, major, minor, warning or indeterminate"
        raise InvalidRule("severity", "must be an X.733 severity", remedy)
    return word


def traits(given: object, where: str) -> tuple[str, ...]:
    """Return one or several names of traits."""
    if given is None:
        return ()
    listed = given if isinstance(given, list) else [given]
    if not 0 < len(listed) <= MOST_NAMES:
        raise InvalidRule(
            where, f"must list 1 to {MOST_NAMES} traits", "name the traits that distinguish objects"
        )
    # A null entry is as invalid as an empty name.
    return tuple(trait(one or "", f"{where}[{number}]") for number, one in enumerate(listed))


def seconds(given: object, where: str) -> float | None:
    """Return a positive number of seconds, or None."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= LONGEST:
        raise InvalidRule(where, "must be a number of seconds", f"give more than 0 and at most {LONGEST}")
    return float(given)
