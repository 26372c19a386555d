"""Who asks: one resolver for every place a client may put its key."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from proxy.core.clock import now
from proxy.core.errors import ProxyError
from proxy.core.model import Snapshot, VirtualKey
from proxy.core.virtual_key import digest
from proxy.wire.websocket import key_of

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

    from proxy.gateway.endpoints import Endpoint

RETRY_AFTER = 2.0
"""Seconds until a worker that has not read its store has tried that once more."""

_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")
_QUERY = ("key", "api_key")


def presented(headers: CIMultiDictProxy[str], query: str) -> str | None:
    """The key a request carries, wherever it is; None when it carries none.

    A place with nothing in it holds none: some programs send the header of a variable that is set to nothing, too.

    Raises ProxyError no_auth when two places hold different keys, or a header is repeated: nobody may guess which
    one was meant.
    """
    found: set[str] = set()
    for value in headers.getall("authorization", ()):
        scheme, _, token = value.partition(" ")
        if scheme and scheme.lower() != "bearer":
            raise ProxyError("no_auth")
        found.add(token.strip())
    for name in _HEADERS:
        if name in headers:
            found.update(headers.getall(name))
    if query and "key=" in query:
        found.update(value for name, value in parse_qsl(query) if name in _QUERY)
    found.discard("")
    if len(found) > 1:
        raise ProxyError(
            "no_auth", "Two different API keys were given. Send one.", code="conflicting_keys"
        )
    if not found and "sec-websocket-protocol" in headers:
        return key_of(headers.getall("sec-websocket-protocol"))
    return found.pop() if found else None


def authenticate(
    headers: CIMultiDictProxy[str], query: str, snapshot: Snapshot
) -> VirtualKey | None:
    """The virtual key of a request; None when none is required and none was given.

    Every key that is not known costs the same work, whatever it looks like: nothing about it is checked but its digest.

    Raises ProxyError: no_auth (none, unknown, two different), no_state (nobody knows yet), forbid (disabled or expired:
    only a caller who knows the key is told so).
    """
    token = presented(headers, query)
    key = None
    if token:
        for pepper in snapshot.peppers:
            key = snapshot.keys.get(digest(token, pepper))
            if key is not None:
                break
    if key is None:
        # Without required keys, SDKs still send a placeholder: it opens nothing and harms nothing.
        if not snapshot.require_auth:
            return None
        # As long as the store was never read the key may be one of its keys; and where none is known, none given may
        # be right. A 401 would make clients give up for good.
        if not snapshot.complete and (token or not snapshot.keys):
            raise ProxyError("no_state", retry_after=RETRY_AFTER)
        raise ProxyError("no_auth")
    if not key.enabled:
        raise ProxyError("forbid", "This API key is disabled.", code="key_disabled")
    if key.expires is not None and key.expires <= now():
        raise ProxyError("forbid", "This API key has expired.", code="key_expired")
    return key


def check(key: VirtualKey, endpoint: Endpoint, peer: str | None) -> None:
    """Hold a key to the routes and networks it is for. `peer` is the address of the socket: headers can say anything.

    Raises ProxyError forbid: route_not_allowed, address_not_allowed.
    """
    if key.routes and not any(
        _matches(pattern, endpoint.route) or _matches(pattern, endpoint.operation)
        for pattern in key.routes
    ):
        raise ProxyError("forbid", "This API key may not use this route.", code="route_not_allowed")
    if key.cidrs and not _is_inside(peer or "", key.cidrs):
        raise ProxyError(
            "forbid", "This API key may not be used from this address.", code="address_not_allowed"
        )


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _is_inside(peer: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    """Whether it is an address in one of them. On a listener for both, IPv4 comes as `::ffff:192.0.2.1`."""
    try:
        address = ip_address(peer)
    except ValueError:
        return False  # a socket without an address is in no network
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)
