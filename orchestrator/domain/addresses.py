"""
Which addresses may be called on behalf of somebody who only named a URL.

Those of the public internet, and those of networks that an operator allows: nobody
shall reach through us what they can not reach themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: NAT64: a gateway sends on what comes there to the IPv4 address in its last 32 bits.
#: The second is for networks of one's own.
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_IPV4 = 0xFFFF_FFFF


def parse_networks(text: str) -> tuple[Network, ...]:
    """
    Read networks, with commas, as ``10.0.0.0/8,fd00::/8``.

    Raises:
        ValueError: One is malformed; the message names it.
    """
    parts = [part.strip() for part in text.split(",")]
    return tuple(ip_network(part) for part in parts if part)


def may_be_called(address: str, *, allowed: Sequence[Network]) -> bool:
    """
    Whether an IP address is of the public internet, or of a network that is *allowed*.

    What leads to another address, as IPv6 for IPv4 does, must lead to one that is.
    """
    # A scope, as in fe80::1%eth0, is of this machine's own.
    if "%" in address:
        return False
    return all(_may(each, allowed) for each in _leads_to(ip_address(address)))


def _may(address: Address, allowed: Sequence[Network]) -> bool:
    if any(address in network for network in allowed):
        return True
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _leads_to(address: Address) -> Iterator[Address]:
    if isinstance(address, IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address in _NAT64[0] or address in _NAT64[1]:
        yield IPv4Address(int(address) & _IPV4)
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo
    else:
        yield address
