"""``eventalarm-pulse``: check the health of the cloud, by a service or once, and show what was found."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final, Protocol

from eventalarm.cmd.command import Command, add_config_arguments, config_arguments

DESCRIPTION = """\
Check the services of a cloud and what they stand on. Each check is a plugin;
what it finds failed becomes an event, so that an alarm can be raised for it,
and the event of its recovery clears the alarm.

Without a subcommand, run the configured checks at their intervals until a
signal stops it. Any number of hosts may run it: one of them checks.
"""

EPILOG = """\
examples:
  eventalarm-pulse                              the service
  eventalarm-pulse run                          all configured checks, once
  eventalarm-pulse run endpoint --json          one check
  OS_CLOUD=mine eventalarm-pulse run endpoint   as a tenant
  eventalarm-pulse list                         which checks there are
  eventalarm-pulse history --check endpoint     what changed
  eventalarm-pulse snapshot before.json         before an upgrade
  eventalarm-pulse compare before.json          after it

eventalarm-pulse SUBCOMMAND --help explains a subcommand.

signals of the service:
  SIGTERM, SIGINT  exit; checks on their way are given up
  SIGUSR2          write a report of the threads and of the configuration to
                   stderr

exit codes:
  0  stopped by a signal; those of subcommands are in their --help
  2  could not start: the reason is on stderr
"""

COMMAND: Final = Command("eventalarm-pulse", DESCRIPTION, EPILOG)
# Each is a module eventalarm.cmd.pulse_NAME, imported if it is used.
SUBCOMMANDS: Final = {
    "run": "run checks once and print what they find",
    "list": "list the checks that are installed",
    "history": "show changes of health",
    "snapshot": "list the resources of a cloud before an upgrade",
    "compare": "find what is missing or stopped since a snapshot",
}
SERVICE: Final = "service"


class Subcommand(Protocol):
    """What the module of a subcommand has.

    DESCRIPTION and EPILOG are printed by ``--help``; ``main`` returns the exit code.
    """

    DESCRIPTION: str
    EPILOG: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments of the subcommand."""

    def main(self, command: Command, conf_arguments: Sequence[str], chosen: argparse.Namespace) -> int:
        """Run with the arguments for oslo.config and the parsed ones; return the exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help texts."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = next((word for word in arguments if word in SUBCOMMANDS), "")
    reader = COMMAND.parser()
    add_config_arguments(reader)
    COMMAND.add_version(reader)
    found = reader.add_subparsers(title="subcommands", dest="subcommand", metavar="SUBCOMMAND")
    for one, text in SUBCOMMANDS.items():
        sub = found.add_parser(one, help=text, formatter_class=argparse.RawDescriptionHelpFormatter)
        if one == name:
            add_config_arguments(sub, again=True)
            _fill(sub, _module(one))
    chosen = reader.parse_args(arguments)
    return _module(chosen.subcommand or SERVICE).main(COMMAND, config_arguments(chosen), chosen)


def _fill(parser: argparse.ArgumentParser, module: Subcommand) -> None:
    parser.description, parser.epilog = module.DESCRIPTION, module.EPILOG
    module.add_arguments(parser)


def _module(name: str) -> Subcommand:
    module: Subcommand = importlib.import_module(f"eventalarm.cmd.pulse_{name}")
    return module


if __name__ == "__main__":
    sys.exit(main())
