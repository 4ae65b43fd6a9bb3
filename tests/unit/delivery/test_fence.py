import ipaddress
import socket

import pytest
from aodh.notifier import rest
from oslo_config import cfg

from eventalarm import conf
from eventalarm.delivery.fence import Fence, Fenced
from eventalarm.delivery.options import from_conf
from eventalarm.exceptions import InvalidOption


def fence(*networks):
    return Fence([ipaddress.ip_network(text) for text in networks])


@pytest.mark.parametrize(
    ("network", "address", "refused"),
    [
        ("169.254.0.0/16", "169.254.169.254", True),
        ("169.254.0.0/16", "169.253.169.254", False),
        ("169.254.0.0/16", "::ffff:169.254.169.254", True),
        ("169.254.0.0/16", "64:ff9b::a9fe:a9fe", True),
        ("169.254.0.0/16", "2002:a9fe:a9fe::1", True),
        ("169.254.0.0/16", "64:ff9b::8.8.8.8", False),
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
def test_every_form_of_an_address_is_looked_at(network, address, refused):
    assert fence(network).refuses(address) is refused


def test_no_socket_is_made_for_a_denied_address():
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", 80))
    with pytest.raises(Fenced):
        fence("10.0.0.0/8").socket(info)
    fence("11.0.0.0/8").socket(info).close()


def make_conf(networks):
    options = cfg.ConfigOpts()
    conf.register_opts(options)
    options.register_opts(rest.OPTS)
    options([])
    if networks is not None:
        options.set_override("deny_networks", networks, group=conf.DELIVERY_GROUP)
    return options


def test_metadata_services_are_denied_by_default():
    options = from_conf(make_conf(None))
    denied = Fence(options.deny_networks)
    assert denied.refuses("169.254.169.254")
    assert denied.refuses("fe80::a9fe:a9fe")
    assert not denied.refuses("192.0.2.1")
    assert (options.lease, options.mode, options.tls.verify) == (10.0, "direct", True)


def test_a_wrong_network_names_its_option():
    with pytest.raises(InvalidOption, match=r"deny_networks.*10\.0\.0\.0/99"):
        from_conf(make_conf(["10.0.0.0/99"]))
