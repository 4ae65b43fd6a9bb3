"""``openstack eventalarm delivery list|show|retry|replay``."""

from __future__ import annotations

import argparse
import uuid
from typing import Any, Final

from osc_lib import exceptions
from osc_lib.command import command

from eventalarm.client.ifa import Lines, checked_limit
from eventalarm.client.maintenance import ENDPOINT
from eventalarm.client.service import Document, ServiceClient, add_project, in_project, quoted

DELIVERIES: Final = "/v1/deliveries"
DEFAULT_LIMIT: Final = 100
STATES: Final = ("pending", "leased", "deferred", "delivered", "failed", "superseded")
FINISHED: Final = ("delivered", "failed", "superseded")
SHORT: Final = {
    "delivery_id": "Delivery",
    "created_at": "Created At",
    "alarm_name": "Alarm",
    "managed_object": "Object",
    "destination": "Destination",
    "state": "State",
    "attempts": "Attempts",
    "error": "Error",
}
PROJECT: Final = {"project_id": "Project"}


class DeliveryClient(ServiceClient):
    """Requests to the ingest API; every method raises CommandError with the service's error message."""

    ENDPOINT = ENDPOINT

    def deliveries(self, filters: Document, limit: int) -> list[Document]:
        """Return up to *limit* deliveries, the newest first."""
        return self._listed(DELIVERIES, filters, limit)

    def delivery(self, delivery_id: str, project_id: str) -> Document:
        """Return a delivery with its attempts."""
        found: Document = self._get(in_project(f"{DELIVERIES}/{quoted(delivery_id)}", project_id)).json()
        return found

    def retry(self, delivery_id: str, project_id: str) -> Document:
        """Make a failed delivery due again, and return it."""
        path = in_project(f"{DELIVERIES}/{quoted(delivery_id)}/retry", project_id)
        found: Document = self._request("POST", path).json()
        return found

    def replay(self, body: Document, project_id: str) -> Document:
        """Send the deliveries of a time again; repeating it with the same ``replay_id`` adds nothing."""
        path = in_project(f"{DELIVERIES}/replay", project_id)
        found: Document = self._request("POST", path, json=body).json()
        return found


def _add_filters(parser: argparse.ArgumentParser, *, since_required: bool) -> None:
    parser.add_argument("--alarm", metavar="<alarm-id>", default="", help="only deliveries of this alarm")
    parser.add_argument(
        "--destination",
        metavar="<url>",
        default="",
        help="only deliveries to the scheme, host and port of this URL",
    )
    parser.add_argument(
        "--since",
        metavar="<time>",
        default="",
        required=since_required,
        help="created then or later, such as 2026-11-20T23:01:36Z",
    )
    parser.add_argument("--until", metavar="<time>", default="", help="created then or earlier")


def _filters(args: argparse.Namespace) -> Document:
    given = (("alarm_id", args.alarm), ("destination", args.destination))
    return {name: value for name, value in (*given, ("since", args.since), ("until", args.until)) if value}


class ListDeliveries(command.Lister):
    """List the deliveries of the project, the newest first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_project(parser)
        _add_filters(parser, since_required=False)
        parser.add_argument(
            "--state", action="append", choices=STATES, help="only deliveries in this state (repeat for more)"
        )
        parser.add_argument("--replay", metavar="<id>", default="", help="only deliveries of this replay")
        parser.add_argument(
            "--limit",
            type=int,
            metavar="<number>",
            help=f"maximum number of deliveries (default: {DEFAULT_LIMIT})",
        )
        parser.add_argument(
            "--all-projects", action="store_true", help="include all projects (administrators only)"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch pages until there are enough."""
        limit = checked_limit(parsed_args) or DEFAULT_LIMIT
        filters = _filters(parsed_args) | {
            "state": ",".join(parsed_args.state or ()),
            "replay_id": parsed_args.replay,
            "project_id": parsed_args.of_project,
            "all_projects": "true" if parsed_args.all_projects else "",
        }
        asked = {name: value for name, value in filters.items() if value} | {"limit": min(limit, 1000)}
        found = DeliveryClient.of(self.app).deliveries(asked, limit)
        fields = SHORT | (PROJECT if parsed_args.all_projects else {})
        return tuple(fields.values()), [[column(one[name]) for name in fields] for one in found]


class OfOneDelivery(command.Command):
    """A command about one delivery."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_project(parser)
        parser.add_argument("delivery", metavar="<delivery>", help="ID of the delivery")
        return parser


class ShowDelivery(OfOneDelivery, command.ShowOne):
    """Show a delivery with its attempts: when, how long, and why they failed."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch the delivery."""
        found = DeliveryClient.of(self.app).delivery(parsed_args.delivery, parsed_args.of_project)
        found["attempt_details"] = Lines([_attempt(one) for one in found["attempt_details"]])
        return tuple(found), tuple(map(column, found.values()))


class RetryDelivery(OfOneDelivery, command.ShowOne):
    """Make a failed delivery due again, under its id."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Retry the delivery."""
        found = DeliveryClient.of(self.app).retry(parsed_args.delivery, parsed_args.of_project)
        return tuple(found), tuple(map(column, found.values()))


class ReplayDeliveries(command.ShowOne):
    """Send the finished deliveries of an alarm or to a destination again, in their order."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_project(parser)
        _add_filters(parser, since_required=True)
        parser.add_argument(
            "--state",
            choices=FINISHED,
            default="",
            help="only deliveries in this state; all three by default",
        )
        parser.add_argument(
            "--replay",
            metavar="<id>",
            default="",
            help="UUID of the replay; to repeat a request that was not answered, give that of the first one",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Replay the deliveries."""
        if not (parsed_args.alarm or parsed_args.destination):
            raise exceptions.CommandError("give --alarm or --destination")
        body = _filters(parsed_args) | {"replay_id": parsed_args.replay or str(uuid.uuid4())}
        if parsed_args.state:
            body["state"] = parsed_args.state
        found = DeliveryClient.of(self.app).replay(body, parsed_args.of_project)
        return tuple(found), tuple(found.values())


def column(value: Any) -> Any:
    """Return a value as the column of a table shows it."""
    return "" if value is None else round(value, 3) if isinstance(value, float) else value


def _attempt(one: Document) -> str:
    result = one["error"] or (f"HTTP {one['status']}" if one["status"] else "accepted")
    return f"{one['number']}. {one['ended_at']}: {result} after {one['latency']:.3f} s"
