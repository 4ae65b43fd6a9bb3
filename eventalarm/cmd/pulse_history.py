"""``eventalarm-pulse history``: show changes of health."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Final

from eventalarm.cmd.command import Command
from eventalarm.model import format_time
from eventalarm.pulse import text
from eventalarm.storage.pulse import PulseStore

FOUND, NOTHING = 0, 1
MOST: Final = 10_000

DESCRIPTION = """\
Show when the health of targets changed, the newest change first. Changes are
kept for [eventalarm] history_time_to_live, as eventalarm-expirer runs.
"""

EPILOG = """\
examples:
  eventalarm-pulse history
  eventalarm-pulse history --check endpoint --last 10
  eventalarm-pulse history --target "glance (RegionOne)" --json

exit codes:
  0  at least one change is shown
  1  there is none
  2  failed: the reason is on stderr
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    parser.add_argument("--check", metavar="NAME", default="", help="only of this check")
    parser.add_argument("--target", metavar="TARGET", default="", help="only of this target")
    parser.add_argument("--last", metavar="N", type=_number, default=50, help="the last N (default: 50)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _number(word: str) -> int:
    number = int(word)
    if not 1 <= number <= MOST:
        raise argparse.ArgumentTypeError(f"must be 1 to {MOST}")
    return number


def main(command: Command, conf_arguments: Sequence[str], chosen: argparse.Namespace) -> int:
    """Run the subcommand; return its exit code."""
    conf = command.configure(conf_arguments)
    with command.errors(), command.database(conf) as database:
        found = PulseStore(database).history(chosen.check, chosen.target, chosen.last)
    if chosen.json:
        print(
            json.dumps(
                [{"at": format_time(one.at), **text.shown(one.check, one.finding)} for one in found], indent=1
            )
        )
    elif found:
        rows = [
            (
                f"{one.at:%Y-%m-%d %H:%M:%S}Z",
                one.finding.health.name,
                one.check,
                one.finding.target,
                one.finding.summary,
            )
            for one in found
        ]
        print(text.columns(("TIME", "HEALTH", "CHECK", "TARGET", "SUMMARY"), rows))
    else:
        command.say("no change is recorded; the service eventalarm-pulse records them")
    return FOUND if found else NOTHING
