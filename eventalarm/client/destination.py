"""``openstack eventalarm destination list|enable``."""

from __future__ import annotations

import argparse
from typing import Any, Final

from osc_lib.command import command

from eventalarm.client.delivery import column
from eventalarm.client.maintenance import ENDPOINT
from eventalarm.client.service import Document, ServiceClient, add_project, in_project

DESTINATIONS: Final = "/v1/destinations"
FIGURES: Final = {
    "destination": "Destination",
    "circuit": "Circuit",
    "success_rate": "Success Rate",
    "latency_p50": "p50 (s)",
    "latency_p99": "p99 (s)",
    "owed": "Owed",
    "last_success_at": "Last Success",
    "last_failure_at": "Last Failure",
    "failing_since": "Failing Since",
    "next_probe_at": "Next Probe",
    "error": "Error",
}


class DestinationClient(ServiceClient):
    """Requests to the ingest API; every method raises CommandError with the service's error message."""

    ENDPOINT = ENDPOINT

    def destinations(self, project_id: str) -> list[Document]:
        """Return the destinations of a project."""
        found: list[Document] = self._get(in_project(DESTINATIONS, project_id)).json()
        return found

    def enable(self, destination: str, project_id: str) -> Document:
        """Close the circuit of a destination and return it."""
        path = in_project(f"{DESTINATIONS}/enable", project_id)
        found: Document = self._request("POST", path, json={"destination": destination}).json()
        return found


class ListDestinations(command.Lister):
    """List the destinations of the project: circuits, success rates, latencies, and what is owed."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_project(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch the destinations."""
        found = DestinationClient.of(self.app).destinations(parsed_args.of_project)
        return tuple(FIGURES.values()), [[column(one[name]) for name in FIGURES] for one in found]


class EnableDestination(command.ShowOne):
    """Close the circuit of a destination: a disabled one is sent deliveries again, and what waits is sent."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_project(parser)
        parser.add_argument("destination", metavar="<url>", help="the destination as it is listed")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Enable the destination."""
        found = DestinationClient.of(self.app).enable(parsed_args.destination, parsed_args.of_project)
        return tuple(found), tuple(map(column, found.values()))
