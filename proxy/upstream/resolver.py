"""Name resolution that hands out vetted addresses only.

The check runs on the addresses a connection will really use, so a name that resolved to a public address when it
was configured and to a private one now (DNS rebinding) is refused at connect.
"""

from __future__ import annotations

import ipaddress
import socket


from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

METADATA = frozenset(
    ipaddress.ip_address(address)
    for address in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200")
)
"""Instance metadata services: never an upstream, whatever the configuration says."""


def is_allowed(address: str, *, allow_private: bool) -> bool:
    """Whether a connection to this IP address may be opened."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped is not None:
        parsed = mapped
    if parsed in METADATA or parsed.is_multicast or parsed.is_unspecified:
        return False
    return allow_private or parsed.is_global


class VettingResolver(AbstractResolver):
    """The system's resolver, in aiohttp's threads, less the addresses that are not allowed."""

    def __init__(self, *, allow_private: bool) -> None:
        self._inner = ThreadedResolver()
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        vetted = [
            result
            for result in found
            if is_allowed(result["host"], allow_private=self._allow_private)
        ]
        if not vetted:
            raise OSError(None, "no address of this name may be connected to")
        return vetted

    async def close(self) -> None:
        await self._inner.close()
