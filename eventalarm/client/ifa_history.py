"""``openstack ifa history list``: what happened to all alarms, since a time or since the last call."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any, Final

from osc_lib import exceptions
from osc_lib.command import command

from eventalarm.client.ifa import add_filters, filters
from eventalarm.client.ifa_api import IfaClient
from eventalarm.client.service import Document

KINDS: Final = ("raised", "repeated", "cleared")
COLUMNS: Final = {
    "time": "Time",
    "kind": "Kind",
    "alarmId": "Alarm",
    "managedObjectId": "Managed Object",
    "perceivedSeverity": "Severity",
    "faultType": "Fault Type",
    "reason": "Reason",
}
PROJECT: Final = {"projectId": "Project"}


class ListHistory(command.Lister):
    """List the recorded transitions of all alarms, in the order in which they were recorded.

    With --marker-file each call lists what was recorded since the last one whose output was complete.
    """

    _marker = ""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--since",
            metavar="<time>",
            help="begin at this time (ISO 8601); default: the oldest entry",
        )
        parser.add_argument(
            "--marker-file",
            metavar="<file>",
            type=pathlib.Path,
            help="continue where the call ended that wrote this file; afterwards the file has the new place",
        )
        parser.add_argument(
            "--kind", action="append", choices=KINDS, help="only entries of this kind (repeat for more)"
        )
        add_filters(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch the pages."""
        asked = filters(parsed_args)
        for name in ("since", "kind"):
            if value := getattr(parsed_args, name):
                asked[name] = value
        kept = parsed_args.marker_file
        try:
            marker = kept.read_text().strip() if kept is not None and kept.exists() else None
        except OSError as exc:
            raise exceptions.CommandError(f"--marker-file: {exc}") from exc
        entries, self._marker = IfaClient.of(self.app).transitions(asked, marker or None)
        columns = COLUMNS | (PROJECT if parsed_args.all_projects else {})
        return tuple(columns.values()), [_line(entry, columns) for entry in entries]

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the entries, and write the marker once they are printed: a call that fails skips none."""
        code: int = super().run(parsed_args)
        self.app.stdout.flush()
        if parsed_args.marker_file is not None:
            try:
                parsed_args.marker_file.write_text(f"{self._marker}\n")
            except OSError as exc:
                raise exceptions.CommandError(f"--marker-file: {exc}") from exc
        return code


def _line(entry: Document, columns: dict[str, str]) -> list[Any]:
    return [entry.get(name, "") for name in columns]
