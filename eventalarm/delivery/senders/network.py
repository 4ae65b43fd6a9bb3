"""The egress filter of senders, and their TLS contexts from Aodh's ``rest_notifier_*`` options."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import Any, Final

from eventalarm.delivery.options import Network, TlsOptions
from eventalarm.exceptions import DeliveryError, InvalidOption

IPV4_BITS: Final = 0xFFFFFFFF

# IPv6 networks whose last 32 bits are an IPv4 address: NAT64 (RFC 6052, RFC 8215), IPv4-compatible
# (RFC 4291) and IPv4-translated (RFC 2765) addresses.
IPV4_AT_THE_END: Final = tuple(
    map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96"))
)
# NAT64 with a prefix that the operator chose (RFC 8215). RFC 6052 puts the IPv4 address behind the prefix and
# leaves bits 64 to 71 out: for each length of the prefix, how many bits lie before that gap and behind it.
LOCAL_NAT64: Final = ipaddress.IPv6Network("64:ff9b:1::/48")
SPLITS: Final = ((48, 16, 16), (56, 8, 24), (64, 0, 32))
GAP_END: Final = 72
# An interface identifier of ISATAP (RFC 5214): these 32 bits, the universal bit aside, then an IPv4 address.
ISATAP: Final = 0x00005EFE
UNIVERSAL_BIT: Final = 0x02000000

WEBHOOKS: Final = "[eventalarm_delivery] deny_networks"
CALLBACKS: Final = "[eventalarm_ifa] callback_deny_networks"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class EgressDenied(OSError):
    """The address is in a denied network; an OSError, so that the other addresses of the name are tried."""


class EgressFilter:
    """Refuses addresses of *denied* networks that are not *allowed*; without networks it refuses nothing.

    :param callbacks: further denied networks, those of subscriptions, to which *allowed* does not apply.
    """

    def __init__(
        self, denied: Iterable[Network], allowed: Iterable[Network] = (), callbacks: Iterable[Network] = ()
    ) -> None:
        self._denied = tuple(denied)
        self._allowed = tuple(allowed)
        self._callbacks = tuple(callbacks)

    def refuses(self, address: str) -> str:
        """Return the option that denies *address* in any of its forms; "" if it may be connected to.

        *address* is as a socket gives it, possibly with a scope.
        """
        for form in _forms(ipaddress.ip_address(address.partition("%")[0])):
            if _in(form, self._callbacks):
                return CALLBACKS
            if _in(form, self._denied) and not _in(form, self._allowed):
                return WEBHOOKS
        return ""

    def socket(self, addr_info: Any) -> socket.socket:
        """Make the socket for one address, as aiohttp's ``socket_factory``.

        :raises EgressDenied: if the address is denied; the text names the option.
        """
        family, kind, proto, _, sockaddr = addr_info
        option = self.refuses(sockaddr[0])
        if option:
            raise EgressDenied(f"{DENIED} {option}")
        return socket.socket(family, kind, proto)


DENIED: Final = "the address is in a network of"


def _in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _forms(address: Address) -> list[Address]:
    """Return *address* and the addresses that a connection to it may really reach."""
    forms: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        forms.extend(_embedded(address))
    if any(form.is_unspecified for form in forms):
        # The kernel connects the unspecified address to this host.
        forms.extend([ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1")])
    return forms


def _embedded(address: ipaddress.IPv6Address) -> Iterator[ipaddress.IPv4Address]:
    """Yield the IPv4 addresses that a gateway may unwrap from *address*."""
    bits = int(address)
    for known in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())):
        if known is not None:
            yield known
    if any(address in network for network in IPV4_AT_THE_END):
        yield ipaddress.IPv4Address(bits & IPV4_BITS)
    if (bits >> 32) & IPV4_BITS & ~UNIVERSAL_BIT == ISATAP:
        yield ipaddress.IPv4Address(bits & IPV4_BITS)
    if address in LOCAL_NAT64:
        for prefix, before, behind in SPLITS:
            high = (bits >> (128 - prefix - before)) & ((1 << before) - 1)
            low = (bits >> (128 - GAP_END - behind)) & ((1 << behind) - 1)
            yield ipaddress.IPv4Address(high << behind | low)


VERIFY_OPTION = "aodh-alarm-ssl-verify"


class TlsContexts:
    """The two TLS contexts that an action can ask for: with and without verification of the server.

    :raises InvalidOption: if the CA bundle, the certificate or its key cannot be read.
    """

    def __init__(self, options: TlsOptions) -> None:
        self._verify = options.verify
        self._verifying = _verifying(options)
        self._trusting = ssl.create_default_context()
        self._trusting.check_hostname = False
        self._trusting.verify_mode = ssl.CERT_NONE
        if options.certificate:
            for context in (self._verifying, self._trusting):
                _load_certificate(context, options)

    def for_query(self, query: str) -> ssl.SSLContext:
        """Return the context that the query of an action asks for.

        :raises DeliveryError: ``bad_action``, permanent, if ``aodh-alarm-ssl-verify`` is not a number.
        """
        asked = urllib.parse.parse_qs(query).get(VERIFY_OPTION)
        if not asked:
            return self._verifying if self._verify else self._trusting
        try:
            return self._verifying if int(asked[-1]) else self._trusting
        except ValueError as exc:
            raise DeliveryError("bad_action", f"{VERIFY_OPTION} must be 0 or 1", permanent=True) from exc


def _verifying(options: TlsOptions) -> ssl.SSLContext:
    bundle = options.ca_bundle
    try:
        if not bundle:
            return ssl.create_default_context()
        if os.path.isdir(bundle):
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except (OSError, ValueError) as exc:
        raise InvalidOption(
            "rest_notifier_ca_bundle_certificate_path", f"{bundle}: {exc}", "name a readable PEM bundle"
        ) from exc


def _load_certificate(context: ssl.SSLContext, options: TlsOptions) -> None:
    try:
        context.load_cert_chain(options.certificate, options.key or None)
    except (OSError, ValueError) as exc:
        raise InvalidOption(
            "rest_notifier_certificate_file, rest_notifier_certificate_key",
            f"{options.certificate}: {exc}",
            "name a readable PEM certificate and its key",
        ) from exc
