"""``eventalarm-pulse run``: run checks once and print what they find."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence

from eventalarm.cmd.command import Command
from eventalarm.cmd.pulse_service import operator_context
from eventalarm.conf import PULSE_GROUP
from eventalarm.pulse import connection, installed, text
from eventalarm.pulse.runner import Runner, run_all

DESCRIPTION = """\
Run checks once and print what they find. Nothing is written to the database,
and no event is published. With the variables OS_... of a tenant, such as those
of an application credential, or OS_CLOUD, it checks what the tenant may see.
"""

EPILOG = """\
examples:
  eventalarm-pulse run
  eventalarm-pulse run endpoint nova_services --json
  eventalarm-pulse run rabbitmq --nagios

exit codes, those of Nagios plugins:
  0  all is well
  1  warnings
  2  something failed, or the command could not start
  3  something could not be judged, and nothing failed
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    parser.add_argument("checks", nargs="*", metavar="CHECK", help="these instead of the configured ones")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument(
        "--nagios", action="store_true", help="print one line with performance data, as Nagios plugins do"
    )
    parser.add_argument("--no-color", action="store_true", help="no colours (also by NO_COLOR)")


def main(command: Command, conf_arguments: Sequence[str], chosen: argparse.Namespace) -> int:
    """Run the subcommand; return its exit code."""
    conf = command.configure(conf_arguments)
    group = conf[PULSE_GROUP]
    with command.errors():
        context = operator_context(conf)
        project = connection.tenant_project(conf, context.connect)
        checks = installed.make(
            chosen.checks or group.checks, dataclasses.replace(context, project_id=project)
        )
        runner = Runner(group.workers, group.timeout)
        found = run_all(runner, checks.items(), waiting=command.progress().tick)
    findings = [(name, finding) for name, one in found.items() for finding in one.findings]
    if chosen.json:
        print(text.as_json(findings))
    elif chosen.nagios:
        print(text.as_nagios(findings))
    else:
        colour = sys.stdout.isatty() and not chosen.no_color and not os.environ.get("NO_COLOR")
        print(text.as_table(findings, colour=colour))
    return text.worst_of(findings).value
