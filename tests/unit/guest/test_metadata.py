"""Which guests are watched, and how, from the XML that libvirt returns for the domains of Nova."""

from __future__ import annotations

import pytest

from eventalarm.exceptions import InvalidOption
from eventalarm.guest.metadata import Defaults, GuestSettings, UnreadableDomain, parse_flavors, read_domain
from tests.support.guests import domain_xml, instance_id

DEFAULTS = Defaults(interval=30.0, timeout=5.0, misses=2)


def read(specs: dict[str, str] | None, **how: str) -> GuestSettings | None:
    return read_domain(domain_xml(specs=specs, **how), DEFAULTS)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_guest_is_watched_if_its_flavor_says_so(version: str) -> None:
    guest = read({"eventalarm:guest_heartbeat": "10", "hw:cpu_policy": "dedicated"}, version=version)
    assert guest == GuestSettings(
        instance_id=instance_id("vm-1"),
        name="vm-1",
        domain="instance-vm-1",
        project_id="project-1",
        flavor="m1.small",
        interval=10.0,
        timeout=2.5,
        misses=2,
        health=False,
        has_agent=True,
        socket="/agent.sock",
    )


@pytest.mark.parametrize("specs", [None, {}, {"eventalarm:guest_heartbeat": "false"}, {"hw:cpu_policy": "x"}])
def test_a_guest_is_not_watched_without_its_flavor(specs: dict[str, str] | None) -> None:
    assert read(specs) is None


@pytest.mark.parametrize(
    ("specs", "interval", "timeout", "period"),
    [
        ({"heartbeat": "true"}, 30.0, 5.0, 20.0),
        ({"heartbeat": "1"}, 1.0, 0.25, 0.5),
        ({"heartbeat": "60", "timeout": "1"}, 60.0, 1.0, 58.0),
        ({"heartbeat": "10", "timeout": "60"}, 10.0, 2.5, 5.0),
    ],
)
def test_all_missed_challenges_end_within_the_interval(
    specs: dict[str, str], interval: float, timeout: float, period: float
) -> None:
    guest = read({f"eventalarm:guest_{name}": text for name, text in specs.items()})
    assert guest is not None
    assert (guest.interval, guest.timeout, guest.period) == (interval, timeout, period)
    assert guest.period + guest.misses * guest.timeout <= guest.interval


@pytest.mark.parametrize("text", ["often", "0.1", "nan", "inf", "99999", ""])
def test_an_invalid_interval_is_replaced_by_the_default_and_named(text: str) -> None:
    guest = read({"eventalarm:guest_heartbeat": text})
    assert guest is not None
    assert guest.interval == 30.0
    assert guest.problem.startswith(f"has heartbeat={text!r}")


def test_flavors_of_the_configuration_count_where_nova_is_older_and_extra_specs_before_them() -> None:
    flavors = parse_flavors(["vnf.* heartbeat=10 health=true", "m1.* heartbeat=true"])
    defaults = Defaults(30.0, 5.0, 2, flavors=flavors)
    vnf = read_domain(domain_xml(specs=None, flavor="vnf.large"), defaults)
    small = read_domain(domain_xml(specs=None), defaults)
    assert vnf is not None
    assert small is not None
    assert (vnf.interval, vnf.health, small.interval, small.health) == (10.0, True, 30.0, False)
    specs = {"eventalarm:guest_heartbeat": "5"}
    newer = read_domain(domain_xml(specs=specs, flavor="vnf.large"), defaults)
    assert newer is not None
    assert (newer.interval, newer.health) == (5.0, True)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "names no setting"),
        ("m1.*", "names no setting"),
        ("m1.* beat=3", "has the unknown setting 'beat'"),
        ("m1.* heartbeat=x", "has heartbeat='x'"),
        ("m1.* health=maybe", "has health='maybe'"),
    ],
)
def test_an_invalid_flavor_is_an_error(value: str, problem: str) -> None:
    with pytest.raises(InvalidOption, match=r"\[eventalarm_guest\] flavors: .*write PATTERN") as raised:
        parse_flavors([value])
    assert problem in str(raised.value)


def test_every_guest_with_an_agent_is_watched_if_the_operator_wants_it() -> None:
    every = Defaults(30.0, 5.0, 2, every_agent=True)
    assert read_domain(domain_xml(specs=None), every) is not None
    assert read_domain(domain_xml(specs=None, socket_path=None), every) is None
    refused = domain_xml(specs={"eventalarm:guest_heartbeat": "no"})
    assert read_domain(refused, every) is None


def test_a_guest_without_agent_is_watched_for_the_events_of_libvirt() -> None:
    guest = read_domain(domain_xml(specs={"eventalarm:guest_heartbeat": "5"}, socket_path=None), DEFAULTS)
    assert guest is not None
    assert not guest.has_agent


def test_a_domain_that_is_not_of_nova_has_no_owner() -> None:
    assert read_domain("<domain><name>x</name><uuid>1</uuid></domain>", DEFAULTS) is None
    with pytest.raises(UnreadableDomain):
        read_domain("<domain>", DEFAULTS)
