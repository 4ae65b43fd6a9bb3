from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

import pytest
from aodh.notifier import rest
from oslo_config import cfg

from eventalarm import conf
from eventalarm.delivery.options import from_conf
from eventalarm.delivery.senders.network import EgressDenied, EgressFilter
from eventalarm.exceptions import InvalidOption
from eventalarm.ifa_shim.options import api_options


def egress_filter(*networks: str) -> EgressFilter:
    return EgressFilter([ipaddress.ip_network(text) for text in networks])


@pytest.mark.parametrize(
    ("network", "address", "refused"),
    [
        ("169.254.0.0/16", "169.254.169.254", True),
        ("169.254.0.0/16", "169.253.169.254", False),
        ("169.254.0.0/16", "::ffff:169.254.169.254", True),
        ("169.254.0.0/16", "64:ff9b::a9fe:a9fe", True),
        ("169.254.0.0/16", "2002:a9fe:a9fe::1", True),
        ("169.254.0.0/16", "64:ff9b::8.8.8.8", False),
        # Teredo: the server's address, and the client's with every bit turned over.
        ("169.254.0.0/16", "2001:0:a9fe:a9fe:0:0:f7f7:f7f7", True),
        ("169.254.0.0/16", "2001:0:808:808:0:0:5601:5601", True),
        ("169.254.0.0/16", "2001:0:808:808:0:0:f7f7:f7f7", False),
        ("169.254.0.0/16", "::169.254.169.254", True),
        ("169.254.0.0/16", "::ffff:0:169.254.169.254", True),
        ("169.254.0.0/16", "::ffff:0:8.8.8.8", False),
        # NAT64 with a prefix of the operator's own: /96, /64, /56 and /48 within 64:ff9b:1::/48.
        ("169.254.0.0/16", "64:ff9b:1:abcd:0:1:a9fe:a9fe", True),
        ("169.254.0.0/16", "64:ff9b:1:abcd:a9:fea9:fe00:0", True),
        ("169.254.0.0/16", "64:ff9b:1:aba9:fe:a9fe::", True),
        ("169.254.0.0/16", "64:ff9b:1:a9fe:a9:fe00::", True),
        ("169.254.0.0/16", "64:ff9b:1:808:8:800::", False),
        # ISATAP, with and without the universal bit.
        ("169.254.0.0/16", "2001:db8::5efe:a9fe:a9fe", True),
        ("169.254.0.0/16", "2001:db8::200:5efe:a9fe:a9fe", True),
        ("127.0.0.0/8", "::127.0.0.1", True),
        ("127.0.0.0/8", "0.0.0.0", True),
        ("127.0.0.0/8", "::", True),
        ("127.0.0.0/8", "::ffff:0.0.0.0", True),
        ("::1/128", "0.0.0.0", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("fe80::/10", "fe80::1%2", True),
        ("fd00:ec2::254/128", "fd00:ec2::254", True),
        ("fd00:ec2::254/128", "fd00:ec2::253", False),
    ],
)
def test_every_form_of_a_denied_address_is_recognised(network: str, address: str, refused: bool) -> None:
    assert bool(egress_filter(network).refuses(address)) is refused


LOOPBACK = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]


def test_allowed_networks_are_exceptions_from_the_denied_ones_of_webhooks_only() -> None:
    webhooks = EgressFilter(LOOPBACK, LOOPBACK)
    assert not webhooks.refuses("127.0.0.1")
    assert not webhooks.refuses("0.0.0.0")
    assert EgressFilter(LOOPBACK, LOOPBACK[:1]).refuses("::1") == "[eventalarm_delivery] deny_networks"
    callbacks = EgressFilter(LOOPBACK, LOOPBACK, callbacks=LOOPBACK)
    assert callbacks.refuses("::ffff:127.0.0.1") == "[eventalarm_ifa] callback_deny_networks"


def test_subscriptions_add_to_what_is_denied_to_webhooks() -> None:
    made = make_conf(["10.0.0.0/8"])
    made.set_override("callback_deny_networks", ["192.0.2.0/24"], group="eventalarm_ifa")
    callbacks = api_options(made).callback.egress
    assert callbacks.refuses("10.0.0.1") == "[eventalarm_delivery] deny_networks"
    assert callbacks.refuses("192.0.2.1") == "[eventalarm_ifa] callback_deny_networks"
    assert not callbacks.refuses("198.51.100.1")


def test_no_socket_is_made_for_a_denied_address() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", 80))
    with pytest.raises(EgressDenied):
        egress_filter("10.0.0.0/8").socket(info)
    egress_filter("11.0.0.0/8").socket(info).close()


def make_conf(networks: Sequence[str] | None) -> cfg.ConfigOpts:
    options = cfg.ConfigOpts()
    conf.register_opts(options)
    options.register_opts(rest.OPTS)
    options([])
    if networks is not None:
        options.set_override("deny_networks", networks, group=conf.DELIVERY_GROUP)
    return options


def test_metadata_services_are_denied_by_default() -> None:
    options = from_conf(make_conf(None))
    denied = EgressFilter(options.deny_networks)
    assert denied.refuses("169.254.169.254")
    assert denied.refuses("fe80::a9fe:a9fe")
    assert not denied.refuses("192.0.2.1")
    assert denied.refuses("127.0.0.1")
    assert denied.refuses("::1")
    assert (options.lease, options.mode, options.tls.verify) == (6.0, "direct", True)


def test_a_wrong_network_names_its_option() -> None:
    with pytest.raises(InvalidOption, match=r"deny_networks.*10\.0\.0\.0/99"):
        from_conf(make_conf(["10.0.0.0/99"]))
    callbacks = make_conf(None)
    callbacks.set_override("callback_deny_networks", ["ten"], group="eventalarm_ifa")
    with pytest.raises(InvalidOption, match=r"\[eventalarm_ifa\] callback_deny_networks.*ten"):
        api_options(callbacks)
