"""``eventalarm-definitions``: merge eventalarm's event definitions into Ceilometer's."""

from __future__ import annotations

import argparse
import difflib
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from eventalarm.cmd.command import Command
from eventalarm.exceptions import EventAlarmError

if TYPE_CHECKING:
    from eventalarm.catalogue.install import Plan

PROG: Final = "eventalarm-definitions"
SAME, DIFFERS, CANNOT = 0, 1, 2
PLACE: Final = "/etc/ceilometer/event_definitions.yaml"

DESCRIPTION = """\
Merge eventalarm's event definitions into the file that Ceilometer reads, and
have Ceilometer's own loader verify the result before it is written.

Run it on each host of ceilometer-agent-notification, after the installation
and after every upgrade of eventalarm or Ceilometer, and restart the agent.
A new file starts with the definitions that Ceilometer ships. Existing
definitions are kept; those that match fewer events than eventalarm's take
precedence over them.

  install   write the file; the previous one is kept, with its comments, as
            .orig
  check     report whether install would change the file, and which of
            eventalarm's definitions are missing
  diff      show what install would change
"""

EPILOG = """\
examples:
  eventalarm-definitions diff
  eventalarm-definitions install
  eventalarm-definitions install --only 10-nova --only 20-neutron
  eventalarm-definitions check && echo up to date

exit codes:
  0  done, or nothing to do
  1  check, diff: install would change the file
  2  failed: a file cannot be read or written, or Ceilometer refuses it
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    command = Command(PROG, DESCRIPTION, EPILOG)
    result = command.parser()
    command.add_version(result)
    result.add_argument("verb", choices=["install", "check", "diff"], metavar="install|check|diff")
    result.add_argument(
        "--file",
        type=pathlib.Path,
        default=pathlib.Path(PLACE),
        metavar="PATH",
        help=f"the file to write or check (default: {PLACE})",
    )
    result.add_argument(
        "--ours",
        type=pathlib.Path,
        action="append",
        default=[],
        metavar="PATH",
        help="directory or file with eventalarm's definitions (default: those installed)",
    )
    result.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="merge only this definitions file, such as 20-neutron; may be repeated",
    )
    result.add_argument(
        "--shipped",
        action="store_true",
        help="prepend the definitions that Ceilometer ships, if the file has none of them",
    )
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    args = parser().parse_args(sys.argv[1:] if argv is None else argv)
    try:
        return _run(args)
    except (EventAlarmError, OSError) as exc:
        sys.stderr.write(f"{PROG}: {exc}\n")
        return CANNOT


def _run(args: argparse.Namespace) -> int:
    # Importing Ceilometer takes half a second, and --help does not need it.
    from eventalarm.catalogue import install  # noqa: PLC0415

    path: pathlib.Path = args.file
    planned = install.plan(path, args.ours, args.only, begin_with_shipped=args.shipped)
    before, text = planned.before, planned.text
    if args.verb == "install":
        return _install(path, planned, install.HEAD)
    if args.verb == "diff":
        sys.stdout.writelines(
            difflib.unified_diff(
                before.splitlines(True), text.splitlines(True), str(path), f"{path} (merged)"
            )
        )
    elif before == text:
        print(f"{path} is up to date")
    else:
        print(f"{path} is not up to date: see '{PROG} diff', then run '{PROG} install'")
        for gap in planned.coverage.missing:
            print(f"missing: {gap}")
    _print_notes(planned.notes)
    return SAME if before == text else DIFFERS


def _install(path: pathlib.Path, planned: Plan, head: str) -> int:
    if planned.before == planned.text:
        print(f"{path} is up to date")
        return SAME
    if not path.parent.is_dir():
        raise EventAlarmError(
            f"there is no directory {path.parent}: run this where ceilometer-agent-notification runs, or "
            "name its file with --file"
        )
    kept = path.with_name(f"{path.name}.orig")
    if planned.before and head.partition(".")[0] not in planned.before:
        _write(kept, planned.before, path)
        print(f"the previous {path} is kept as {kept}")
    _write(path, planned.text, path)
    print(f"wrote {path}: restart ceilometer-agent-notification")
    _print_notes(planned.notes)
    return SAME


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"note: {note}")


def _write(path: pathlib.Path, text: str, like: pathlib.Path) -> None:
    """Write a file atomically, with the owner and the mode of *like*."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            if like.exists():
                status = like.stat()
                os.fchmod(descriptor, status.st_mode & 0o7777)
                if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(descriptor, status.st_uid, status.st_gid)
            else:
                os.fchmod(descriptor, 0o644)
            file.flush()
            os.fsync(descriptor)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
