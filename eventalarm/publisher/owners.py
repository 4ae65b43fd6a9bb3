"""Finds the trait that names the owner of an event, from the event definitions of the same agent."""

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

# Event types come from outside, so the cache needs a limit; a cloud has some hundred.
MOST_TYPES: Final = 10_000


class OwnerTraits:
    """Finds the owner trait of an event type; the last definition that applies wins, as in Ceilometer."""

    def __init__(self, definitions: Sequence[Mapping[str, Any]]) -> None:
        self._definitions = [
            (included, excluded, naming(one).trait)
            for one in reversed(definitions)
            for included, excluded in [_types(one)]
        ]
        self._known: dict[str, str | None] = {}

    def __call__(self, event_type: str) -> str | None:
        """Return the trait to send with the event, or None where the listener finds it by convention."""
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
    given = definition["event_type"]
    listed = [given] if isinstance(given, str) else list(given)
    excluded = [one[1:] for one in listed if one.startswith("!")]
    return [one for one in listed if not one.startswith("!")] or ["*"], excluded


def read(conf: cfg.ConfigOpts) -> OwnerTraits:
    """Read the event definitions that Ceilometer reads.

    A file that cannot be read is logged, and listeners find owners by convention; Ceilometer's own loader
    decides whether the agent starts.
    """
    try:
        fallback = os.path.join(shipped.__path__[0], "data", "event_definitions.yaml")
        found = declarative.load_definitions(conf, [], conf.event.definitions_cfg_file, fallback)
        return OwnerTraits(found or [])
    except Exception as exc:  # noqa: BLE001 - events are published whatever is wrong with the file
        LOG.warning("Event definitions cannot be read; owners of events are found by convention: %s", exc)
        return OwnerTraits([])
