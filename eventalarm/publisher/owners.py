"""Which trait names the owner of events of a type, as the definitions of the same agent have it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ceilometer import declarative
from ceilometer import pipeline as shipped
from oslo_config import cfg
from oslo_log import log

from eventalarm.owner import conventional_trait, naming
from eventalarm.patterns import matches_glob

LOG = log.getLogger(__name__)

# Event types come from outside; a cloud has some hundred.
MOST_TYPES: Final = 10_000


class OwnerTraits:
    """Answers by event type from *definitions*, of which the last one that fits counts, as in Ceilometer."""

    def __init__(self, definitions: Sequence[Mapping[str, Any]]) -> None:
        self._definitions = [
            (included, excluded, naming(one).trait)
            for one in reversed(definitions)
            for included, excluded in [_types(one)]
        ]
        self._known: dict[str, str | None] = {}

    def __call__(self, event_type: str) -> str | None:
        """Return the trait that listeners must be told of, or None: they choose it by themselves."""
        try:
            return self._known[event_type]
        except KeyError:
            pass
        if len(self._known) >= MOST_TYPES:
            self._known.clear()
        trait = self._find(event_type)
        self._known[event_type] = trait = None if trait == conventional_trait(event_type) else trait
        return trait

    def _find(self, event_type: str) -> str | None:
        for included, excluded, trait in self._definitions:
            if any(matches_glob(event_type, one) for one in included) and not any(
                matches_glob(event_type, one) for one in excluded
            ):
                return trait
        return None


def _types(definition: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    said = definition["event_type"]
    listed = [said] if isinstance(said, str) else list(said)
    excluded = [one[1:] for one in listed if one.startswith("!")]
    return [one for one in listed if not one.startswith("!")] or ["*"], excluded


def read(conf: cfg.ConfigOpts) -> OwnerTraits:
    """Read the file of definitions that Ceilometer reads.

    What cannot be read is logged and left to the listeners; Ceilometer's loader decides whether it starts.
    """
    try:
        fallback = os.path.join(shipped.__path__[0], "data", "event_definitions.yaml")
        found = declarative.load_definitions(conf, [], conf.event.definitions_cfg_file, fallback)
        return OwnerTraits(found or [])
    except Exception as exc:  # noqa: BLE001 - whatever is wrong with the file, events are published
        LOG.warning("Event definitions cannot be read; owners of events are found by convention: %s", exc)
        return OwnerTraits([])
