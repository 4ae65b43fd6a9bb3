"""The project that owns an event, distinguished from the project whose user caused it.

By default Ceilometer fills both ``project_id`` and ``tenant_id`` from the caller of the API. So where the two
differ, either may be the caller. Three sources identify the owner, the most reliable first: the trait
``caller_project_id`` of the event; what the publisher read in the event definition, which it sends along as
``owner_trait``; and the convention of the service that the event comes from.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final

from eventalarm.model import Event
from eventalarm.patterns import matches_glob

PROJECT: Final = "project_id"
TENANT: Final = "tenant_id"
CALLER: Final = "caller_project_id"

# Services for which the definitions that Ceilometer ships take project_id from the payload and tenant_id from
# the caller. For Nova both come from the payload, and project_id is the current name.
NAMED_BY_PROJECT: Final = frozenset({"alarm", "compute", "identity", "image", "octavia"})


def conventional_trait(event_type: str) -> str:
    """Return the trait that names the owner by the convention of the service, for events of Ceilometer.

    Aodh's evaluator takes the trait that comes last, which is ``tenant_id`` in Ceilometer's events. That is
    right for definitions that set only ``tenant_id``; those of some services set only ``project_id``.
    """
    return PROJECT if _service(event_type) in NAMED_BY_PROJECT else TENANT


def _service(event_type: str) -> str:
    return event_type.partition(".")[0]


class Owners:
    """Finds the owner of events by *traits*, in order of preference; option ``[eventalarm] owner_traits``."""

    def __init__(self, traits: Sequence[str]) -> None:
        self._traits = tuple(traits)
        self._project_first = self._traits[:1] == (PROJECT,)
        # An operator who lists tenant_id first prefers it.
        self._both = PROJECT in traits and TENANT in self._traits[self._traits.index(PROJECT) :]
        self._tenant_first = tuple(
            TENANT if name == PROJECT else name for name in self._traits if name != TENANT
        )

    def of(self, event: Event) -> str:
        """Return the id of the owning project, or an empty string for an event of the infrastructure."""
        if self._both:
            project, tenant = event.trait(PROJECT), event.trait(TENANT)
            if project == tenant:
                if project and self._project_first:
                    return str(project)
            elif project and tenant and _owner_trait(event, project, tenant) == TENANT:
                return event.first_trait(self._tenant_first)
        return event.first_trait(self._traits)


def _owner_trait(event: Event, project: object, tenant: object) -> str:
    caller = event.trait(CALLER)
    if caller is not None and caller in (project, tenant):
        return TENANT if project == caller else PROJECT
    if event.owner_trait:
        return event.owner_trait
    return PROJECT if _service(event.event_type) in NAMED_BY_PROJECT else event.later_of(PROJECT, TENANT)


# -- event definitions ----------------------------------------------------------------------------------


class Doubt(enum.StrEnum):
    """The reason why an event definition does not identify the owner."""

    CALLER_ONLY = "takes the project from the caller alone"
    EITHER = "falls back to the caller in project_id and in tenant_id, from different fields"


@dataclasses.dataclass(frozen=True, slots=True)
class Naming:
    """How a definition names the owner: by ``trait``, or None if both agree; reliable without ``doubt``."""

    trait: str | None = None
    doubt: Doubt | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Source:
    """The source of a trait: fields of the payload, perhaps the caller; ``explicit``: in the definition."""

    payload: frozenset[str]
    caller: bool
    explicit: bool


# The fields that Ceilometer uses if a definition does not set the trait.
DEFAULT: Final = ("payload.tenant_id", "ctxt.project_id")


def naming(definition: Mapping[str, Any]) -> Naming:
    """Return how an event definition of Ceilometer, as read from YAML, names the owner."""
    traits = definition.get("traits") or {}
    project, tenant = _source(traits, PROJECT), _source(traits, TENANT)
    found = _weigh(project, tenant)
    return dataclasses.replace(found, doubt=None) if CALLER in traits else found


def _weigh(project: _Source, tenant: _Source) -> Naming:
    explicit = [source for source in (project, tenant) if source.explicit]
    only_caller = bool(explicit) and not any(source.payload for source in explicit)
    doubt = Doubt.CALLER_ONLY if only_caller else None
    if project.payload == tenant.payload:
        return Naming(None, doubt)
    if not project.payload or not tenant.payload:
        return Naming(PROJECT if project.payload else TENANT, doubt)
    if project.caller != tenant.caller:
        # The trait that never comes from the caller wins.
        return Naming(TENANT if project.caller else PROJECT, doubt)
    if tenant.payload < project.payload:
        return Naming(PROJECT, doubt)
    # Either may be the caller: decide as Aodh does, so that alarms that fired before still fire.
    unsure = project.caller and not project.payload < tenant.payload
    return Naming(TENANT, Doubt.EITHER if unsure else doubt)


def _source(traits: Mapping[str, Any], name: str) -> _Source:
    source = traits.get(name)
    if source is None:
        fields: Any = DEFAULT
    else:
        fields = source.get("fields") if isinstance(source, Mapping) else source
    listed = [fields] if not isinstance(fields, list | tuple) else fields
    paths = [path.strip(" ()").removeprefix("$.") for one in listed for path in str(one).split("|")]
    caller = [path for path in paths if path.startswith("ctxt")]
    return _Source(frozenset(paths) - frozenset(caller), bool(caller), source is not None)


def doubtful(definitions: Sequence[Mapping[str, Any]]) -> list[tuple[str, Doubt]]:
    """Return the event types for which the definitions of a file do not identify an owner, and why.

    A type is left out if a later definition, which takes precedence, covers it or some of its types.
    """
    known = [(event_types(one), naming(one).doubt) for one in definitions]
    found: dict[str, Doubt] = {}
    for place, (types, doubt) in enumerate(known):
        later = [kind for others, _ in known[place + 1 :] for kind in others]
        if doubt is not None:
            found |= {kind: doubt for kind in types if not any(_overlap(kind, one) for one in later)}
    return list(found.items())


def event_types(definition: Mapping[str, Any]) -> list[str]:
    """Return the event type patterns of a definition, without those that it excludes."""
    given = definition.get("event_type") or ()
    return [kind for kind in ([given] if isinstance(given, str) else given) if not kind.startswith("!")]


def _overlap(one: str, other: str) -> bool:
    return matches_glob(one, other) or matches_glob(other, one)
