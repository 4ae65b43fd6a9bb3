"""The filters of ``eventalarm-delivery``: ids, state, project, alarm, destination and age."""

from __future__ import annotations

import argparse
import datetime
import re
from collections.abc import Sequence
from typing import Any, Final

from eventalarm.exceptions import EventAlarmError
from eventalarm.model import DeliveryState

ALL_STATES: Final = "all"
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
LONGEST: Final = 100 * 365 * 86400


class Unusable(EventAlarmError):
    """The command cannot be carried out; the message names the remedy."""


def age(text: str) -> datetime.timedelta:
    """Parse an age: a number with the unit s, m, h, d or w; seconds without a unit.

    :raises argparse.ArgumentTypeError: if it is invalid, or more than 100 years.
    """
    found = re.fullmatch(r"(\d{1,9})([smhdw]?)", text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a valid age; write 90s, 10m, 2h, 3d or 1w")
    seconds = int(found[1]) * UNITS[found[2] or "s"]
    if seconds > LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 100 years")
    return datetime.timedelta(seconds=seconds)


def add_filters(parser: argparse.ArgumentParser, states: Sequence[str]) -> None:
    """Add the options that select deliveries; *states* are the accepted values of ``--state``."""
    group = parser.add_argument_group("filters")
    if len(states) > 1:
        default = DeliveryState.FAILED.value
        choices = [*map(str, states), ALL_STATES]
        group.add_argument("--state", choices=choices, help=f"deliveries in this state (default: {default})")
    group.add_argument("--project", default="", metavar="ID", help="deliveries of this project")
    group.add_argument("--alarm", default="", metavar="ID", help="deliveries of this alarm")
    group.add_argument(
        "--destination",
        default="",
        metavar="HOST|URL",
        help="deliveries to this host, host:port, or to URLs with this prefix (without user information)",
    )
    group.add_argument("--older-than", type=age, metavar="AGE", help="created at least AGE ago")
    group.add_argument("--newer-than", type=age, metavar="AGE", help="created at most AGE ago")


def is_filtered(args: argparse.Namespace) -> bool:
    """Return True if any of these options was given."""
    given = (args.project, args.alarm, args.destination, args.older_than, args.newer_than)
    return any(value not in ("", None) for value in (*given, getattr(args, "state", None)))


def selection(args: argparse.Namespace, now: datetime.datetime, states: Sequence[str]) -> Any:
    """Return the filters of a command line as ``eventalarm.storage.delivery_selection.Selection``.

    :raises Unusable: if the destination is neither a host nor the beginning of a URL.
    """
    from eventalarm.delivery import action  # noqa: PLC0415 - slow to import, and not needed for --help
    from eventalarm.storage.delivery_selection import Selection  # noqa: PLC0415

    state = getattr(args, "state", None) or DeliveryState.FAILED.value
    wanted = args.destination.strip()
    if wanted and not action.hint(wanted):
        raise Unusable(f"--destination {wanted} names no host; write a host, host:port or a URL")
    return Selection(
        states=tuple(map(str, states)) if state == ALL_STATES else (state,),
        delivery_ids=tuple(dict.fromkeys(getattr(args, "delivery_id", ()))),
        project_id=args.project,
        alarm_id=args.alarm,
        since=now - args.newer_than if args.newer_than is not None else None,
        until=now - args.older_than if args.older_than is not None else None,
        goes_to=action.goes_to(wanted) if wanted else None,
        hint=action.hint(wanted) if wanted else "",
    )
