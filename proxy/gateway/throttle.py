"""How often one address may present a wrong key before it is told to wait.

Each failure costs three seconds of an allowance of sixty (the generic cell rate algorithm): twenty at once, then
twenty a minute. Only failures are counted and only failures are answered otherwise, so a good key is served whoever
else shares its address. Time is passed in, as monotonic seconds.
"""

from __future__ import annotations

from proxy.core.address import network_of

BURST = 20
INTERVAL = 3.0
"""Seconds until one more failure is free again: 20 a minute."""
ADDRESSES = 10_000
"""Remembered at most; the ones that failed longest ago are forgotten first. About 2 MB."""


class Throttle:
    """One for each worker: so with several of them an address has as many allowances."""

    __slots__ = ("_free_at",)

    def __init__(self) -> None:
        self._free_at: dict[str, float] = {}
        """Network to when its allowance is whole again; in the order of the last failure."""

    def failed(self, address: str, now: float) -> float:
        """One more failure from `address`: the seconds it is to wait, 0.0 while it is within its allowance."""
        network = network_of(address)
        free_at = max(self._free_at.pop(network, now), now)
        wait = free_at + INTERVAL - now - BURST * INTERVAL
        if wait <= 0.0:
            free_at += INTERVAL
        self._free_at[network] = free_at
        if len(self._free_at) > ADDRESSES:
            del self._free_at[next(iter(self._free_at))]
        return max(0.0, wait)

    def __len__(self) -> int:
        return len(self._free_at)
