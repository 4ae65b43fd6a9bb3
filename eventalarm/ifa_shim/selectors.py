"""SOL013's attribute selectors (clause 5.3): which optional attributes of a resource are answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from eventalarm.ifa_shim.filters import BadFilter

# What a resource always has: it cannot be left out.
MANDATORY: Final = frozenset(
    {
        *("id", "managedObjectId", "alarmRaisedTime", "ackState", "perceivedSeverity", "eventTime"),
        *("eventType", "probableCause", "isRootCause", "_links"),
    }
)
OPTIONAL: Final = frozenset(
    {
        *("rootCauseFaultyResource", "alarmChangedTime", "alarmClearedTime", "alarmAcknowledgedTime"),
        *("faultType", "correlatedAlarmIds", "faultDetails"),
    }
)
# What exclude_default leaves out: the attributes that can be long.
BY_DEFAULT: Final = frozenset({"correlatedAlarmIds", "faultDetails"})
SELECTORS: Final = ("all_fields", "fields", "exclude_fields", "exclude_default")


def excluded(parameters: Mapping[str, str]) -> frozenset[str]:
    """Return the attributes that the selectors among *parameters* leave out.

    :raises BadFilter: for selectors that exclude each other, and for attributes that do not exist.
    """
    given = {name for name in SELECTORS if name in parameters}
    if len(given) > 1 and given != {"fields", "exclude_default"}:
        raise BadFilter(f"{', '.join(sorted(given))} cannot be combined")
    kept = _names(parameters.get("fields", ""))
    if "exclude_fields" in given:
        return _names(parameters["exclude_fields"]) - MANDATORY
    if "exclude_default" in given:
        return BY_DEFAULT - kept
    return OPTIONAL - kept if "fields" in given else frozenset()


def _names(text: str) -> frozenset[str]:
    names = frozenset(part.partition("/")[0] for part in text.split(",") if part)
    unknown = names - MANDATORY - OPTIONAL
    if unknown:
        raise BadFilter(f"no such attribute: {', '.join(sorted(unknown))[:80]}")
    return names


def select(resource: Mapping[str, Any], left_out: frozenset[str]) -> dict[str, Any]:
    """Return *resource* without the attributes *left_out*."""
    return {name: value for name, value in resource.items() if name not in left_out}
