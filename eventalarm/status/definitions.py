"""The check that Ceilometer's event definitions name the owner of each event."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Final

from eventalarm.catalogue.event_definitions import Definition, read
from eventalarm.owner import Doubt, doubtful
from eventalarm.status.checks import Finding, Level

USUAL_PLACE: Final = pathlib.Path("/etc/ceilometer/event_definitions.yaml")
SHOWN: Final = 8
REMEDIES: Final = {
    Doubt.CALLER_ONLY: "install ours ('eventalarm-definitions install'), or take project_id from the payload",
    Doubt.EITHER: "add the trait 'caller_project_id: {fields: ctxt.project_id}' to them, or name the same "
    "fields in project_id and tenant_id",
}


def place(named: str) -> pathlib.Path | None:
    """Return the file *named*, or the one that the agent on this host reads; None if there is no agent."""
    if named or USUAL_PLACE.exists():
        return pathlib.Path(named or USUAL_PLACE)
    if not (USUAL_PLACE.parent / "ceilometer.conf").exists():
        return None
    from eventalarm.catalogue import loader  # noqa: PLC0415 - takes half a second, and is rarely needed

    return loader.shipped()


def look(path: pathlib.Path) -> Finding:
    """Judge the definitions in the file *path*.

    :raises eventalarm.catalogue.event_definitions.BadDefinitions: when it is not a list of definitions.
    """
    return owners_finding(str(path), read(path))


def owners_finding(path: str, definitions: Sequence[Definition]) -> Finding:
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
