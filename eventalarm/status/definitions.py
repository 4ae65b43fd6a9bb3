"""The check that Ceilometer's event definitions name the owner of each event."""

from __future__ import annotations

import pathlib
from typing import Any, Final

import yaml

from eventalarm.exceptions import EventAlarmError
from eventalarm.owner import Doubt, doubtful
from eventalarm.status.outcome import Finding, Level

USUAL_PLACE: Final = pathlib.Path("/etc/ceilometer/event_definitions.yaml")
SHOWN: Final = 8
REMEDIES: Final = {
    Doubt.CALLER_ONLY: "install ours ('eventalarm-definitions install'), or take project_id from the payload",
    Doubt.EITHER: "add the trait 'caller_project_id: {fields: ctxt.project_id}' to them, or name the same "
    "fields in project_id and tenant_id",
}


class UnreadableDefinitions(EventAlarmError):
    """The file of event definitions cannot be read or is not one."""


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """Return the definitions in the file *path*.

    :raises UnreadableDefinitions: when it cannot be read or holds no list of definitions.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise UnreadableDefinitions(f"{path}: {' '.join(str(exc).split())[:200]}") from exc
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UnreadableDefinitions(f"{path}: must be a list of event definitions")
    return found


def shipped() -> pathlib.Path:
    """Return the event definitions that Ceilometer ships and reads by default."""
    import ceilometer.pipeline  # noqa: PLC0415 - takes half a second, and is rarely needed

    return pathlib.Path(ceilometer.pipeline.__path__[0]) / "data" / "event_definitions.yaml"


def place(named: str) -> pathlib.Path | None:
    """Return the file *named*, or the one that the agent on this host reads; None if there is no agent."""
    if named or USUAL_PLACE.exists():
        return pathlib.Path(named or USUAL_PLACE)
    return shipped() if (USUAL_PLACE.parent / "ceilometer.conf").exists() else None


def look(path: pathlib.Path) -> Finding:
    """Judge the definitions in the file *path*.

    :raises UnreadableDefinitions: when it cannot be read.
    """
    return judge(str(path), read(path))


def judge(path: str, definitions: list[dict[str, Any]]) -> Finding:
    """Report the event types whose owner *definitions* do not determine."""
    found = doubtful(definitions)
    figures = {"definitions": len(definitions), "without_owner": len(found)}
    if not found:
        return Finding(Level.OK, f"{path}: {len(definitions)} definitions name the owner", figures=figures)
    said, remedies = [], []
    for doubt in Doubt:
        kinds = [kind for kind, why in found if why is doubt]
        if kinds:
            more = f" and {len(kinds) - SHOWN} more" if len(kinds) > SHOWN else ""
            said.append(f"{', '.join(kinds[:SHOWN])}{more}: {doubt}")
            remedies.append(REMEDIES[doubt])
    message = f"{path} cannot name the owner of some events, whose alarms may not see them; {'; '.join(said)}"
    return Finding(Level.WARNING, message, "; ".join(remedies), figures)
