"""Ceilometer's own part: what it ships, and its loader, which has the last word on a file."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import ceilometer.pipeline
from ceilometer.event import converter
from oslo_config import cfg
from stevedore import extension

from eventalarm.catalogue.event_definitions import OURS, BadDefinitions, Definition, origin_of
from eventalarm.owner import event_types

PLUGINS = "ceilometer.event.trait_plugin"


def shipped() -> pathlib.Path:
    """Return the file that Ceilometer reads where there is no other."""
    return pathlib.Path(ceilometer.pipeline.__path__[0]) / "data" / "event_definitions.yaml"


def load(path: pathlib.Path) -> Any:
    """Return Ceilometer's converter with the definitions in the file *path*.

    :raises BadDefinitions: with what Ceilometer says, when it refuses the file.
    """
    conf = cfg.ConfigOpts()
    conf.register_opts(converter.OPTS, group="event")
    conf([], default_config_files=[])
    conf.set_override("definitions_cfg_file", str(path), group="event")
    try:
        return converter.setup_events(conf, extension.ExtensionManager(namespace=PLUGINS))
    except Exception as exc:
        raise BadDefinitions(f"Ceilometer refuses {path}: {' '.join(str(exc).split())[:300]}") from exc


def verify(path: pathlib.Path, expected: Sequence[Definition]) -> None:
    """Check that Ceilometer takes the file *path* as *expected*, and ours where none of those behind does.

    :raises BadDefinitions: naming what differs.
    """
    # Ceilometer tries the last one first, and adds one for everything else.
    loaded = load(path).definitions
    if [one.cfg for one in loaded[: len(expected)]] != list(reversed(expected)):
        raise BadDefinitions(f"Ceilometer reads other definitions from {path} than were written")
    for place, one in enumerate(expected):
        for kind in event_types(one) if origin_of(one).startswith(OURS) else ():
            sample = kind.replace("*", "x")
            winner = next(each.cfg for each in loaded if each.match_type(sample))
            if winner not in expected[place:]:
                raise BadDefinitions(f"{path}: {sample} is taken by the definition of {winner['event_type']}")
