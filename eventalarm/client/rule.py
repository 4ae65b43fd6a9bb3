"""``openstack eventalarm rule create|show|test``: notification alarms, and dry runs of any rule."""

from __future__ import annotations

import argparse
import datetime
import json
from typing import Any, NamedTuple

from osc_lib import exceptions
from osc_lib.command import command

from eventalarm.client import past_test
from eventalarm.client.alarms import SEVERITIES, add_actions, alarms, given_actions, load, load_rule, shown
from eventalarm.conf import LISTENER_OPTS
from eventalarm.evaluator import decide
from eventalarm.evaluator.event_rule import Verdict
from eventalarm.evaluator.explain import explain
from eventalarm.exceptions import EventAlarmError
from eventalarm.model import EPOCH, UTC, AlarmDefinition, Event, parse_time

EVENT_FORMS = (
    "an event as Ceilometer stores it, a list of them, lines of Ceilometer's publisher file://…?json, "
    "or the body of a webhook"
)


class NotAnEvent(ValueError):
    """The text contains no event in a known form; the message lists the forms."""


def read_events(text: str) -> list[dict[str, Any]]:
    """Return the events in *text*, in the form that Ceilometer stores, in order.

    :raises NotAnEvent: when *text* is not JSON, or contains anything but events.
    """
    documents = _documents(text)
    return [_event(one) for one in documents]


