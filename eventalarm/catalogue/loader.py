"""Ceilometer's own definitions and its loader, which decides whether a file is valid."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import ceilometer.pipeline
from ceilometer.event import converter
from oslo_config import cfg
from stevedore import extension

from eventalarm.catalogue import jsonpath
from eventalarm.catalogue.event_definitions import OURS, BadDefinitions, Definition, origin_of
from eventalarm.owner import event_types

PLUGINS = "ceilometer.event.trait_plugin"


def shipped() -> pathlib.Path:
    """Return the file that Ceilometer ships and reads by default."""
    return pathlib.Path(ceilometer.pipeline.__path__[0]) / "data" / "event_definitions.yaml"


def load(path: pathlib.Path) -> Any:
    """Return Ceilometer's converter with the definitions in the file *path*.

    :raises BadDefinitions: with Ceilometer's error, when it refuses the file.
    """
    conf = cfg.ConfigOpts()
    conf.register_opts(converter.OPTS, group="event")
    conf([], default_config_files=[])
    conf.set_override("definitions_cfg_file", str(path), group="event")
    jsonpath.use()
    try:
        return converter.setup_events(conf, extension.ExtensionManager(namespace=PLUGINS))
    except Exception as exc:
        raise BadDefinitions(f"Ceilometer refuses {path}: {' '.join(str(exc).split())[:300]}") from exc


def verify(path: pathlib.Path, expected: Sequence[Definition]) -> None:
    """Check that Ceilometer reads *expected* from the file *path*, and that only later ones override ours.

    :raises BadDefinitions: naming the difference.
    """
    # Ceilometer holds them in reverse order, and adds one that matches everything else.
    loaded = load(path).definitions
    if [one.cfg for one in loaded[: len(expected)]] != list(reversed(expected)):
        raise BadDefinitions(f"Ceilometer reads definitions from {path} that differ from those written")
    for place, one in enumerate(expected):
        for kind in event_types(one) if origin_of(one).startswith(OURS) else ():
            sample = kind.replace("*", "x")
            winner = next(each.cfg for each in loaded if each.match_type(sample))
            if winner not in expected[place:]:
                raise BadDefinitions(
                    f"{path}: Ceilometer uses the definition of {winner['event_type']} for {sample}"
                )
