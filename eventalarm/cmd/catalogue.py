"""``eventalarm-catalogue``: list, show and check the faults that alarms are named by."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, Final

from cliff import command, lister, show

from eventalarm.catalogue import fault_files
from eventalarm.catalogue.dictionary import document_of, fault_types
from eventalarm.catalogue.entries import BadFile
from eventalarm.catalogue.faults import FanOut, Fault, FaultCatalogue
from eventalarm.cmd.cliff_app import CliffApp
from eventalarm.cmd.command import Command
from eventalarm.exceptions import EventAlarmError
from eventalarm.patterns import matches_glob

PROG: Final = "eventalarm-catalogue"
COLUMNS: Final = ("name", "fault_types", "severity", "kind", "probable_cause", "fan_out", "file")

DESCRIPTION = """\
The fault catalogue describes what an event means: the fault type, event type and
probable cause that consumers of the IFA API read, the resource, the severity, the
proposed action, and which events end the fault. Of the entries that fit an event
the one with the most specific pattern counts, then the one with the most traits.

To add a fault, or to replace one by its name, write a YAML file, name it in
[eventalarm] fault_catalogue, and restart the services:

  - name: rack-flood
    description: Water was detected in a rack.
    reported_by: [{event: rack.water, traits: {status: [failed, degraded]}}]
    cleared_by: [{event: rack.water, traits: {status: ok}}]
    event_type: ENVIRONMENTAL_ALARM
    probable_cause: floodDetected
    resource: {kind: COMPUTE, traits: [hostname]}
    severity: CRITICAL
    service_affecting: true
    repair_action: evacuate the servers of the rack
    detected_by: the water sensors of the rack

Optional are fault_type (by default the type of the event), cleared_by, fan_out
(none, host, hypervisor, switch: whose users are to be notified), reference, and
type in resource, such as OS::Nova::Server.
"""

EPILOG = """\
examples:
  eventalarm-catalogue list
  eventalarm-catalogue list --event service.update -f json
  eventalarm-catalogue list --fan-out host
  eventalarm-catalogue show host-down
  eventalarm-catalogue show service.update --trait binary=nova-compute --trait forced_down=True
  eventalarm-catalogue check /etc/eventalarm/faults.yaml

exit codes:
  0  done
  2  failed: the reason and the remedy are on stderr
"""

COMMAND: Final = Command(PROG, DESCRIPTION, EPILOG)


class Unknown(EventAlarmError):
    """No entry is named so, and none describes such an event."""


class _Catalogue:
    """Base of the commands: reads the catalogue that the configuration names."""

    app: Any

    def catalogue(self) -> FaultCatalogue:
        """Return the catalogue; an error in a file ends the command with code 2."""
        conf = self.app.configure()
        with COMMAND.errors():
            return fault_files.load([*conf.eventalarm.fault_catalogue, *self.app.options.faults])


class List(_Catalogue, lister.Lister):
    """List the faults: how alarms are named, and how severe they are."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filters."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--event", metavar="TYPE", help="only faults that events of this type report")
        parser.add_argument("--fan-out", choices=list(FanOut), help="only faults of this part")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Read the catalogue."""
        faults = self.catalogue().faults
        rows = [_row(fault) for fault in faults if _is_asked_for(fault, parsed_args)]
        return COLUMNS, [tuple(_shown(value, parsed_args) for value in row) for row in rows]


def _is_asked_for(fault: Fault, args: argparse.Namespace) -> bool:
    types = (one.event_type for one in fault.reported_by)
    reported = args.event is None or any(matches_glob(args.event, one) for one in types)
    return reported and args.fan_out in (None, fault.fan_out.value)


def _row(fault: Fault) -> tuple[Any, ...]:
    kind = fault.resource_kind.value if fault.resource_kind is not None else ""
    named = (fault.name, fault_types(fault), fault.severity, kind)
    return *named, fault.probable_cause, fault.fan_out.value, fault.file


class Show(_Catalogue, show.ShowOne):
    """Show a fault by its name, or the one that counts for an event."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what identifies the fault."""
        parser = super().get_parser(prog_name)
        parser.add_argument("name", help="the name of a fault, or the type of an event")
        parser.add_argument(
            "--trait",
            action="append",
            type=_trait,
            default=[],
            metavar="NAME=VALUE",
            help="a trait of the event; may be repeated",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """Find the fault."""
        catalogue, name = self.catalogue(), parsed_args.name
        fault = catalogue.get(name) or catalogue.find(name, dict(parsed_args.trait) or None)
        if fault is None:
            with COMMAND.errors():
                raise Unknown(
                    f"no fault is named {name}, and none is reported by such an event; see {PROG} list"
                )
        document = document_of(fault) | {"file": fault.file}
        return tuple(document), tuple(_shown(value, parsed_args) for value in document.values())


def _trait(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} must have the form NAME=VALUE")
    return name, value


def _shown(value: object, args: argparse.Namespace) -> object:
    """Return a value for output: programs get lists, people get lines."""
    if args.formatter in ("json", "yaml") or not isinstance(value, list):
        return value
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in value)


class Check(command.Command):
    """Check files of faults, and report the first error of each with its remedy."""

    app: Any

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the files."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("path", nargs="+", help="a file of faults in YAML")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Read each file."""
        shipped, failed = fault_files.load(), 0
        for path in parsed_args.path:
            try:
                found = fault_files.load([path])
            except BadFile as exc:
                COMMAND.say(str(exc))
                failed = 2
                continue
            theirs = [fault for fault in found.faults if shipped.get(fault.name) is not fault]
            replaced = sum(shipped.get(fault.name) is not None for fault in theirs)
            print(f"{path}: {len(theirs)} faults, {replaced} of which replace one of eventalarm")
        return failed


class CatalogueApp(CliffApp):
    """The command line."""

    def build_option_parser(self, *args: Any, **kwargs: Any) -> argparse.ArgumentParser:
        """Add the options that name the configuration and further files."""
        parser = super().build_option_parser(*args, **kwargs)
        parser.add_argument(
            "--faults",
            action="append",
            default=[],
            metavar="PATH",
            help="read this file of faults, too; may be repeated",
        )
        return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    return CatalogueApp(COMMAND, (List, Show, Check)).main(argv)


if __name__ == "__main__":
    sys.exit(main())
