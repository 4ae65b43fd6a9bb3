"""The parameters that Tacker requires of a fault notification, as the URL of an action has them. Pure."""

from __future__ import annotations

import urllib.parse
from typing import Final

SCHEMES: Final = ("tacker+http:", "tacker+https:")
FAULT_ID: Final = "fault_id"
FAULT_TYPE: Final = "fault_type"
DEFAULT_TYPE: Final = "10"
# The lengths that Tacker requires.
ID_LENGTH: Final = 4
TYPE_LENGTH: Final = 2


def faults(action: str) -> tuple[list[str], str]:
    """Return the fault ids and the fault type in the URL of *action*.

    :raises ValueError: with the remedy, if Tacker would refuse every notification of this action.
    """
    query = urllib.parse.urlsplit(action.strip().partition("+")[2]).query
    asked = urllib.parse.parse_qs(query)
    ids = asked.get(FAULT_ID, [])
    fault_type = asked.get(FAULT_TYPE, [DEFAULT_TYPE])[-1]
    if not ids or any(len(one) != ID_LENGTH for one in ids) or len(fault_type) != TYPE_LENGTH:
        raise ValueError(
            f"{FAULT_ID} must have {ID_LENGTH} characters and {FAULT_TYPE} {TYPE_LENGTH}; append "
            f"?{FAULT_ID}=1111&{FAULT_TYPE}={DEFAULT_TYPE} with the values of the VNF"
        )
    return ids, fault_type


def problem(action: str) -> str:
    """Return why an action is invalid, or an empty string; actions of other schemes are valid."""
    if not action.strip().lower().startswith(SCHEMES):
        return ""
    try:
        faults(action)
    except ValueError as exc:
        return str(exc)
    return ""
