"""The fence: networks that no webhook may reach, checked on the address that is really connected to.

The check sits where the socket is made, after every way to write an address has become one: names (also
those that answer differently the second time), decimal and octal notations, IPv6 forms of IPv4 addresses.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any, Final

from eventalarm.delivery.options import Network

NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
IPV4_BITS: Final = 0xFFFFFFFF

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Fenced(OSError):
    """The address is in a denied network; an OSError, so that the other addresses of a name get a chance."""


class Fence:
    """Refuses addresses of the denied *networks*; without networks it lets everything pass."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)

    def refuses(self, address: str) -> bool:
        """Tell whether *address* (as a socket has it, a scope allowed) is denied, in any of its forms."""
        forms = _forms(ipaddress.ip_address(address.partition("%")[0]))
        return any(form in network for form in forms for network in self._networks)

    def socket(self, addr_info: Any) -> socket.socket:
        """Make the socket for one address, as aiohttp's ``socket_factory``.

        :raises Fenced: when the address is denied.
        """
        family, kind, proto, _, sockaddr = addr_info
        if self.refuses(sockaddr[0]):
            raise Fenced(FENCED)
        return socket.socket(family, kind, proto)


FENCED: Final = "fenced by deny_networks"


def _forms(address: Address) -> list[Address]:
    """Return *address* and the addresses that a connection to it may really reach."""
    forms: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64:
            forms.append(ipaddress.IPv4Address(int(address) & IPV4_BITS))
        forms.extend(form for form in (address.ipv4_mapped, address.sixtofour) if form is not None)
    if any(form.is_unspecified for form in forms):
        # The kernel connects "any" to this host.
        forms.extend([ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1")])
    return forms
