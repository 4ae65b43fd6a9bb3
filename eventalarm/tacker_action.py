"""What Tacker demands of a fault notification, as far as the URL of an action carries it. Pure."""

from __future__ import annotations

import urllib.parse
from typing import Final

SCHEMES: Final = ("tacker+http:", "tacker+https:")
FAULT_ID: Final = "fault_id"
FAULT_TYPE: Final = "fault_type"
DEFAULT_TYPE: Final = "10"
# Tacker's words have these lengths.
ID_LENGTH: Final = 4
TYPE_LENGTH: Final = 2


def faults(action: str) -> tuple[list[str], str]:
    """Return the fault ids and the fault type that *action* names, each once.

    :raises ValueError: with the remedy, when Tacker would refuse every notification of it.
    """
    query = urllib.parse.urlsplit(action.strip().partition("+")[2]).query
    asked = urllib.parse.parse_qs(query)
    ids = asked.get(FAULT_ID, [])
    fault_type = asked.get(FAULT_TYPE, [DEFAULT_TYPE])[-1]
    if not ids or any(len(one) != ID_LENGTH for one in ids) or len(fault_type) != TYPE_LENGTH:
        raise ValueError(
            f"it needs {FAULT_ID} of {ID_LENGTH} characters, and {FAULT_TYPE} of {TYPE_LENGTH}: add "
            f"?{FAULT_ID}=1111&{FAULT_TYPE}={DEFAULT_TYPE} with those of the VNF"
        )
    return ids, fault_type


def problem(action: str) -> str:
    """Return what is wrong with an action of any scheme, or an empty text."""
    if not action.strip().lower().startswith(SCHEMES):
        return ""
    try:
        faults(action)
    except ValueError as exc:
        return str(exc)
    return ""
