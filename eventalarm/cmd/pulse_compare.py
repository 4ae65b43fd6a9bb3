"""``eventalarm-pulse compare``: what is missing or stopped since a snapshot."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import pathlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from eventalarm.cmd import pulse_snapshot
from eventalarm.cmd.command import Command

if TYPE_CHECKING:
    from oslo_config import cfg

    from eventalarm.pulse.comparison import Comparison, Difference
    from eventalarm.pulse.inventory import Header

DESCRIPTION = """\
Compare the resources of a cloud with the snapshot in a file, and print what is
missing, what worked and does not any more, and what is new. The project, or all
projects, and the kinds of resources are those of the snapshot.

A state that an owner may have asked for, such as a server that is SHUTOFF, is
a warning. A service that has left the catalog or fails is critical; its
resources are then not compared.
"""

EPILOG = """\
examples:
  eventalarm-pulse compare before.json
  eventalarm-pulse compare before.json --json | jq '.differences[] | select(.change == "missing")'
  eventalarm-pulse compare before.json --report-events    an alarm for each owner

exit codes, as of Nagios plugins:
  0  everything is there and works
  1  a resource is in a state that its owner may have asked for
  2  a resource is missing or failed, or a service failed
  3  nothing could be compared: the reason and the remedy are on stderr
"""

UNKNOWN: Final = 3
CHECK: Final = "upgrade"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    parser.add_argument("file", metavar="FILE", type=pathlib.Path, help="what `snapshot` wrote")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--report-events",
        action="store_true",
        help="publish an event for the owner of each resource that is missing or stopped, and another when a "
        "later comparison finds it; needs the database and the broker",
    )


def main(command: Command, conf_arguments: Sequence[str], chosen: argparse.Namespace) -> int:
    """Run the subcommand; return its exit code."""
    try:
        conf = command.configure(conf_arguments)
        with command.errors():
            return _compare(command, conf, chosen)
    except SystemExit as exc:
        # Code 2 would mean that resources are missing.
        return UNKNOWN if exc.code else 0


def _compare(command: Command, conf: cfg.ConfigOpts, chosen: argparse.Namespace) -> int:
    from eventalarm.pulse import connection, inventory_file  # noqa: PLC0415 - not needed for --help

    header, items = inventory_file.read(chosen.file)
    cloud = connection.connect(conf)
    _require_project(cloud, header, chosen.file)
    survey = pulse_snapshot.survey_of(cloud, header.project_id)
    found = inventory_file.compare_with(survey, header, items, command.progress().tick)
    if chosen.report_events:
        _report(command, conf, header, found)
    print(_as_json(header, found) if chosen.json else "\n".join(_as_text(header, found)))
    return int(found.health)


def _report(command: Command, conf: cfg.ConfigOpts, header: Header, found: Comparison) -> None:
    """Publish what changed since the last comparison with this option."""
    from eventalarm.cmd.pulse_service import recorder  # noqa: PLC0415 - imports the database and the broker
    from eventalarm.operational.build import EventSender  # noqa: PLC0415
    from eventalarm.pulse.comparison import findings, recovered  # noqa: PLC0415
    from eventalarm.pulse.runner import Round  # noqa: PLC0415
    from eventalarm.storage.pulse import PulseStore  # noqa: PLC0415

    sender = EventSender(conf)
    with command.database(conf) as database, contextlib.closing(sender):
        known = [state.finding for _, state in PulseStore(database).states(CHECK)]
        ended = recovered(known, found, header.kinds, header.project_id)
        recorder(conf, database, sender).record(CHECK, Round((*findings(found), *ended), complete=False))


def _require_project(cloud: Any, header: Header, path: pathlib.Path) -> None:
    """Refuse credentials of another project, of which every resource would be missing."""
    from eventalarm.pulse.inventory import InvalidInventory  # noqa: PLC0415

    project = pulse_snapshot.project_of(cloud, all_projects=not header.project_id)
    if project != header.project_id:
        raise InvalidInventory(
            f"{path}: lists the project {header.project_id}, and the credentials are those of {project}; "
            "use credentials of the same project"
        )


def _as_text(header: Header, found: Comparison) -> Iterator[str]:
    from eventalarm.pulse.comparison import Change, findings  # noqa: PLC0415
    from eventalarm.pulse.inventory_file import age  # noqa: PLC0415

    scope = f"project {header.project_id}" if header.project_id else "all projects"
    ago = age(header, datetime.datetime.now(datetime.UTC))
    counts = Counter(one.change.value.replace("_", " ") for one in found.differences)
    parts = [*(f"{number} {change}" for change, number in counts.items())]
    parts += [f"{len(found.broken)} services failed"] if found.broken else []
    summary = ", ".join(parts) or "as before"
    yield f"{found.health.name}: {summary}; {found.compared} resources of {scope}, as of {ago} ago"
    for finding in findings(found):
        yield _line(finding.health.name, f"{finding.summary}; {finding.remedy}")
    for one in found.differences:
        if one.change is Change.NEW:
            yield _line("NEW", one.item.kind.words, one.item.id, one.item.name, one.item.state)


def _line(*texts: str) -> str:
    clean = ("".join(c if c.isprintable() else "?" for c in text) for text in texts if text)
    return "  ".join(clean)


def _as_json(header: Header, found: Comparison) -> str:
    document = {
        "status": found.health.name.lower(),
        "taken_at": header.taken_at.isoformat(),
        "project_id": header.project_id,
        "compared": found.compared,
        "services": [
            {"service_type": one.service_type, "kinds": list(one.kinds), "error": one.error}
            for one in found.broken
        ],
        "differences": [_difference(one) for one in found.differences],
    }
    return json.dumps(document, indent=1)


def _difference(one: Difference) -> dict[str, str]:
    item = one.item
    return {
        "change": one.change.value,
        "status": one.health.name.lower(),
        "kind": item.kind.value,
        "id": item.id,
        "name": item.name,
        "project_id": item.project_id,
        "state_before": "" if one.change.value == "new" else item.state,
        "state": item.state if one.change.value == "new" else one.state,
    }
