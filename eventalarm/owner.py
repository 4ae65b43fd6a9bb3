"""Whose event is it? Ceilometer fills both ``project_id`` and ``tenant_id`` from the caller by default.

So a project in one of them proves nothing while the other one differs. Three things tell the owner from the
caller, the surest first: the trait ``caller_project_id`` of the event; what the publisher read in the event
definition, sent along as ``owner_trait``; and the convention of the service that the event comes from.
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

# Whose definitions, as Ceilometer ships them, take project_id from the payload and tenant_id from the caller;
# of Nova both come from the payload, and project_id is the present name.
NAMED_BY_PROJECT: Final = frozenset({"alarm", "compute", "identity", "image", "octavia"})


def conventional_trait(event_type: str) -> str:
    """Return which of the two traits counts where nothing else tells, of the events that Ceilometer makes.

    Aodh's evaluator takes the later one, in Ceilometer's events ``tenant_id``, which is right for definitions
    that set only that; the definitions of some services set only ``project_id``.
    """
    return PROJECT if _service(event_type) in NAMED_BY_PROJECT else TENANT


def _service(event_type: str) -> str:
    return event_type.partition(".")[0]


class Owners:
    """Finds the owner of events by *traits*, the option ``[eventalarm] owner_traits``."""

    def __init__(self, traits: Sequence[str]) -> None:
        self._traits = tuple(traits)
        self._project_first = self._traits[:1] == (PROJECT,)
        # Who lists tenant_id first wants it first.
        self._both = PROJECT in traits and TENANT in self._traits[self._traits.index(PROJECT) :]
        self._tenant_first = tuple(
            TENANT if name == PROJECT else name for name in self._traits if name != TENANT
        )

    def of(self, event: Event) -> str:
        """Return the project that the event belongs to, or an empty string: nobody's, infrastructure."""
        if self._both:
            project, tenant = event.trait(PROJECT), event.trait(TENANT)
            if project == tenant:
                if project and self._project_first:
                    return str(project)
            elif project and tenant and _telling(event, project, tenant) == TENANT:
                return event.first_trait(self._tenant_first)
        return event.first_trait(self._traits)


def _telling(event: Event, project: object, tenant: object) -> str:
    caller = event.trait(CALLER)
    if caller is not None and caller in (project, tenant):
        return TENANT if project == caller else PROJECT
    if event.owner_trait:
        return event.owner_trait
    return PROJECT if _service(event.event_type) in NAMED_BY_PROJECT else event.later_of(PROJECT, TENANT)


# -- event definitions ----------------------------------------------------------------------------------


class Doubt(enum.StrEnum):
    """Why a definition cannot name the owner of its events."""

    CALLER_ONLY = "takes the project from the caller alone"
    EITHER = "falls back to the caller in project_id and in tenant_id, from different fields"


@dataclasses.dataclass(frozen=True, slots=True)
class Naming:
    """How a definition names the owner: by ``trait`` (None: both say the same), if there is no ``doubt``."""

    trait: str | None = None
    doubt: Doubt | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Source:
    """Where a trait comes from: fields of the payload, then perhaps the caller."""

    payload: frozenset[str]
    caller: bool
    explicit: bool


# What Ceilometer does where a definition does not set the trait.
DEFAULT: Final = ("payload.tenant_id", "ctxt.project_id")


def naming(definition: Mapping[str, Any]) -> Naming:
    """Return how one of Ceilometer's event definitions, as YAML holds it, names the owner."""
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
        # What never is the caller counts.
        return Naming(TENANT if project.caller else PROJECT, doubt)
    if tenant.payload < project.payload:
        return Naming(PROJECT, doubt)
    # Either may be the caller. Aodh's choice, so that what fired before still does.
    unsure = project.caller and not project.payload < tenant.payload
    return Naming(TENANT, Doubt.EITHER if unsure else doubt)


def _source(traits: Mapping[str, Any], name: str) -> _Source:
    said = traits.get(name)
    if said is None:
        fields: Any = DEFAULT
    else:
        fields = said.get("fields") if isinstance(said, Mapping) else said
    listed = [fields] if not isinstance(fields, list | tuple) else fields
    paths = [path.strip(" ()").removeprefix("$.") for one in listed for path in str(one).split("|")]
    caller = [path for path in paths if path.startswith("ctxt")]
    return _Source(frozenset(paths) - frozenset(caller), bool(caller), said is not None)


def doubtful(definitions: Sequence[Mapping[str, Any]]) -> list[tuple[str, Doubt]]:
    """Return the event types for which the definitions of a file cannot name an owner, and why.

    A type is left out where a later definition, which counts instead, takes it or the types under it.
    """
    known = [(event_types(one), naming(one).doubt) for one in definitions]
    found: dict[str, Doubt] = {}
    for place, (types, doubt) in enumerate(known):
        later = [kind for others, _ in known[place + 1 :] for kind in others]
        if doubt is not None:
            found |= {kind: doubt for kind in types if not any(_overlap(kind, one) for one in later)}
    return list(found.items())


def event_types(definition: Mapping[str, Any]) -> list[str]:
    """Return the patterns of event types that a definition names, without those that it excludes."""
    said = definition.get("event_type") or ()
    return [kind for kind in ([said] if isinstance(said, str) else said) if not kind.startswith("!")]


def _overlap(one: str, other: str) -> bool:
    return matches_glob(one, other) or matches_glob(other, one)
