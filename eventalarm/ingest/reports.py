"""What a monitor reports, and the event that it becomes: its type, its traits and its id."""

from __future__ import annotations

import dataclasses
import datetime
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from eventalarm.catalogue.faults import Condition, Fault, FaultCatalogue
from eventalarm.ingest.reading import to_event
from eventalarm.model import JSONDict
from eventalarm.patterns import is_glob, matches_glob

# Namespace of the ids of alerts. Never change it: an alert that is sent again keeps its id.
ALERTS: Final = uuid.UUID("6c1f0a0e-5d27-5f0b-8a4e-2f6f8d6f3b11")

# The labels that name the owner; a label "project" usually means something else to a monitor.
OWNER_LABELS: Final = ("project_id", "tenant_id")
# The labels that name a host where none of the resource traits is present, the best first.
HOST_LABELS: Final = ("nodename", "node", "instance")
EVENT_TYPE_LABEL: Final = "event_type"

# Event types by name of the alert, after those of the option alert_event_types: rules that are published with
# node_exporter and "Awesome Prometheus alerts", templates of Zabbix, plugins of collectd.
EVENT_TYPES: Final = (
    *((name, "compute.host.down") for name in ("HostDown", "NodeDown", "ComputeHostDown", "InstanceDown")),
    *((name, "compute.host.down") for name in ("HostUnreachable", "*Unavailable by ICMP ping*")),
    *((name, "compute.host.memory") for name in ("HostEdac*", "NodeEDAC*", "collectd_mcelog*")),
    *((name, "compute.host.disk") for name in ("HostRaid*", "NodeRAID*", "Smart*")),
    *((name, "compute.host.nic") for name in ("HostNetworkBond*", "NodeBonding*", "NodeNetworkInterface*")),
    ("collectd_interface*", "compute.host.nic"),
    *((name, "compute.host.thermal") for name in ("HostPhysicalComponentTooHot", "HostNodeOvertemperature*")),
    ("Libvirtd*Down", "compute.host.hypervisor"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """An alert that a monitor reports to begin or to have ended.

    :ivar source: the monitor's product, such as ``alertmanager``.
    :ivar name: the name of the alert.
    :ivar key: with *source*, identifies one episode of the alert, however often it is reported.
    :ivar active: False once the alert has ended.
    :ivar time: when it began or ended, aware.
    :ivar labels: what identifies the alert; they become traits.
    :ivar annotations: texts for people.
    """

    source: str
    name: str
    key: tuple[str, ...]
    active: bool
    time: datetime.datetime
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @property
    def alert_id(self) -> uuid.UUID:
        """The id of this episode: the same when it begins, when it ends, and when it is sent again."""
        return uuid.uuid5(ALERTS, json.dumps([self.source, *self.key], separators=(",", ":")))

    @property
    def message_id(self) -> str:
        """The id of the event: the same each time this state of the episode is sent."""
        return str(uuid.uuid5(self.alert_id, "firing" if self.active else "resolved"))


class ReportConverter:
    """Converts reports into events with the names of *catalogue*.

    :param event_types: pairs of a pattern of the alert's name and an event type or a name of the catalogue,
        the preferred first; :data:`EVENT_TYPES` follow.
    :param resource_traits: as in ``[eventalarm] resource_traits``.
    """

    def __init__(
        self,
        catalogue: FaultCatalogue,
        event_types: Sequence[tuple[str, str]],
        resource_traits: Sequence[str],
    ) -> None:
        self._catalogue = catalogue
        self._event_types = (*event_types, *EVENT_TYPES)
        self._resource_traits = tuple(resource_traits)

    def event(self, report: Report) -> JSONDict:
        """Return the Ceilometer event that *report* becomes; its traits are strings.

        An active alert has the trait ``status`` ``down`` or ``failed``, unless a label says otherwise. The
        event of an ended one satisfies the catalogue's condition for the end of the fault.
        """
        event_type = self.event_type(report)
        traits = dict(_annotations(report.annotations)) | dict(report.labels)
        traits.pop(EVENT_TYPE_LABEL, None)
        traits |= {"alertname": report.name, "alert_id": str(report.alert_id)}
        traits.setdefault("monitor", report.source)
        if not any(traits.get(name) for name in self._resource_traits) and (host := _host(report.labels)):
            traits["hostname"] = host
        down = event_type.endswith(".down")
        traits.setdefault("status", "down" if down else "failed")
        if not report.active:
            event_type, ended = self._ended(event_type, traits)
            traits |= ended
        details: dict[str, Any] = {name: value for name, value in traits.items() if value}
        reported = {
            "id": report.message_id,
            "time": report.time.isoformat(),
            "type": event_type,
            "details": details,
        }
        return to_event(reported, self._resource_traits, OWNER_LABELS)

    def event_type(self, report: Report) -> str:
        """Return the type of the event that says that the alert is active.

        This is the label ``event_type``, else what the tables have for the alert's name, else the name after
        that of the monitor. The name of an entry of the catalogue stands for the event that reports it.
        """
        found = report.labels.get(EVENT_TYPE_LABEL) or next(
            (kind for pattern, kind in self._event_types if matches_glob(report.name, pattern)), ""
        )
        fault = self._catalogue.get(found)
        if fault is not None:
            found = _reporting(fault)
        return found or f"{report.source}.{_word(report.name)}"

    def _ended(self, event_type: str, traits: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Return the type and the changed traits of the event that ends what such an event reports."""
        fault = self._catalogue.find(event_type, traits)
        status = "up" if event_type.endswith(".down") else "ok"
        for one in _ending(fault, event_type) if fault else ():
            kind = event_type if matches_glob(event_type, one.event_type) else one.event_type
            changed = {name: status if status in values else values[0] for name, values in one.traits}
            return kind, {"status": status} | changed
        return event_type, {"status": status}


def _reporting(fault: Fault) -> str:
    """Return the type of an event that reports *fault*, the shortest where a pattern reports it."""
    kinds = [one.event_type for one in fault.reported_by]
    exact = [kind for kind in kinds if not is_glob(kind)]
    stems = [kind.rstrip("*") for kind in kinds if not kind.endswith(".*") and not is_glob(kind.rstrip("*"))]
    return next(iter([*exact, *stems]), kinds[0].replace("*", "alert"))


def _ending(fault: Fault, event_type: str) -> Iterator[Condition]:
    """Yield conditions that end *fault*: down is ended by up, all others by the same type if possible."""
    if event_type.endswith(".down"):
        up = event_type.removesuffix("down") + "up"
        yield from (one for one in fault.cleared_by if one.event_type == up)
    yield from (one for one in fault.cleared_by if matches_glob(event_type, one.event_type) and one.traits)
    yield from (one for one in fault.cleared_by if not is_glob(one.event_type))


def _annotations(annotations: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield traits that cannot be taken for labels: texts for people name neither owners nor resources."""
    for name, value in annotations.items():
        yield (name if name in ("summary", "description") else f"annotation.{name}"), value


def _host(labels: Mapping[str, str]) -> str:
    found = next((labels[name] for name in HOST_LABELS if labels.get(name)), "")
    host, colon, port = found.rpartition(":")
    if colon and port.isdigit() and "/" not in found:
        return host.strip("[]")
    return found


def _word(name: str) -> str:
    return "".join(one if one.isalnum() or one in "_-." else "_" for one in name)