def _documents(text: str) -> list[Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            found = [json.loads(line) for line in lines]
        except (ValueError, RecursionError):
            raise NotAnEvent(f"not JSON: {exc}") from exc
        if not found:
            raise NotAnEvent("the file is empty") from exc
        return found
    return document if isinstance(document, list) else [document]


def _event(document: Any) -> dict[str, Any]:
    found = document
    if isinstance(found, dict) and "event_type" not in found:
        # A webhook carries its event in reason_data.
        reason_data = found.get("reason_data")
        found = reason_data.get("event") if isinstance(reason_data, dict) else None
    if not isinstance(found, dict) or "event_type" not in found:
        raise NotAnEvent(f"not an event; must be {EVENT_FORMS}")
    traits = found.get("traits")
    if not isinstance(traits, list):
        return found
    return {**found, "traits": [_trait(one) for one in traits]}


def _trait(trait: Any) -> Any:
    """Return a trait as ``[name, dtype, value]``, also for the object that a file publisher writes."""
    if isinstance(trait, dict) and {"name", "dtype", "value"} <= trait.keys():
        return [trait["name"], trait["dtype"], trait["value"]]
    return trait


DEFAULTS = {option.dest: option.default for option in LISTENER_OPTS}
TYPES = (decide.NOTIFICATION_TYPE, decide.EVENT_TYPE)
NEVER = EPOCH


class _Case(NamedTuple):
    definition: AlarmDefinition
    clears: bool


def _refuse_resource_id(document: Any, where: str) -> None:
    """Reject a ``resource_id`` where Aodh's API rejects it and the evaluation would ignore it."""
    if isinstance(document, dict) and "resource_id" in document:
        raise exceptions.CommandError(
            f"resource_id: not an attribute of {where}, and rejected by Aodh; add the condition "
            '{"field": "traits.resource_id", "value": "ID"} to query, or put resource_id into a '
            "notification_rule"
        )


class CreateRule(command.ShowOne):
    """Create an alarm with a notification rule (a JSON file)."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--name", required=True, help="name of the alarm")
        parser.add_argument(
            "--rule", required=True, metavar="<file>", help="notification rule as JSON; - for standard input"
        )
        parser.add_argument(
            "--severity",
            choices=SEVERITIES,
            default="low",
            help="severity of the alarm (default: %(default)s)",
        )
        parser.add_argument(
            "--repeat-actions", action="store_true", help="call the actions for every matching event"
        )
        add_actions(parser, removable=False)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Check the rule here, where errors are cheap, then create the alarm."""
        alarm = {
            "name": parsed_args.name,
            "type": decide.NOTIFICATION_TYPE,
            "severity": parsed_args.severity,
            "repeat_actions": parsed_args.repeat_actions,
            "notification_rule": load_rule(parsed_args.rule),
        } | given_actions(parsed_args)
        return shown(alarms(self.app).create(alarm))


class ShowRule(command.ShowOne):
    """Show an alarm with its complete rule."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("alarm", metavar="<alarm>", help="ID of the alarm")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch the alarm."""
        return shown(alarms(self.app).get(parsed_args.alarm))


def _read_rule(parsed_args: argparse.Namespace) -> tuple[str, Any]:
    """Return the type of the rule in a file, and the rule."""
    rule, kind = load(parsed_args.rule), parsed_args.type or decide.NOTIFICATION_TYPE
    # A complete alarm, as aodhclient prints or accepts it.
    for name in TYPES:
        if isinstance(rule, dict) and f"{name}_rule" in rule:
            _refuse_resource_id(rule, "an alarm")
            kind, rule = name, rule[f"{name}_rule"]
    if kind == decide.EVENT_TYPE:
        _refuse_resource_id(rule, "an event_rule")
    return kind, rule


class TestRule(command.Command):
    """Explain what an event would do to an alarm, condition by condition. Nothing is written.

    Exit code 0 when the event raises or clears the alarm, 1 when it does nothing. With --since the rule is
    tested over the recorded events of the project instead, and compared with what its alarm did.
    """

    # With --rule only two files are needed: no cloud, no credentials.
    auth_required = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--rule",
            metavar="<file>",
            help="notification rule, event rule or complete alarm as JSON; - for standard input",
        )
        parser.add_argument(
            "--alarm", metavar="<alarm>", help="ID of an alarm in the cloud, whose rule is tested"
        )
        parser.add_argument("--event", metavar="<file>", help=f"{EVENT_FORMS}; - for standard input")
        past_test.add_arguments(parser)
        parser.add_argument(
            "--type",
            choices=(decide.NOTIFICATION_TYPE, decide.EVENT_TYPE),
            help=f"type of the rule in the file (default: {decide.NOTIFICATION_TYPE})",
        )
        parser.add_argument("--now", metavar="<time>", help="evaluate as if at this time (ISO 8601)")
        parser.add_argument(
            "--resource-traits",
            metavar="<names>",
            default=",".join(DEFAULTS["resource_traits"]),
            help="the option resource_traits of the cloud, separated by commas (default: %(default)s)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Read the rule and the events, and print an explanation for each event."""
        if bool(parsed_args.event) == bool(parsed_args.since):
            raise exceptions.CommandError("give either --event or --since")
        if not parsed_args.rule and not parsed_args.alarm:
            raise exceptions.CommandError("give --rule or --alarm")
        if parsed_args.since:
            return self._test_past(parsed_args)
        if parsed_args.rule and parsed_args.alarm:
            raise exceptions.CommandError("give either --rule or --alarm; both are for --since")
        bodies = load(parsed_args.event, read_events)
        code = 1
        try:
            now = parse_time(parsed_args.now) if parsed_args.now else datetime.datetime.now(UTC)
            case = self._definition(parsed_args)
            for body in bodies:
                explanation = explain(
                    case.definition,
                    Event.parse(body),
                    now,
                    resource_traits=tuple(parsed_args.resource_traits.split(",")),
                    clears=case.clears,
                )
                self.app.stdout.write("\n".join(explanation.lines()) + "\n")
                code = 0 if explanation.verdict is not Verdict.NOTHING else code
        except (EventAlarmError, ValueError) as exc:
            raise exceptions.CommandError(str(exc)) from exc
        return code

    def _test_past(self, parsed_args: argparse.Namespace) -> int:
        tested: dict[str, Any] = {"alarm_id": parsed_args.alarm} if parsed_args.alarm else {}
        if parsed_args.rule:
            kind, rule = _read_rule(parsed_args)
            tested |= {"type": kind, "rule": rule}
        self._authenticate()
        self.app.stdout.write("\n".join(past_test.run(self.app, parsed_args, tested)) + "\n")
        return 0

    def _authenticate(self) -> None:
        """Set up authentication, which the shell skips for commands that work without a cloud."""
        options = self.app.options
        self.app.client_manager._cli_options = self.app.cloud_config.get_one(
            cloud=options.cloud, argparse=options, validate=True
        )

    def _definition(self, parsed_args: argparse.Namespace) -> _Case:
        if parsed_args.alarm:
            self._authenticate()
            alarm = alarms(self.app).get(parsed_args.alarm)
            kind, rule = alarm["type"], alarm.get(f"{alarm['type']}_rule")
            if kind not in TYPES:
                raise exceptions.CommandError(
                    f"alarm {parsed_args.alarm} is of type {kind}, which is not evaluated on events"
                )
            ok_actions = bool(alarm.get("ok_actions"))
        else:
            kind, rule = _read_rule(parsed_args)
            ok_actions = True
        body = rule if isinstance(rule, dict) else {}
        definition = AlarmDefinition(parsed_args.alarm or "", "", kind, NEVER, body, ok_actions)
        return _Case(definition, decide.clears(decide.WITH_OK_ACTIONS, definition))
