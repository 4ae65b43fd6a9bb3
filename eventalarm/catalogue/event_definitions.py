"""Ceilometer's event definitions as parsed YAML: reading, writing and the origin of each.

A definition that ``eventalarm-definitions`` writes has the key ``origin``, which Ceilometer ignores:
``ceilometer 0f3a…`` or ``eventalarm/20-neutron 7c1d…``. The digest shows whether it was changed since.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import yaml

from eventalarm import etc
from eventalarm.catalogue.entries import LOADER
from eventalarm.exceptions import EventAlarmError

Definition = dict[str, Any]

ORIGIN: Final = "origin"
CEILOMETER: Final = "ceilometer"
OURS: Final = "eventalarm"
WIDTH: Final = 110


class BadDefinitions(EventAlarmError):
    """A file of event definitions is unreadable or invalid."""


def read(path: pathlib.Path) -> list[Definition]:
    """Return the definitions in the YAML file *path*.

    :raises BadDefinitions: naming the file, and the line if the YAML is invalid.
    """
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)  # noqa: S506 (a safe loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise BadDefinitions(f"{path}: {' '.join(str(exc).split())[:300]}") from exc
    if found is None:
        return []
    if not isinstance(found, list):
        raise BadDefinitions(f"{path}: must be a list of event definitions, not a {type(found).__name__}")
    for number, one in enumerate(found, 1):
        if not isinstance(one, dict) or not _are_types(one.get("event_type")):
            raise BadDefinitions(
                f"{path}: definition {number}: event_type must be a string or a list of strings"
            )
        if not isinstance(one.get("traits"), dict):
            raise BadDefinitions(f"{path}: definition {number}: traits must be a mapping")
    return found


def _are_types(said: object) -> bool:
    listed = said if isinstance(said, list) else [said]
    return bool(listed) and all(isinstance(one, str) and one for one in listed)


def fragments(places: Sequence[pathlib.Path], only: Iterable[str] = ()) -> list[pathlib.Path]:
    """Return our files in *places* (directories or files), by default those of the package.

    :param only: names such as ``20-neutron``; empty for all.
    :raises BadDefinitions: when no file is found, or a name is unknown.
    """
    folders = list(places) or [etc.EVENT_DEFINITIONS]
    found: dict[str, pathlib.Path] = {}
    for place in folders:
        for path in sorted(place.glob("*.yaml")) if place.is_dir() else [place]:
            if path.is_file():
                found.setdefault(path.stem, path)
    if not found:
        raise BadDefinitions(
            f"no definitions of eventalarm in {', '.join(map(str, folders))}; name them with --ours"
        )
    wanted = {name.removesuffix(".yaml") for name in only}
    if unknown := wanted - set(found):
        raise BadDefinitions(f"unknown file {min(unknown)}; there are {', '.join(sorted(found))}")
    return [path for name, path in sorted(found.items()) if not wanted or name in wanted]


def marked(definition: Definition, origin: str) -> Definition:
    """Return a copy of *definition* with its origin and its digest."""
    plain = {name: value for name, value in definition.items() if name != ORIGIN}
    return {ORIGIN: f"{origin} {_digest(plain)}", **plain}


def origin_of(definition: Definition) -> str:
    """Return the origin of a definition; empty if the deployer wrote it, or changed it since."""
    name, _, digest = str(definition.get(ORIGIN, "")).partition(" ")
    plain = {key: value for key, value in definition.items() if key != ORIGIN}
    return name if digest == _digest(plain) else ""


def _digest(plain: Definition) -> str:
    text = json.dumps(plain, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Write no anchors and aliases, which are hard to read and to change."""
        return True


def write(definitions: Iterable[Definition], head: str) -> str:
    """Return the YAML of *definitions* under the comment *head*."""
    comment = "".join(f"# {line}".rstrip() + "\n" for line in head.splitlines())
    parts = [
        yaml.dump(
            [one], Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH, default_flow_style=None
        )
        for one in definitions
    ]
    return comment + "\n" + "".join(parts)
