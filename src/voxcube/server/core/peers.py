"""Who is at the other end of a connection, as far as addresses tell."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# A household or a host has a whole network of this size, and may take another address for each connection.
IPV6_PREFIX = 64
_LONGEST = 64  # characters of what is no address: a proxy may have passed on what a client made up


def address(text: str) -> Address | None:
    """The IP address in `text`, one of IPv4 mapped into IPv6 as itself; None when there is none."""
    try:
        found = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def is_loopback(text: str) -> bool:
    """Whether the peer is on this machine."""
    found = address(text)
    return found is not None and found.is_loopback


def is_in(text: str, networks: Sequence[Network]) -> bool:
    """Whether the peer is in one of the networks."""
    found = address(text)
    return found is not None and any(found in network for network in networks)


def client_behind(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """The client's address, where `peer` is who has connected and `forwarded` its X-Forwarded-For.

    Each proxy appends whom it has seen, and a client can write anything before that: only what trusted proxies have
    appended is believed, from the end on.
    """
    if not is_in(peer, trusted):
        return peer
    for hop in reversed(forwarded.split(",")):
        if address(hop) is None:
            break
        peer = hop.strip()
        if not is_in(peer, trusted):
            break
    return peer


def counted_as(text: str) -> str:
    """What connections are counted under: the IPv4 address, or the IPv6 network a single customer has."""
    found = address(text)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, IPV6_PREFIX), strict=False))
    return str(found) if found is not None else text[:_LONGEST]
