"""``openstack eventalarm maintenance list|show|ack``: sessions of planned maintenance and their answers."""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

from osc_lib import exceptions
from osc_lib.command import command

from eventalarm.client.ifa import Lines
from eventalarm.client.service import Document, Endpoint, ServiceClient, add_project, in_project, quoted
from eventalarm.model.maintenance import ACKNOWLEDGE

ENDPOINT: Final = Endpoint(
    "eventalarm-ingest-api", "alarm-event", "ingest-endpoint", "OS_EVENTALARM_INGEST_ENDPOINT"
)
SESSIONS: Final = "/v1/maintenance"
SHORT: Final = {
    "session_id": "Session",
    "state": "State",
    "reply_at": "Answer Due",
    "answered": "Answered",
    "actions_at": "Actions At",
    "instances": "Servers",
}
PROJECT: Final = {"project_id": "Project"}


class MaintenanceClient(ServiceClient):
    """Requests to the ingest API; every method raises CommandError with the service's error message."""

    ENDPOINT = ENDPOINT

    def sessions(self, all_projects: bool) -> list[Document]:
        """Return the sessions of the project, or of all projects."""
        asked = {"all_projects": "true"} if all_projects else {}
        return self._listed(SESSIONS, asked)

    def session(self, session_id: str, project_id: str) -> Document:
        """Return a session as a project sees it; without a project, the caller's."""
        found: Document = self._get(in_project(f"{SESSIONS}/{quoted(session_id)}", project_id)).json()
        return found

    def answer(self, session_id: str, project_id: str, body: Document) -> Document:
        """Answer the present state of a session, and return the session."""
        path = in_project(f"{SESSIONS}/{quoted(session_id)}/answer", project_id)
        found: Document = self._request("PUT", path, json=body).json()
        return found


class ListSessions(command.Lister):
    """List the maintenance sessions that affect the project."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--all-projects", action="store_true", help="include all projects (administrators only)"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch all pages."""
        found = MaintenanceClient.of(self.app).sessions(parsed_args.all_projects)
        fields = SHORT | (PROJECT if parsed_args.all_projects else {})
        return tuple(fields.values()), [[_column(one, name) for name in fields] for one in found]


def _column(session: Document, name: str) -> Any:
    value = session[name]
    return len(value) if name == "instances" else "" if value is None else value


class OfOneSession(command.Command):
    """A command about one session."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("session", metavar="<session>", help="ID of the session")
        add_project(parser)
        return parser


class ShowSession(OfOneSession, command.ShowOne):
    """Show a maintenance session: its state, the servers that it affects, and the answers."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch the session."""
        client = MaintenanceClient.of(self.app)
        return _shown(client.session(parsed_args.session, parsed_args.of_project))


class AnswerSession(OfOneSession, command.ShowOne):
    """Answer the present state of a maintenance session: the admin tool goes on, or not."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--state",
            required=True,
            metavar="<answer>",
            type=str.upper,
            help="ACK_STATE or NACK_STATE, where STATE is the state of the session",
        )
        parser.add_argument(
            "--action",
            metavar="<action>",
            help="what the tool is to do with every server: one of allowed_actions, such as MIGRATE",
        )
        parser.add_argument(
            "--instance-action",
            action="append",
            default=[],
            metavar="<server>=<action>",
            help="what the tool is to do with one server (repeat for more)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Send the answer."""
        client = MaintenanceClient.of(self.app)
        session_id, project_id = parsed_args.session, parsed_args.of_project
        actions: dict[str, str] = {}
        if parsed_args.action:
            planned = client.session(session_id, project_id)["instances"]
            actions = {
                one["instance_id"]: parsed_args.action for one in planned if one["status"] == "planned"
            }
        actions |= _instance_actions(parsed_args.instance_action)
        body: Document = {"state": parsed_args.state}
        if actions and parsed_args.state.startswith(ACKNOWLEDGE):
            body["instance_actions"] = actions
        return _shown(client.answer(session_id, project_id, body))


def _instance_actions(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        server, equals, action = text.partition("=")
        if not (server and equals and action):
            raise exceptions.CommandError(f"--instance-action: write SERVER=ACTION instead of {text!r}")
        found[server] = action
    return found


def _shown(session: Document) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    lists = {"instances": _instance, "answers": _answer}
    values = (
        Lines([lists.get(name, str)(one) for one in value]) if isinstance(value, list) else value
        for name, value in session.items()
    )
    return tuple(session), tuple(values)


def _instance(one: Document) -> str:
    when = f", expected at {one['anticipated_time']}" if one["anticipated_time"] else ""
    return f"{one['instance_id']}: {one['status']} ({one['state']}{when})"


def _answer(one: Document) -> str:
    return f"{one['at']}: {one['state']} by user {one['user_id'] or json.dumps('')}"
