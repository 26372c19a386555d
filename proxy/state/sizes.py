"""How long a deployment takes to its first content, by how much it has to read before: a long prompt takes longer.

Kept apart in a few classes of size, in bytes of the request's body, so that what is unusual for a short prompt is not
what is usual for a long one.
"""

from __future__ import annotations

from bisect import bisect_left

from proxy.state.health import Latency

EDGES = (4 * 1024, 32 * 1024, 256 * 1024)
"""The largest body of each class but the last."""


class BySize:
    """The figures of one deployment. What has not been seen is not kept."""

    __slots__ = ("_classes",)

    def __init__(self) -> None:
        self._classes: list[Latency | None] = [None] * (len(EDGES) + 1)

    def observe(self, now: float, size: int, seconds: float) -> None:
        """A request of `size` bytes had its first content, or none yet, after `seconds`."""
        at = bisect_left(EDGES, size)
        found = self._classes[at]
        if found is None:
            found = self._classes[at] = Latency()
        found.observe(now, seconds)

    def p95(self, size: int) -> float | None:
        """Of requests of this class; where little is known of it, of the next larger that is. None: of none."""
        for found in self._classes[bisect_left(EDGES, size) :]:
            p95 = None if found is None else found.p95
            if p95 is not None:
                return p95
        return None

    def p50(self, size: int) -> float | None:
        """The same for the median."""
        for found in self._classes[bisect_left(EDGES, size) :]:
            p50 = None if found is None else found.p50
            if p50 is not None:
                return p50
        return None
