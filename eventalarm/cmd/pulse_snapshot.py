"""``eventalarm-pulse snapshot``: list the resources of a cloud before an upgrade."""

from __future__ import annotations

import argparse
import datetime
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from eventalarm.cmd.command import Command
from eventalarm.exceptions import EventAlarmError, InvalidOption
from eventalarm.pulse.inventory import SERVICE_TYPES, Header, Kind

if TYPE_CHECKING:
    from oslo_config import cfg

    from eventalarm.pulse.survey import Survey

PAGE: Final = 500
KINDS: Final = ", ".join(Kind)

DESCRIPTION = """\
Write the servers, volumes, networks, routers, ports, floating IPs, load
balancers, alarms and subscriptions of a project into a file, with their states.
After an upgrade, `eventalarm-pulse compare` shows what is missing or stopped.

A service that is not in the catalog is left out, and named. The file has ids,
names, states and projects, no secrets; only its owner can read it.
"""

EPILOG = """\
examples:
  eventalarm-pulse snapshot before.json                  the project of the credentials
  eventalarm-pulse snapshot before.json --all-projects   everything, as an administrator
  OS_CLOUD=mine eventalarm-pulse snapshot before.json    a cloud of clouds.yaml
  eventalarm-pulse snapshot before.json --kind server --kind router

exit codes:
  0  the file is written
  2  nothing is written: the reason and the remedy are on stderr
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    parser.add_argument("file", metavar="FILE", type=pathlib.Path, help="the file to write")
    parser.add_argument(
        "--all-projects", action="store_true", help="the resources of all projects, as an administrator"
    )
    parser.add_argument(
        "--kind", action="append", choices=list(Kind), metavar="KIND",
        help=f"only this kind; may be repeated. One of {KINDS}",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")


def main(command: Command, conf_arguments: Sequence[str], chosen: argparse.Namespace) -> int:
    """Run the subcommand; return its exit code."""
    conf = command.configure(conf_arguments)
    with command.errors():
        _take(command, conf, chosen)
    return 0


def _take(command: Command, conf: cfg.ConfigOpts, chosen: argparse.Namespace) -> None:
    from eventalarm.pulse import connection, inventory_file  # noqa: PLC0415 - not needed for --help
    from eventalarm.pulse.survey import SurveyFailed  # noqa: PLC0415

    if chosen.file.exists() and not chosen.force:
        raise InvalidOption(str(chosen.file), "exists", "choose another name, or add --force")
    cloud = connection.connect(conf)
    project = project_of(cloud, all_projects=chosen.all_projects)
    kinds = tuple(dict.fromkeys(map(Kind, chosen.kind or Kind)))
    header = Header(cloud.name or "", datetime.datetime.now(datetime.UTC), project, kinds)
    try:
        written, numbers = inventory_file.take(
            survey_of(cloud, project), chosen.file, header, command.progress().tick
        )
    except SurveyFailed as exc:
        raise EventAlarmError(
            f"{exc}; nothing was written. --kind names what to list instead of all"
        ) from exc
    print(f"{chosen.file}: " + ", ".join(kind.number(numbers[kind]) for kind in written.kinds))
    for kind in written.absent:
        command.say(f"no {kind.words}s: the catalog has no service of type {SERVICE_TYPES[kind]}")


def project_of(cloud: Any, *, all_projects: bool) -> str:
    """Return the project of the credentials, or an empty text for all.

    :raises EventAlarmError: when there is none, or Keystone does not accept the credentials.
    """
    from eventalarm.pulse import connection  # noqa: PLC0415 - imports openstacksdk

    if all_projects:
        return ""
    try:
        project = cloud.session.get_project_id()
    except connection.sdk_errors() as exc:
        raise EventAlarmError(" ".join(str(exc).split())[:300]) from exc
    if not project:
        remedy = "name a project, or add --all-projects"
        raise InvalidOption("credentials", "are not those of a project", remedy)
    return str(project)


def survey_of(cloud: Any, project: str) -> Survey:
    """Return the survey of a project, or of all."""
    from eventalarm.pulse import connection  # noqa: PLC0415 - imports openstacksdk
    from eventalarm.pulse.survey import Survey  # noqa: PLC0415

    return Survey(cloud, connection.sdk_errors(), page_size=PAGE, project_id=project)
