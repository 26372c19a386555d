"""Whose a request is that comes through balancers (`server.proxies`): what they say in `X-Forwarded-For`.

Each balancer appends the address that it was connected from. So the list is read from its end, past those that are
balancers of ours; the first that is none is the client. What stands before it the client may have made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Networks = Sequence[IPv4Network | IPv6Network]


def is_proxy(address: str | None, proxies: Networks) -> bool:
    """Whether it is one of ours."""
    found = None if address is None else _parsed(address)
    return found is not None and any(found in network for network in proxies)


def client(fields: Iterable[str], peer: str, proxies: Networks) -> str:
    """The address of the client, without a port. `fields`: the values of `X-Forwarded-For`, in order; `peer`: who sent them.

    Where the list ends among proxies, or in something that is no address, it is the last proxy that said something; where
    the peer is none (any more), it is the peer.
    """
    known = peer
    if not is_proxy(peer, proxies):
        return known
    for word in reversed(",".join(fields).split(",")):
        address = _parsed(_without_port(word.strip()))
        if address is None:
            break
        known = str(address)
        if not any(address in network for network in proxies):
            break
    return known


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        # As a listener for both kinds sees the old one.
        return found.ipv4_mapped or found
    return found


def _without_port(text: str) -> str:
    """`192.0.2.1:80` and `[2001:db8::1]:80` too, as some balancers write."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
