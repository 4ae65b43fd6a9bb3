"""The options of delivery as one frozen object, read from the configuration once."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable
from typing import Any, Final

from eventalarm.conf import DELIVERY_GROUP, GROUP
from eventalarm.delivery.circuit import CircuitRules
from eventalarm.exceptions import InvalidOption

# A probe is lost after this many times as long as an attempt may take, and the length of a lease.
PROBE_TIMEOUTS: Final = 2

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclasses.dataclass(frozen=True, slots=True)
class TlsOptions:
    """Aodh's own ``rest_notifier_*`` options; empty text means not set."""

    verify: bool = True
    ca_bundle: str = ""
    certificate: str = ""
    key: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class NameOptions:
    """Group ``[eventalarm_delivery]``, where each field is explained; times are in seconds."""

    threads: int = 64
    timeout: float = 3.0
    failure_ttl: float = 5.0
    keep: float = 3600.0


@dataclasses.dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """Group ``[eventalarm_delivery]``, where each field is explained; times are in seconds.

    Except ``max_clock_skew``, which belongs to group ``[eventalarm]``.
    """

    mode: str = "direct"
    connect_timeout: float = 3.0
    total_timeout: float = 10.0
    max_attempts: int = 0
    give_up_after: float = 86400.0
    attempts_kept: int = 20
    skip_superseded: bool = False
    retry_initial: float = 0.5
    retry_max: float = 120.0
    retry_after_max: float = 300.0
    concurrency: int = 400
    concurrency_per_destination: int = 16
    max_in_memory: int = 10000
    max_in_memory_bytes: int = 128 * 1024 * 1024
    max_losses: int = 3
    lease: float = 6.0
    poll_interval: float = 1.0
    max_clock_skew: float = 0.5
    plugin_threads: int = 16
    max_response_size: int = 65536
    circuit_failures: int = 20
    circuit_probe_initial: float = 1.0
    circuit_probe_max: float = 120.0
    circuit_disable_after: float = 432000.0
    circuit_disable_gone: bool = True
    pack_window: float = 0.0
    pack_limit: int = 100
    deny_networks: tuple[Network, ...] = ()
    allow_networks: tuple[Network, ...] = ()
    action_schemes: frozenset[str] | None = None
    tls: TlsOptions = TlsOptions()
    names: NameOptions = NameOptions()

    def circuit_rules(self) -> CircuitRules:
        """Return the rules of the circuits of destinations; in mode aodh the broker takes every delivery."""
        return CircuitRules(
            failures=self.circuit_failures if self.mode == "direct" else 0,
            probe_initial=self.circuit_probe_initial,
            probe_max=self.circuit_probe_max,
            probe_timeout=PROBE_TIMEOUTS * (self.connect_timeout + self.total_timeout) + self.lease,
            retry_after_max=self.retry_after_max,
            disable_after=self.circuit_disable_after,
            disable_gone=self.circuit_disable_gone,
        )


def from_conf(conf: Any) -> DeliveryOptions:
    """Read the options from *conf*, where those of eventalarm and Aodh are registered.

    :raises InvalidOption: if ``deny_networks`` or ``allow_networks`` holds something other than a network.
    """
    group = conf[DELIVERY_GROUP]
    made = {"max_clock_skew", "deny_networks", "allow_networks", "action_schemes", "tls", "names"}
    plain = {f.name for f in dataclasses.fields(DeliveryOptions)} - made
    return DeliveryOptions(
        **{name: group[name] for name in plain},
        max_clock_skew=conf[GROUP].max_clock_skew,
        deny_networks=networks("deny_networks", group.deny_networks),
        allow_networks=networks("allow_networks", group.allow_networks),
        action_schemes=frozenset(scheme.lower() for scheme in group.action_schemes),
        tls=tls_options(conf),
        names=name_options(conf),
    )


def name_options(conf: Any) -> NameOptions:
    """Read the options of host name lookups, ``lookup_*``."""
    group = conf[DELIVERY_GROUP]
    return NameOptions(**{f.name: group[f"lookup_{f.name}"] for f in dataclasses.fields(NameOptions)})


def networks(option: str, texts: Iterable[str], group: str = DELIVERY_GROUP) -> tuple[Network, ...]:
    """Return the networks that *option* lists.

    :raises InvalidOption: naming *option*, if one of *texts* is not a network.
    """
    try:
        return tuple(ipaddress.ip_network(text.strip(), strict=False) for text in texts)
    except ValueError as exc:
        raise InvalidOption(
            f"[{group}] {option}", str(exc), "write networks like 169.254.0.0/16 or fe80::/10"
        ) from exc


def tls_options(conf: Any) -> TlsOptions:
    """Read Aodh's ``rest_notifier_*`` options from *conf*, where they are registered."""
    return TlsOptions(
        verify=conf.rest_notifier_ssl_verify,
        ca_bundle=conf.rest_notifier_ca_bundle_certificate_path or "",
        certificate=conf.rest_notifier_certificate_file or "",
        key=conf.rest_notifier_certificate_key or "",
    )
