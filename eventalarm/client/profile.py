"""``openstack eventalarm profile``."""

from __future__ import annotations

import argparse
from typing import Any, Final

from osc_lib import exceptions
from osc_lib.command import command

from eventalarm.client.maintenance import ENDPOINT
from eventalarm.client.service import Document, ServiceClient, add_project
from eventalarm.profile.picture import bar

PROFILES: Final = "/v1/profiles"
COLUMNS: Final = ("Component", "Checkpoint", "ms", "Percent", "From Fault to Consumer")


class ProfileClient(ServiceClient):
    """Requests to the ingest API; every method raises CommandError with the service's error message."""

    ENDPOINT = ENDPOINT

    def newest(self, filters: Document) -> Document | None:
        """Return the newest profile, or None."""
        found = self._listed(PROFILES, {**filters, "limit": 1}, 1)
        return found[0] if found else None


class ShowProfiles(command.Lister):
    """Show where the time of an alarm went, from the fault to the consumer, the most expensive first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_project(parser)
        parser.add_argument("alarm", metavar="<alarm>", help="ID of the alarm; its newest profile is shown")
        parser.add_argument("--delivery", metavar="<delivery>", default="", help="ID of one delivery")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch the profile."""
        filters = {
            "alarm_id": parsed_args.alarm,
            "delivery_id": parsed_args.delivery,
            "project_id": parsed_args.of_project,
        }
        asked = {name: value for name, value in filters.items() if value}
        found = ProfileClient.of(self.app).newest(asked)
        if found is None:
            raise exceptions.CommandError(
                "no profile of this alarm; an event with the trait profile=true is always profiled"
            )
        by_cost = sorted(found["stages"], key=lambda one: -one["seconds"])
        return COLUMNS, [_row(one, found["total_seconds"]) for one in by_cost]


def _row(stage: Document, total: float) -> tuple[Any, ...]:
    begin, end = stage["begin_seconds"], stage["begin_seconds"] + stage["seconds"]
    drawn = bar(max(begin, 0.0), max(end, begin, 0.0), max(total, end), fine=False)
    times = round(stage["seconds"] * 1000, 3), stage["percent"]
    return stage["component"], stage["checkpoint"], *times, drawn
