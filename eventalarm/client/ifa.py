"""``openstack ifa alarm list|show|history|ack``: the alarms of the cloud in ETSI NFV's terms."""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

from cliff import columns
from osc_lib import exceptions
from osc_lib.command import command

from eventalarm.client.ifa_api import IfaClient
from eventalarm.client.service import Document

STATES: Final = ("FIRED", "UPDATED", "CLEARED")
SEVERITIES: Final = ("CRITICAL", "MAJOR", "MINOR", "WARNING", "INDETERMINATE", "CLEARED")
KINDS: Final = ("COMPUTE", "STORAGE", "NETWORK")

# Not an attribute of the API: read from the fault details.
NAME: Final = "name"
ALARM_NAME: Final = "aodh.alarm_name="
PROJECT: Final = {"projectId": "Project"}
SHORT: Final = {
    "alarmId": "ID",
    "perceivedSeverity": "Severity",
    "state": "State",
    "managedObjectId": "Managed Object",
    NAME: "Name",
    "faultType": "Fault Type",
    "alarmRaisedTime": "Raised",
    "ackState": "Acknowledgement",
}
LONG: Final = {
    **SHORT,
    **PROJECT,
    "alarmAcknowledgedTime": "Acknowledged",
    "alarmChangedTime": "Changed",
    "alarmClearedTime": "Cleared",
    "eventTime": "Event Time",
    "probableCause": "Probable Cause",
    "isRootCause": "Root Cause",
}
HISTORY: Final = ("Time", "Kind", "Severity", "Event Type", "Event", "By", "Reason")


class Lines(columns.FormattableColumn[list[str]]):
    """A list: one entry per line in tables, a list in machine-readable formats."""

    def human_readable(self) -> str:
        """Return one entry per line."""
        return "\n".join(self._value)


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add the filters of ``/ifa/v1/alarms``."""
    parser.add_argument(
        "--all-projects", action="store_true", help="include all projects (administrators only)"
    )
    parser.add_argument(
        "--severity",
        action="append",
        type=str.upper,
        choices=SEVERITIES,
        help="only this severity (repeat for more)",
    )
    parser.add_argument(
        "--min-severity",
        metavar="<severity>",
        help="only alarms with a strictly higher severity, such as MINOR",
    )
    parser.add_argument(
        "--fault-type",
        action="append",
        metavar="<pattern>",
        help="only this fault type, such as compute.* (repeat for more)",
    )
    parser.add_argument(
        "--managed-object", action="append", metavar="<id>", help="only this managed object (repeat for more)"
    )
    parser.add_argument(
        "--resource-type",
        action="append",
        type=str.upper,
        choices=KINDS,
        help="only this type of resource (repeat for more)",
    )


def add_times(parser: argparse.ArgumentParser) -> None:
    """Add the filters by time, which only make sense for a single request."""
    for name, what in (("raised", "raised"), ("event", "with an event")):
        parser.add_argument(
            f"--{name}-after", metavar="<time>", help=f"only alarms {what} at this time (ISO 8601) or later"
        )
        parser.add_argument(
            f"--{name}-before",
            metavar="<time>",
            help=f"only alarms {what} at this time (ISO 8601) or earlier",
        )


def filters(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the query of ``/ifa/v1/alarms`` for the parsed arguments."""
    names = ("state", "severity", "min_severity", "fault_type", "managed_object", "resource_type")
    times = ("raised_after", "raised_before", "event_after", "event_before", "order")
    found = {name: getattr(parsed, name, None) for name in (*names, *times)}
    if parsed.all_projects:
        found["all_projects"] = "true"
    return {name: value for name, value in found.items() if value}


def checked_limit(parsed: argparse.Namespace) -> int | None:
    """Return ``--limit``.

    :raises CommandError: unless it is positive.
    """
    limit: int | None = parsed.limit
    if limit is not None and limit < 1:
        raise exceptions.CommandError("--limit must be an integer ≥ 1")
    return limit


def shown(value: Any) -> Any:
    """Return a value of an alarm in the form for a column."""
    return Lines(value) if isinstance(value, list) else value


class ListAlarms(command.Lister):
    """List alarms, by default the active ones, the newest first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--state",
            action="append",
            type=str.upper,
            choices=STATES,
            help="only this state (repeat for more)",
        )
        add_filters(parser)
        add_times(parser)
        parser.add_argument(
            "--order", choices=("newest", "oldest"), help="order by raise time (default: newest first)"
        )
        parser.add_argument("--limit", type=int, metavar="<number>", help="maximum number of alarms")
        parser.add_argument(
            "--long", action="store_true", help="show every attribute except the fault details"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch the pages."""
        limit = checked_limit(parsed_args)
        asked = filters(parsed_args)
        if limit is not None:
            asked["limit"] = limit
        alarms = IfaClient.of(self.app).alarms(asked, limit)
        fields = LONG if parsed_args.long else SHORT | (PROJECT if parsed_args.all_projects else {})
        return tuple(fields.values()), [[_column(alarm, name) for name in fields] for alarm in alarms]


def _column(alarm: Document, name: str) -> Any:
    if name != NAME:
        return alarm.get(name, "")
    details = [text for text in alarm.get("faultDetails", ()) if text.startswith(ALARM_NAME)]
    return details[0].removeprefix(ALARM_NAME) if details else ""


class OfOneAlarm(command.Command):
    """A command about one alarm."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("alarm", metavar="<alarm>", help="ID of the alarm")
        return parser


class ShowAlarm(OfOneAlarm, command.ShowOne):
    """Show an alarm."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch the alarm."""
        alarm = IfaClient.of(self.app).alarm(parsed_args.alarm)
        return tuple(alarm), tuple(map(shown, alarm.values()))


class ShowHistory(OfOneAlarm, command.Lister):
    """List the transitions and acknowledgements of an alarm, the oldest first."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch all pages."""
        entries = IfaClient.of(self.app).history(parsed_args.alarm)
        return HISTORY, [_line(entry) for entry in entries]


def _line(entry: Document) -> tuple[Any, ...]:
    event = entry.get("event", {})
    return (
        entry["time"] + (" (estimated)" if entry.get("estimated") else ""),
        entry["kind"],
        entry.get("perceivedSeverity", ""),
        event.get("event_type", ""),
        event.get("message_id", ""),
        entry.get("userId", "") or ("(manual)" if entry.get("manual") else ""),
        _inhibited(entry) + entry["reason"],
    )


def _inhibited(entry: Document) -> str:
    session = entry.get("inhibitedBy")
    return f"(inhibited by {session}) " if session else ""


class AcknowledgeAlarm(command.Command):
    """Acknowledge alarms. An acknowledgement ends when the alarm is raised again."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("alarms", metavar="<alarm>", nargs="+", help="ID of an alarm")
        given = parser.add_mutually_exclusive_group()
        given.add_argument("--undo", action="store_true", help="remove the acknowledgement")
        given.add_argument("--comment", metavar="<text>", default="", help="why; the history shows it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Acknowledge the alarms one by one; report all failures at the end."""
        client = IfaClient.of(self.app)
        state = "UNACKNOWLEDGED" if parsed_args.undo else "ACKNOWLEDGED"
        failed = []
        for alarm_id in parsed_args.alarms:
            try:
                client.acknowledge(alarm_id, state, parsed_args.comment)
            except exceptions.CommandError as exc:
                failed.append(f"{json.dumps(alarm_id)}: {exc}")
        if failed:
            raise exceptions.CommandError("; ".join(failed))
