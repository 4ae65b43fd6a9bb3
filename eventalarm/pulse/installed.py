"""Finds the health checks that are installed, and makes those that are configured."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Iterable, Mapping

from eventalarm.conf import PULSE_GROUP
from eventalarm.exceptions import InvalidOption
from eventalarm.pulse.checks import NAMESPACE, Check, CheckContext

OPTION = f"[{PULSE_GROUP}] checks"


@dataclasses.dataclass(frozen=True, slots=True)
class Installed:
    """A check that is installed; ``problem`` says why it cannot be used, if so."""

    name: str
    description: str
    for_tenants: bool
    problem: str = ""


def installed() -> list[Installed]:
    """Return the checks that are installed, by name."""
    return [_describe(name, entry) for name, entry in sorted(_entries().items())]


def make(names: Iterable[str], context: CheckContext) -> dict[str, Check]:
    """Return the named checks.

    :raises InvalidOption: when one is not installed, cannot be loaded, or refuses its options.
    """
    entries = _entries()
    return {name: _load(name, entries)(context) for name in names}


def is_for_tenants(name: str) -> bool:
    """Return True if tenants may run a check; False also if it is not installed."""
    entry = _entries().get(name)
    return entry is not None and _describe(name, entry).for_tenants


def _entries() -> Mapping[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=NAMESPACE)}


def _describe(name: str, entry: importlib.metadata.EntryPoint) -> Installed:
    try:
        kind = entry.load()
    except Exception as exc:  # noqa: BLE001 - one broken plugin must not hide the others
        return Installed(name, "", for_tenants=False, problem=f"cannot be loaded: {exc}")
    return Installed(name, kind.description, kind.for_tenants)


def _load(name: str, entries: Mapping[str, importlib.metadata.EntryPoint]) -> type[Check]:
    if name not in entries:
        known = ", ".join(sorted(entries)) or "none"
        raise InvalidOption(OPTION, f"no check {name!r} is installed", f"use some of: {known}")
    try:
        kind: type[Check] = entries[name].load()
    except Exception as exc:
        raise InvalidOption(OPTION, f"{name} cannot be loaded: {exc}", "install what it needs") from exc
    return kind
