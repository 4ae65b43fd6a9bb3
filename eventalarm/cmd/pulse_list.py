"""``eventalarm-pulse list``: list the checks that are installed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from eventalarm.cmd.command import Command
from eventalarm.conf import PULSE_GROUP
from eventalarm.pulse import installed, text

DESCRIPTION = """\
List the checks that are installed: the interval in seconds at which the service
runs each, "-" if it does not run it, and whether tenants may run it.
"""

EPILOG = """\
examples:
  eventalarm-pulse list
  eventalarm-pulse list --json

exit codes:
  0  listed
  2  failed: the reason is on stderr
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(command: Command, conf_arguments: Sequence[str], chosen: argparse.Namespace) -> int:
    """Run the subcommand; return its exit code."""
    group = command.configure(conf_arguments)[PULSE_GROUP]

    def interval(name: str) -> str:
        return f"{float(group.intervals.get(name, group.interval)):g}" if name in group.checks else "-"

    found = installed.installed()
    if chosen.json:
        rows = [
            {
                "name": one.name,
                "runs": one.name in group.checks,
                "interval": interval(one.name),
                "for_tenants": one.for_tenants,
                "description": one.description,
                "problem": one.problem,
            }
            for one in found
        ]
        print(json.dumps(rows, indent=1))
    else:
        rows_ = [
            (one.name, interval(one.name), "yes" if one.for_tenants else "no", one.problem or one.description)
            for one in found
        ]
        print(text.columns(("CHECK", "INTERVAL", "TENANTS", "DESCRIPTION"), rows_))
    return 0
