"""``eventalarm-config``: list, show and export the sample files that come with the package."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from eventalarm import etc
from eventalarm.cmd.command import Command
from eventalarm.exceptions import EventAlarmError

DONE, KEPT, FAILED = 0, 1, 2

DESCRIPTION = """\
The package contains the files that a deployer copies or reads: the samples of
eventalarm.conf and policy.yaml, the publishers of Ceilometer's event pipeline,
event definitions, and what monitoring systems import.

  list              print the names of the files
  show NAME         print a file
  export DIR [NAME] write every file, or only those named, below the directory
                    DIR; a file that was changed there is kept
"""

EPILOG = """\
examples:
  eventalarm-config list
  eventalarm-config show event_pipeline.yaml
  eventalarm-config show eventalarm.conf.sample > /etc/eventalarm/eventalarm.conf
  eventalarm-config export /etc/eventalarm
  eventalarm-config export /tmp/files event_definitions.d

exit codes:
  0  done
  1  export: a file that differs was kept; --force replaces it
  2  failed: the reason is on stderr
"""

COMMAND: Final = Command("eventalarm-config", DESCRIPTION, EPILOG)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = COMMAND.parser()
    COMMAND.add_version(result)
    verbs = result.add_subparsers(dest="verb", required=True, metavar="list|show|export")
    verbs.add_parser("list")
    show = verbs.add_parser("show")
    show.add_argument("name", metavar="NAME", help="a name that 'list' prints")
    export = verbs.add_parser("export")
    export.add_argument("folder", type=pathlib.Path, metavar="DIR", help="a directory; created if missing")
    export.add_argument("names", nargs="*", metavar="NAME", help="a file or a folder that 'list' prints")
    export.add_argument("--force", action="store_true", help="replace files that differ")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    args = parser().parse_args(sys.argv[1:] if argv is None else argv)
    try:
        if args.verb == "export":
            return _export(args.folder, etc.select(args.names), force=args.force)
        if args.verb == "show":
            _show(args.name)
        else:
            print("\n".join(etc.files()))
    except (EventAlarmError, OSError) as exc:
        COMMAND.say(str(exc))
        return FAILED
    return DONE


def _show(name: str) -> None:
    selected = etc.select([name])
    if name not in selected:
        raise etc.UnknownFile(f"{name} is a folder; name one of {', '.join(selected)}")
    sys.stdout.write(selected[name].read_text(encoding="utf-8"))


def _export(folder: pathlib.Path, files: Mapping[str, pathlib.Path], *, force: bool) -> int:
    kept = 0
    for name, source in files.items():
        target, content = folder / name, source.read_bytes()
        present = target.read_bytes() if target.exists() else None
        if present == content:
            continue
        if present is not None and not force:
            COMMAND.say(f"kept {target}, which differs; --force replaces it")
            kept += 1
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        print(f"wrote {target}")
    return KEPT if kept else DONE
