"""What libvirt knows of a guest, from the XML of its domain: owner, opt-in, and the agent's channel. Pure.

Nova writes its own element into the metadata of a domain (``LibvirtConfigGuestMetaNovaInstance`` in Nova's
``virt/libvirt/config.py``), in the namespace 1.0, since 23.0.0 in 1.1. It contains the owner and the name of
the flavor; since 32.0.0 also the extra specs, and those image properties that Nova itself defines.
"""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Final

from eventalarm.exceptions import EventAlarmError, InvalidOption
from eventalarm.patterns import matches_glob

NAMESPACES: Final = tuple(f"http://openstack.org/xmlns/libvirt/nova/{version}" for version in ("1.1", "1.0"))
CHANNEL: Final = "org.qemu.guest_agent.0"
PREFIX: Final = "eventalarm:guest_"
SHORTEST, LONGEST = 1.0, 3600.0
TRUE: Final = frozenset({"1", "true", "yes", "on", "t", "y"})
FALSE: Final = frozenset({"0", "false", "no", "off", "f", "n"})
# A heartbeat of 1 is an interval of a second.
DEFAULT_INTERVAL: Final = TRUE - {"1"}
NAMES: Final = frozenset({"heartbeat", "timeout", "health"})


class UnreadableDomain(EventAlarmError):
    """The XML of a domain cannot be read."""


@dataclasses.dataclass(frozen=True, slots=True)
class Defaults:
    """The settings of guests that name none; seconds, and a number of challenges."""

    interval: float
    timeout: float
    misses: int
    every_agent: bool = False
    flavors: tuple[tuple[str, Mapping[str, str]], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class GuestSettings:
    """A guest that is watched. *interval* and *timeout* are in seconds.

    *problem* says which setting of the guest was ignored, and is empty otherwise.
    """

    instance_id: str
    name: str
    domain: str
    project_id: str
    flavor: str
    interval: float
    timeout: float
    misses: int
    health: bool
    has_agent: bool
    socket: str = ""
    problem: str = ""

    @property
    def period(self) -> float:
        """Seconds from an answer to the next challenge: all missed challenges end within the interval."""
        return self.interval - self.misses * self.timeout


def parse_flavors(values: Sequence[str]) -> tuple[tuple[str, Mapping[str, str]], ...]:
    """Return the settings of each pattern from the values of the option ``flavors``.

    :raises InvalidOption: when a value does not have the form PATTERN NAME=VALUE.
    """
    found = []
    for value in values:
        pattern, *words = value.split()[:10] or [""]
        pairs = [word.partition("=") for word in words]
        settings = {name: text for name, _, text in pairs}
        problem = _problem(settings) if pattern and settings else "names no setting"
        if problem:
            raise InvalidOption(
                "[eventalarm_guest] flavors", f"{value!r} {problem}", "write PATTERN heartbeat=SECONDS"
            )
        found.append((pattern, settings))
    return tuple(found)


def read_domain(xml: str, defaults: Defaults) -> GuestSettings | None:
    """Return the guest that the XML of a domain describes, or None if it is not to be watched.

    A domain without Nova's metadata is not watched, since its owner is unknown.

    :raises UnreadableDomain: when the XML is malformed.
    """
    root = _parse(xml)
    instance, space = _instance(root)
    if instance is None:
        return None
    owner = instance.find(f"{space}owner/{space}project")
    project = owner.get("uuid", "") if owner is not None else ""
    flavor = instance.find(f"{space}flavor")
    flavor_name = flavor.get("name", "") if flavor is not None else ""
    has_agent, socket = _channel(root)
    wanted = {**_flavor_settings(flavor_name, defaults), **_extra_specs(flavor, space)}
    problem = _problem(wanted)
    if problem:
        # Whoever writes an invalid interval wants the guest to be watched.
        valid = {name: text for name, text in wanted.items() if not _problem({name: text})}
        wanted = {"heartbeat": "true", **valid} if "heartbeat" in wanted else valid
    if not project or not _is_watched(wanted, has_agent, defaults):
        return None
    interval, timeout = _times(wanted, defaults)
    return GuestSettings(
        instance_id=root.findtext("uuid", ""),
        name=instance.findtext(f"{space}name", ""),
        domain=root.findtext("name", ""),
        project_id=project,
        flavor=flavor_name,
        interval=interval,
        timeout=timeout,
        misses=defaults.misses,
        health=wanted.get("health", "").lower() in TRUE,
        has_agent=has_agent,
        socket=socket,
        problem=problem,
    )


def _parse(xml: str) -> ET.Element:
    try:
        # Written by libvirt, which has parsed it itself: it has no DTD.
        return ET.fromstring(xml)  # noqa: S314
    except ET.ParseError as exc:
        raise UnreadableDomain(f"the XML of a domain cannot be read: {exc}") from exc


def _instance(root: ET.Element) -> tuple[ET.Element | None, str]:
    for namespace in NAMESPACES:
        space = f"{{{namespace}}}"
        if (found := root.find(f"metadata/{space}instance")) is not None:
            return found, space
    return None, ""


def _channel(root: ET.Element) -> tuple[bool, str]:
    """Return whether the domain has a channel for the guest agent, and the path of its socket."""
    for channel in root.iterfind("devices/channel"):
        target, source = channel.find("target"), channel.find("source")
        if target is not None and target.get("name") == CHANNEL:
            return True, source.get("path", "") if source is not None else ""
    return False, ""


def _extra_specs(flavor: ET.Element | None, space: str) -> dict[str, str]:
    if flavor is None:
        return {}
    specs = {
        one.get("name", ""): one.text or "" for one in flavor.iterfind(f"{space}extraSpecs/{space}extraSpec")
    }
    found = {key.removeprefix(PREFIX): text.strip() for key, text in specs.items() if key.startswith(PREFIX)}
    return {name: text for name, text in found.items() if name in NAMES}


def _flavor_settings(flavor: str, defaults: Defaults) -> Mapping[str, str]:
    return next((known for pattern, known in defaults.flavors if matches_glob(flavor, pattern)), {})


def _is_watched(wanted: Mapping[str, str], has_agent: bool, defaults: Defaults) -> bool:
    heartbeat = wanted.get("heartbeat", "")
    if heartbeat:
        return heartbeat.lower() not in FALSE
    return defaults.every_agent and has_agent


def _times(wanted: Mapping[str, str], defaults: Defaults) -> tuple[float, float]:
    """Return interval and timeout, so that at least half of the interval is left between challenges."""
    heartbeat = wanted.get("heartbeat", "")
    interval = (
        defaults.interval if heartbeat.lower() in DEFAULT_INTERVAL or not heartbeat else float(heartbeat)
    )
    timeout = float(wanted.get("timeout", defaults.timeout))
    return interval, min(timeout, interval / (2 * defaults.misses))


def _problem(settings: Mapping[str, str]) -> str:
    """Return what is wrong with settings, or an empty text."""
    for name, text in settings.items():
        if name not in NAMES:
            return f"has the unknown setting {name[:40]!r}"
        if name == "health" and text.lower() not in TRUE | FALSE:
            return f"has health={text[:20]!r}, which must be true or false"
        if name == "heartbeat" and text.lower() in DEFAULT_INTERVAL | FALSE:
            continue
        if name != "health" and not _is_time(text, SHORTEST if name == "heartbeat" else 0.1):
            return f"has {name}={text[:20]!r}, which must be a number of seconds up to {LONGEST:.0f}"
    return ""


def _is_time(text: str, least: float) -> bool:
    try:
        return least <= float(text) <= LONGEST
    except ValueError:
        return False
