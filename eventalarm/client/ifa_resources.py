"""``openstack ifa resource`` and ``openstack ifa physical resource``: the states of resources and hosts."""

from __future__ import annotations

import argparse
from typing import Any, Final

from osc_lib.command import command

from eventalarm.client.ifa import add_filters, checked_limit, filters, shown
from eventalarm.client.ifa_api import IfaClient
from eventalarm.client.service import Document

STATES: Final = ("maintenance", "down", "error", "normal")
RESOURCE: Final = {
    "managedObjectId": "Managed Object",
    "state": "State",
    "perceivedSeverity": "Severity",
    "since": "Since",
    "faultyResourceType": "Type",
    "alarmIds": "Alarms",
}
HOST: Final = {
    "host": "Host",
    "state": "State",
    "servers": "Servers",
    "faults": "Faults",
    "seenTime": "Seen",
    "stale": "Stale",
}
PROJECTS: Final = {"projectIds": "Projects"}


def add_paging(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the filter by state and the limit of a list of *what*."""
    parser.add_argument("--state", action="append", choices=STATES, help="only this state (repeat for more)")
    parser.add_argument("--limit", type=int, metavar="<number>", help=f"maximum number of {what}")


class ListResources(command.Lister):
    """List the resources with active alarms and their states, the oldest alarm first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_paging(parser, "resources")
        add_filters(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch the pages."""
        limit = checked_limit(parsed_args)
        found = IfaClient.of(self.app).resources(filters(parsed_args), limit)
        columns = RESOURCE | (PROJECTS if parsed_args.all_projects else {})
        return tuple(columns.values()), [_row(one, columns) for one in found]


class ShowResource(command.ShowOne):
    """Show the state of a resource."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("resource", metavar="<resource>", help="ID of the resource, such as a server")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch the resource."""
        found = IfaClient.of(self.app).resource(parsed_args.resource)
        return tuple(found), tuple(map(shown, found.values()))


class ListPhysicalResources(command.Lister):
    """List the hosts of the cloud and their states (administrators only)."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_paging(parser, "hosts")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch the pages."""
        limit = checked_limit(parsed_args)
        states = {"state": parsed_args.state} if parsed_args.state else {}
        found = IfaClient.of(self.app).physical_resources(states, limit)
        named = [one | {"faults": [fault["name"] for fault in one["faults"]]} for one in found]
        return tuple(HOST.values()), [_row(one, HOST) for one in named]


class ShowPhysicalResource(command.ShowOne):
    """Show the state of a host, its faults and its maintenance (administrators only)."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="<host>", help="name of the host, as Nova has it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch the host."""
        found = IfaClient.of(self.app).physical_resource(parsed_args.host)
        return tuple(found), tuple(found.values())


def _row(found: Document, columns: dict[str, str]) -> list[Any]:
    return [shown(found.get(name, "")) for name in columns]
