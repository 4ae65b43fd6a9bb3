"""The fault catalogue as JSON and reStructuredText, for HTTP, the command line and the docs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eventalarm.catalogue.faults import Condition, FanOut, Fault

Document = dict[str, Any]


def document_of(fault: Fault) -> Document:
    """Return an entry as JSON, with the attribute names of IFA 005 and SOL003 where they define one.

    ``faultTypes`` are patterns for the filter of a subscription. Attributes without a value are left out.
    """
    found = {
        "name": fault.name,
        "description": fault.description,
        "faultTypes": fault_types(fault),
        "reportedBy": [_condition(one) for one in fault.reported_by],
        "clearedBy": [_condition(one) for one in fault.cleared_by],
        "eventType": fault.event_type.value,
        "probableCause": fault.probable_cause,
        "perceivedSeverity": fault.severity,
        "serviceAffecting": fault.service_affecting,
        "proposedAction": fault.repair_action,
        "detectedBy": fault.detected_by,
        "faultyResourceType": fault.resource_kind.value if fault.resource_kind is not None else None,
        "vimLevelResourceType": fault.resource_type or None,
        "managedObjectTraits": list(fault.resource_traits),
        "fanOut": fault.fan_out.value,
        "reference": fault.reference or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def fault_types(fault: Fault) -> list[str]:
    """Return the fault types of the alarms of an entry: its own, or the types of the reporting events."""
    if fault.fault_type:
        return [fault.fault_type]
    return list(dict.fromkeys(one.event_type for one in fault.reported_by))


def _condition(condition: Condition) -> Document:
    traits = {name: list(patterns) for name, patterns in condition.traits}
    return {"event": condition.event_type, **({"traits": traits} if traits else {})}


def as_rst(faults: Iterable[Fault]) -> str:
    """Return the entries as reStructuredText: a section for each file, a definition list of its faults."""
    lines: list[str] = []
    file = ""
    for fault in faults:
        if fault.file != file:
            file = fault.file
            title = file.partition("-")[2].removesuffix(".yaml").capitalize() or file
            lines += [title, "-" * len(title), ""]
        lines += [f"``{fault.name}``", f"    {_escaped(fault.description)}", ""]
        for label, text in _facts(fault):
            lines += [f"    :{label}: {text}"]
        lines.append("")
    return "\n".join(lines)


def _facts(fault: Fault) -> Iterable[tuple[str, str]]:
    kind = fault.resource_kind.value if fault.resource_kind is not None else "not defined by SOL003"
    affecting = "service affecting" if fault.service_affecting else "not service affecting"
    traits = ", ".join(f"``{name}``" for name in fault.resource_traits)
    yield "Reported by", ", ".join(f"``{one}``" for one in fault.reported_by)
    if fault.cleared_by:
        yield "Cleared by", ", ".join(f"``{one}``" for one in fault.cleared_by)
    if fault.fault_type:
        yield "faultType", f"``{fault.fault_type}``"
    yield "Classified as", f"``{fault.event_type}``, ``{fault.probable_cause}``"
    yield "Severity", f"{fault.severity}, {affecting}"
    yield "Resource", f"{kind}{f' (``{fault.resource_type}``)' if fault.resource_type else ''}, by {traits}"
    if fault.fan_out is not FanOut.NONE:
        yield "Notified", f"the owners of all resources that use the {fault.fan_out}"
    if fault.never_inhibited:
        yield "Inhibited", "never, it announces maintenance"
    yield "Proposed action", _escaped(fault.repair_action)
    yield "Detected by", _escaped(fault.detected_by)
    if fault.reference:
        yield "Source", _escaped(fault.reference)


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in "*`|_\\" else character for character in text)
