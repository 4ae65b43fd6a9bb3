"""The options of the IFA API as values, checked once at start-up."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from eventalarm.catalogue import fault_files
from eventalarm.catalogue.entries import BadFile
from eventalarm.catalogue.faults import FaultCatalogue
from eventalarm.conf import DELIVERY_GROUP, GROUP, IFA_GROUP, INSPECTOR_GROUP
from eventalarm.delivery.options import TlsOptions, networks, tls_options
from eventalarm.delivery.senders.network import EgressFilter
from eventalarm.exceptions import InvalidOption
from eventalarm.ifa_shim.alarm import Severity
from eventalarm.ifa_shim.tables import (
    CAUSES,
    RESOURCES,
    InsufficientData,
    Settings,
    read_cause,
    read_family,
    read_severities,
)

# The undefined severity that stands for the catalogue's.
BY_CATALOGUE: Final = "catalogue"
# One in this many threads of the API may test a callback, so that unresponsive callbacks do not use all.
TESTING_THREADS: Final = 4


@dataclasses.dataclass(frozen=True)
class CallbackOptions:
    """Which callbacks subscriptions may have; ``timeout`` and ``lifetime`` (0: unlimited) in seconds."""

    test: bool
    timeout: float
    schemes: frozenset[str]
    egress: EgressFilter
    credentials_key: str
    max_subscriptions: int
    tests_at_once: int
    lifetime: float
    tls: TlsOptions


@dataclasses.dataclass(frozen=True)
class ApiOptions:
    """How the API responds; ``cleared_retention``, ``history_overlap`` and ``history_kept`` in seconds.

    A negative ``history_kept`` means that transitions are kept forever. ``map_stale_after`` is seconds after
    the last snapshot of the resource map; None where none are taken.
    """

    page_size: int
    cleared_retention: float
    history_overlap: float
    history_kept: int
    map_stale_after: float | None
    require_version: bool
    public_url: str
    callback: CallbackOptions


def settings(conf: Any) -> Settings:
    """Return the settings of the mapping.

    :raises InvalidOption: naming the option that cannot be read.
    """
    group = conf[IFA_GROUP]
    undefined = group.undefined_severity
    return Settings(
        severities=read_severities("severities", {k.lower(): v for k, v in group.severities.items()}),
        undefined_severity=None if undefined == BY_CATALOGUE else Severity(undefined),
        severity_overrides=read_severities("severity_overrides", group.severity_overrides),
        families=tuple(map(read_family, [*group.resources, *RESOURCES])),
        causes=tuple(map(read_cause, [*group.causes, *CAUSES])),
        faults=_faults(conf[GROUP].fault_catalogue),
        traits=tuple(conf[GROUP].resource_traits),
        insufficient_data=InsufficientData(group.insufficient_data),
        repeat_is_change=group.repeat_is_change,
        hold_down=group.hold_down,
        vim_connection_id=group.vim_connection_id,
    )


def _faults(paths: Sequence[str]) -> FaultCatalogue:
    try:
        return fault_files.load(paths)
    except BadFile as exc:
        raise InvalidOption("fault_catalogue", exc.problem, exc.remedy) from exc


def api_options(conf: Any) -> ApiOptions:
    """Return the options of the API.

    :raises InvalidOption: naming the option that cannot be read.
    """
    group, inspector = conf[IFA_GROUP], conf[INSPECTOR_GROUP]
    return ApiOptions(
        page_size=group.page_size,
        cleared_retention=group.cleared_retention,
        # Listeners may have read the times of transitions from other nodes of the database.
        history_overlap=group.history_overlap + conf[GROUP].max_clock_skew,
        history_kept=conf[GROUP].history_time_to_live,
        map_stale_after=inspector.stale_after if inspector.snapshot_interval else None,
        require_version=group.require_version,
        public_url=group.public_url.rstrip("/"),
        callback=CallbackOptions(
            test=group.test_callback,
            timeout=group.callback_timeout,
            schemes=frozenset(scheme.lower() for scheme in group.callback_schemes),
            egress=_egress(conf),
            credentials_key=group.credentials_key,
            max_subscriptions=group.max_subscriptions,
            tests_at_once=max(1, group.threads // TESTING_THREADS),
            lifetime=group.subscription_lifetime,
            tls=tls_options(conf),
        ),
    )


def _egress(conf: Any) -> EgressFilter:
    """Return the egress filter of callbacks: that of webhooks, with the networks denied to callbacks only."""
    delivery = conf[DELIVERY_GROUP]
    return EgressFilter(
        networks("deny_networks", delivery.deny_networks),
        networks("allow_networks", delivery.allow_networks),
        networks("callback_deny_networks", conf[IFA_GROUP].callback_deny_networks, IFA_GROUP),
    )
