"""Name resolution that hands out vetted addresses only, and sockets for no others.

The check runs on the addresses a connection will really use, so a name that resolved to a public address when it
was configured and to a private one now (DNS rebinding) is refused at connect. A literal address is resolved by
nobody: `vet` sees it all the same, as the last step before a connection (`Connector`).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from functools import lru_cache

from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.core.address import Place, place_of
from proxy.upstream.names import Names

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

AddressInfo = tuple[
    int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]
]
"""As `socket.getaddrinfo` gives it."""


@lru_cache(4096)  # each new connection asks, and the addresses are few
def is_allowed(address: str, *, allow_private: bool) -> bool:
    """Whether a connection to this IP address may be opened; metadata services never."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    place = place_of(parsed)
    if place is Place.PRIVATE:
        return allow_private and not (parsed.is_multicast or parsed.is_unspecified)
    return place is Place.PUBLIC


class VettingResolver(AbstractResolver):
    """Names as the system resolves them, less the addresses that are not allowed."""

    def __init__(self, *, allow_private: bool, names: Names | None = None) -> None:
        self._names = names or Names()
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises OSError, TimeoutError."""
        found = await self._names.look_up(host)
        vetted = [
            ResolveResult(
                hostname=host, host=address, port=port, family=kind, proto=0, flags=_NUMERIC
            )
            for kind, address in found
            if family in (socket.AF_UNSPEC, kind)
            and is_allowed(address, allow_private=self._allow_private)
        ]
        if not vetted:
            raise OSError(None, "no address of this name may be connected to")
        return vetted

    async def close(self) -> None:
        """Nothing is held."""


def vet(address: str, *, allow_private: bool) -> None:
    """Raises OSError for one that may not be connected to."""
    if not is_allowed(address, allow_private=allow_private):
        raise OSError(None, "this address may not be connected to")


def sockets(*, allow_private: bool) -> Callable[[AddressInfo], socket.socket]:
    """What makes a socket for an address that may be connected to; else it raises OSError."""

    def made(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        vet(str(address[0]), allow_private=allow_private)
        return socket.socket(family, kind, protocol)

    return made
