"""SOL013's attribute selectors (clause 5.3): which optional attributes of a resource are returned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from eventalarm.ifa_shim.filters import ALARM_ATTRIBUTES, BadFilter, Path

# The complex attributes that may be absent: only these can be left out. Simple ones are small, and
# rootCauseFaultyResource must be present whenever the resource is known.
OPTIONAL: Final = frozenset({"correlatedAlarmIds", "faultDetails"})
SELECTORS: Final = ("all_fields", "fields", "exclude_fields", "exclude_default")
# Each path that leads to an attribute, or to one that holds attributes.
LINKS: Final = (("_links", "self"), ("_links", "objectInstance"))
PATHS: Final = frozenset(
    path[:depth] for path in (*ALARM_ATTRIBUTES, *LINKS) for depth in range(1, len(path) + 1)
)
# Its details are mandatory (SOL003 clause 7.5.2.4).
MAINTENANCE: Final = "NFVI_OAM_VIRTUALISED_RESOURCE_STATE_CHANGE"


def excluded(parameters: Mapping[str, str]) -> frozenset[str]:
    """Return the attributes that the selectors among *parameters* leave out.

    :raises BadFilter: when the selectors cannot be combined, or an attribute does not exist.
    """
    given = {name for name in SELECTORS if name in parameters}
    if len(given) > 1 and given != {"fields", "exclude_default"}:
        raise BadFilter(f"{', '.join(sorted(given))} cannot be combined")
    if "exclude_fields" in given:
        return OPTIONAL & {path[0] for path in _paths(parameters["exclude_fields"]) if len(path) == 1}
    if given & {"fields", "exclude_default"}:
        return OPTIONAL - {path[0] for path in _paths(parameters.get("fields", ""))}
    return frozenset()


def _paths(text: str) -> set[Path]:
    paths = {tuple(part.split("/")) for part in text.split(",") if part}
    unknown = sorted("/".join(path) for path in paths - PATHS)
    if unknown:
        raise BadFilter(f"unknown attribute: {', '.join(unknown)[:80]}")
    return paths


def select(resource: Mapping[str, Any], left_out: frozenset[str]) -> dict[str, Any]:
    """Return *resource* without the attributes *left_out*."""
    if resource.get("faultType") == MAINTENANCE:
        left_out -= {"faultDetails"}
    return {name: value for name, value in resource.items() if name not in left_out}
