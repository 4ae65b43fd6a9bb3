"""What a health check is, and how those that are installed are found: entry points ``eventalarm.pulse``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, Protocol

from eventalarm.pulse.finding import Finding

NAMESPACE: Final = "eventalarm.pulse"


@dataclasses.dataclass(frozen=True, slots=True)
class CheckContext:
    """What a check uses.

    :ivar options: the options of ``[eventalarm_pulse]``.
    :ivar connect: returns the connection of openstacksdk whose user is the operator or the tenant; made on
        first use. Raises an EventAlarmError that names what is missing.
    :ivar timeout: seconds after which each request must end.
    :ivar project_id: the tenant's project; empty when the operator looks.
    """

    options: Any
    connect: Callable[[], Any]
    timeout: float
    project_id: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """One look at one target, made apart from the others and within the timeout.

    :ivar target: as in :class:`Finding`, for when the look itself fails.
    :ivar look: makes one request and returns what it found. What it raises becomes a finding: the runner
        reports an EventAlarmError with its text, and everything else as unknown.
    :ivar timeout: seconds within which the look ends by itself, if that is not the timeout of the context.
    """

    target: str
    look: Callable[[], Iterable[Finding]]
    timeout: float = 0.0


class Check(Protocol):
    """A health check. A plugin is its class, whose instances last for one round.

    :cvar description: one line for ``eventalarm-pulse list``.
    :cvar for_tenants: whether it can be run with the rights of a tenant.
    """

    description: ClassVar[str]
    for_tenants: ClassVar[bool]

    def __init__(self, context: CheckContext) -> None: ...

    def probes(self) -> Iterable[Probe]:
        """Return what to look at, by at most one cheap request such as that for the catalogue.

        Nothing if the options name no target.

        :raises EventAlarmError: when that is not known; the whole check is then critical.
        """
