"""What kind of place an IP address is, may a gateway connect to it on somebody's behalf; and whom it stands for."""

from __future__ import annotations

import ipaddress
from enum import Enum

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "fe80::/10",
        "fd00:ec2::/32",
        "fd20:ce::254/128",
    )
)
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.88.99.0/24",  # relays of 6to4
        "3fff::/20",  # documentation
    )
)
"""What `is_global` of some releases of Python takes for public."""
_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All there is of the public internet: site-local, translated and reserved addresses are outside."""
_CARRIERS = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "64:ff9b::/96",  # NAT64
        "::ffff:0:0:0/96",  # SIIT
    )
)
_ISATAP = (0x00005EFE, 0x02005EFE)


class Place(Enum):
    """What kind of host it is."""

    PUBLIC = "a public address"
    NAME = "a name"
    PRIVATE = "a private or local address"
    METADATA = "a metadata or link-local address"


def place_of(address: Address) -> Place:
    """Where a connection to `address` would end, embedded IPv4 addresses included."""
    inner = _embedded(address) if isinstance(address, ipaddress.IPv6Address) else None
    if inner is not None:
        return place_of(inner)
    if any(address in network for network in _METADATA_NETWORKS):
        return Place.METADATA
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return Place.PRIVATE
    if any(address in network for network in _NOT_PUBLIC):
        return Place.PRIVATE
    return Place.PUBLIC if address.is_global and not address.is_multicast else Place.PRIVATE


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address a connection would end at: mapped, 6to4, NAT64, SIIT, ISATAP or the old compatible form."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    number = int(address)
    low = number & 0xFFFFFFFF
    if (
        any(address in network for network in _CARRIERS)
        or (number >> 32) & 0xFFFFFFFF in _ISATAP
        or (number >> 32 == 0 and low > 1)
    ):
        return ipaddress.IPv4Address(low)
    return None


def network_of(address: str) -> str:
    """Whom an address stands for: itself, or of IPv6 the /64 that one subscriber has. What is no address is itself."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.packed[:8].hex()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`, or be a peer of this address."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host.casefold() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
