"""``openstack eventalarm rule list|update|delete``: the notification alarms of a project."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, Final

from osc_lib import exceptions
from osc_lib.command import command

from eventalarm.client.alarms import SEVERITIES, add_actions, alarms, given_actions, load_rule, shown
from eventalarm.client.ifa import checked_limit
from eventalarm.evaluator.decide import NOTIFICATION_TYPE

PAGE: Final = 100
COLUMNS: Final = {
    "alarm_id": "ID",
    "name": "Name",
    "state": "State",
    "severity": "Severity",
    "enabled": "Enabled",
}
PROJECT: Final = {"project_id": "Project"}


def _pages(manager: Any, filters: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the alarms that *filters* select, a page at a time."""
    marker = None
    while True:
        page = manager.list(filters=filters, limit=PAGE, marker=marker, sorts=["name:asc", "alarm_id:asc"])
        yield from page
        if len(page) < PAGE:
            return
        marker = page[-1]["alarm_id"]


class ListRules(command.Lister):
    """List the alarms that have a notification rule, by name."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--name", metavar="<name>", help="only alarms of this name")
        parser.add_argument(
            "--state", choices=("ok", "alarm", "insufficient data"), help="only alarms in this state"
        )
        parser.add_argument("--severity", choices=SEVERITIES, help="only alarms of this severity")
        parser.add_argument("--limit", type=int, metavar="<number>", help="maximum number of alarms")
        parser.add_argument(
            "--all-projects", action="store_true", help="include all projects (administrators only)"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch pages until there are enough."""
        limit = checked_limit(parsed_args)
        given = ((name, getattr(parsed_args, name)) for name in ("name", "state", "severity"))
        filters = {"type": NOTIFICATION_TYPE} | {name: value for name, value in given if value}
        if parsed_args.all_projects:
            filters["all_projects"] = "true"
        fields = COLUMNS | (PROJECT if parsed_args.all_projects else {})
        found = _pages(alarms(self.app), filters)
        rows = [one for one, _ in zip(found, range(limit), strict=False)] if limit else list(found)
        return tuple(fields.values()), [tuple(one.get(name) for name in fields) for one in rows]


class UpdateRule(command.ShowOne):
    """Change an alarm with a notification rule; what is not given stays as it is."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("alarm", metavar="<alarm>", help="ID of the alarm")
        parser.add_argument("--name", help="new name of the alarm")
        parser.add_argument("--rule", metavar="<file>", help="new rule as JSON; - for standard input")
        parser.add_argument("--severity", choices=SEVERITIES, help="new severity of the alarm")
        parser.add_argument(
            "--repeat-actions",
            action=argparse.BooleanOptionalAction,
            help="call the actions for every matching event, or only when the state changes",
        )
        enabled = parser.add_mutually_exclusive_group()
        enabled.add_argument(
            "--enable", dest="enabled", action="store_true", default=None, help="evaluate it"
        )
        enabled.add_argument(
            "--disable", dest="enabled", action="store_false", default=None, help="do not evaluate it"
        )
        add_actions(parser, removable=True)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Check the rule here, where errors are cheap, then change the alarm.

        :raises CommandError: nothing to change, an invalid rule, or an alarm without a notification rule.
        """
        given = {
            name: getattr(parsed_args, name) for name in ("name", "severity", "repeat_actions", "enabled")
        }
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        changes |= given_actions(parsed_args)
        if parsed_args.rule:
            changes["notification_rule"] = load_rule(parsed_args.rule)
        if not changes:
            raise exceptions.CommandError("nothing to change: give at least one option")
        manager = alarms(self.app)
        kind = manager.get(parsed_args.alarm)["type"]
        if kind != NOTIFICATION_TYPE:
            raise exceptions.CommandError(
                f"alarm {parsed_args.alarm} is of type {kind} and has no notification rule; "
                "change it with: openstack alarm update"
            )
        return shown(manager.update(parsed_args.alarm, changes))


class DeleteRule(command.Command):
    """Delete alarms."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("alarms", metavar="<alarm>", nargs="+", help="ID of an alarm (repeat for more)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete each alarm, also after one could not be deleted.

        :raises CommandError: with the reason of each that could not be deleted.
        """
        # aodhclient's errors are imported here, since only commands that talk to the cloud need it.
        from aodhclient import exceptions as aodh_exceptions  # noqa: PLC0415

        manager, failed = alarms(self.app), []
        for alarm in parsed_args.alarms:
            try:
                manager.delete(alarm)
            except aodh_exceptions.ClientException as exc:
                failed.append(f"{alarm}: {exc}")
        if failed:
            raise exceptions.CommandError(
                f"{len(failed)} of {len(parsed_args.alarms)} alarms were not deleted: {'; '.join(failed)}"
            )
