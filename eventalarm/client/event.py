"""``openstack eventalarm event list|show|explain``: recorded events, and why they fired an alarm or not."""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

from osc_lib.command import command

from eventalarm.client.ifa import Lines, checked_limit
from eventalarm.client.maintenance import ENDPOINT
from eventalarm.client.service import Document, ServiceClient, add_project, in_project, quoted

EVENTS: Final = "/v1/events"
DEFAULT_LIMIT: Final = 100
SHORT: Final = {
    "event_id": "Event",
    "recorded_at": "Recorded At",
    "event_type": "Type",
    "managed_object": "Object",
    "led_to": "Led To",
}
PROJECT: Final = {"project_id": "Project"}


class EventClient(ServiceClient):
    """Requests to the ingest API; every method raises CommandError with the service's error message."""

    ENDPOINT = ENDPOINT

    def events(self, filters: Document, limit: int) -> list[Document]:
        """Return up to *limit* recorded events, the newest first."""
        return self._listed(EVENTS, filters, limit)

    def event(self, event_id: str, project_id: str) -> Document:
        """Return a recorded event with what it did to alarms."""
        found: Document = self._get(in_project(f"{EVENTS}/{quoted(event_id)}", project_id)).json()
        return found

    def explain(self, event_id: str, alarm_id: str, project_id: str) -> Document:
        """Return what a recorded event did to an alarm, and why."""
        params = {"alarm_id": alarm_id} | ({"project_id": project_id} if project_id else {})
        found: Document = self._get(f"{EVENTS}/{quoted(event_id)}/explain", params=params).json()
        return found


class ListEvents(command.Lister):
    """List the recorded events of the project, the newest first, and what they led to."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_project(parser)
        parser.add_argument("--type", metavar="<event-type>", default="", help="only events of this type")
        parser.add_argument("--object", metavar="<id>", default="", help="only events about this resource")
        parser.add_argument(
            "--since",
            metavar="<time>",
            default="",
            help="evaluated then or later, such as 2026-11-20T23:01:36Z",
        )
        parser.add_argument("--until", metavar="<time>", default="", help="evaluated then or earlier")
        parser.add_argument(
            "--limit",
            type=int,
            metavar="<number>",
            help=f"maximum number of events (default: {DEFAULT_LIMIT})",
        )
        parser.add_argument(
            "--all-projects", action="store_true", help="include all projects (administrators only)"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch pages until there are enough."""
        limit = checked_limit(parsed_args) or DEFAULT_LIMIT
        filters = {
            "event_type": parsed_args.type,
            "managed_object": parsed_args.object,
            "since": parsed_args.since,
            "until": parsed_args.until,
            "project_id": parsed_args.of_project,
            "all_projects": "true" if parsed_args.all_projects else "",
        }
        asked = {name: value for name, value in filters.items() if value} | {"limit": min(limit, 1000)}
        found = EventClient.of(self.app).events(asked, limit)
        fields = SHORT | (PROJECT if parsed_args.all_projects else {})
        return tuple(fields.values()), [[_column(one[name]) for name in fields] for one in found]


class OfOneEvent(command.Command):
    """A command about one recorded event."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_project(parser)
        parser.add_argument("event", metavar="<event>", help="ID of the recorded event, or its message ID")
        return parser


class ShowEvent(OfOneEvent, command.ShowOne):
    """Show a recorded event: its traits, the changes of alarms, and why other alarms did not change."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch the event."""
        found = EventClient.of(self.app).event(parsed_args.event, parsed_args.of_project)
        found["event"] = json.dumps(found["event"], indent=2, sort_keys=True)
        found["transitions"] = Lines([_transition(one) for one in found["transitions"]])
        found["decisions"] = Lines([_decision(one) for one in found["decisions"]])
        return tuple(found), tuple(map(_column, found.values()))


class ExplainEvent(OfOneEvent, command.ShowOne):
    """Explain what a recorded event did to an alarm, condition by condition, and why nothing was sent."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--alarm", metavar="<alarm-id>", required=True, help="ID of the alarm")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch the explanation."""
        found = EventClient.of(self.app).explain(parsed_args.event, parsed_args.alarm, parsed_args.of_project)
        rows = {
            "event_id": found["event_id"],
            "alarm": found["alarm"]["name"],
            "decided": ", ".join(
                [one["kind"] for one in found["transitions"]] + [one["reason"] for one in found["decisions"]]
            ),
            "present_rule": found["rule"]["verdict"] if found["rule"] else "invalid",
            "text": Lines(found["text"]),
        }
        return tuple(rows), tuple(rows.values())


def _column(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {number}" for name, number in value.items())
    return "" if value is None else value


def _transition(one: Document) -> str:
    change = f"{one['kind']}, {one['previous']} to {one['current']}"
    return f"{one['alarm_id']} ({one['alarm_name'] or ''}): {change}"


def _decision(one: Document) -> str:
    return f"{one['alarm_id']} ({one.get('alarm_name') or ''}): {one['text']}"
