"""What an alarm says of a destination is not sent to that destination. Pure."""

from __future__ import annotations

from typing import Final

from eventalarm.delivery.action import destination, masked, place
from eventalarm.model import destination_of
from eventalarm.storage.column_types import to_key

# Why such a delivery is given up.
OWN_DESTINATION: Final = "own_destination: an alarm about a destination is not sent to it"


def goes_back(event: object, action: str) -> bool:
    """Return True if *action* goes to the destination that *event*, the body of an event, is about.

    It is compared without its scheme: ``trust+https`` calls the same host as ``https``. A single URL that is
    disabled is that URL alone.
    """
    about = destination_of(event)
    if "://" not in about:
        return False
    if about == to_key(masked(action)):
        return True
    return about == to_key(destination(about)) and _receiver(about) == _receiver(action)


def _receiver(action: str) -> tuple[str, str, int]:
    scheme, host, port = place(action)
    # Schemes without a host are a destination each.
    return ("" if host else scheme), host, port
