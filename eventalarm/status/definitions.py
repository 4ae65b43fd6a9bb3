"""The check that Ceilometer's event definitions name the owner of each event."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Final

from eventalarm.catalogue.coverage import Coverage
from eventalarm.catalogue.event_definitions import Definition, read
from eventalarm.owner import Doubt, doubtful
from eventalarm.status.checks import Finding, Level

DEFAULT_PATH: Final = pathlib.Path("/etc/ceilometer/event_definitions.yaml")
SHOWN: Final = 8
INSTALL: Final = "run 'eventalarm-definitions install' where the agent runs, and restart the agent"
REMEDIES: Final = {
    Doubt.CALLER_ONLY: "install ours ('eventalarm-definitions install'), or take project_id from the payload",
    Doubt.EITHER: "add the trait 'caller_project_id: {fields: ctxt.project_id}' to them, or name the same "
    "fields in project_id and tenant_id",
}


def definitions_file(path: str) -> pathlib.Path | None:
    """Return *path*; if it is empty, the file that the agent on this host reads, or None without an agent."""
    if path or DEFAULT_PATH.exists():
        return pathlib.Path(path or DEFAULT_PATH)
    if not (DEFAULT_PATH.parent / "ceilometer.conf").exists():
        return None
    from eventalarm.catalogue import loader  # noqa: PLC0415 - takes half a second, and is rarely needed

    return loader.shipped()


def check_definitions(path: pathlib.Path) -> Finding:
    """Check that the definitions in the file *path* determine the owners of events, and include ours.

    :raises eventalarm.catalogue.event_definitions.BadDefinitions: when it is not a list of definitions.
    """
    owners = owners_finding(str(path), read(path))
    try:
        from eventalarm.catalogue import install  # noqa: PLC0415 - imports Ceilometer
    except ImportError:
        # What a merge would change depends on the definitions that Ceilometer ships.
        return owners
    return with_coverage(owners, install.check(path))


def with_coverage(owners: Finding, coverage: Coverage) -> Finding:
    """Add to the finding about owners which of our definitions the file lacks, or does not use."""
    messages = [owners.message]
    figures = {**owners.figures, "missing": coverage.number, "overridden": len(coverage.overridden)}
    if coverage.missing:
        messages.append(f"definitions of eventalarm, and traits of events, are missing: {coverage.text()}")
    messages += coverage.overridden
    level = Level.WARNING if coverage.missing else owners.level
    remedy = INSTALL if coverage.missing and not owners.remedy else owners.remedy
    return Finding(level, "; ".join(messages), remedy, figures)


def owners_finding(path: str, definitions: Sequence[Definition]) -> Finding:
    """Report the event types whose owner *definitions* do not determine."""
    found = doubtful(definitions)
    figures = {"definitions": len(definitions), "without_owner": len(found)}
    if not found:
        return Finding(
            Level.OK,
            f"{path}: {len(definitions)} definitions name the owner of their events",
            figures=figures,
        )
    reasons, remedies = [], []
    for doubt in Doubt:
        kinds = [kind for kind, why in found if why is doubt]
        if kinds:
            more = f" and {len(kinds) - SHOWN} more" if len(kinds) > SHOWN else ""
            reasons.append(f"{', '.join(kinds[:SHOWN])}{more}: {doubt}")
            remedies.append(REMEDIES[doubt])
    message = (
        f"{path} does not determine the owner of some events, and alarms of that owner may miss them; "
        f"{'; '.join(reasons)}"
    )
    return Finding(Level.WARNING, message, "; ".join(remedies), figures)
