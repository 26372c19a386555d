"""What one worker holds: the configuration it works by, and everything that changes while it works."""

from __future__ import annotations

import random
from time import monotonic

from proxy.core.metrics import Metrics
from proxy.core.model import Snapshot
from proxy.state.live import Live


class State:
    """One a worker. `snapshot` is swapped whole; a running request keeps the one it began with."""

    __slots__ = ("_alerted", "draining", "live", "metrics", "rng", "snapshot", "started")

    def __init__(self, snapshot: Snapshot, live: Live, metrics: Metrics) -> None:
        self.snapshot = snapshot
        self.live = live
        self.metrics = metrics
        self.rng = random.Random()
        self.started = monotonic()
        self.draining = False
        self._alerted: set[str] = set()

    def use(self, snapshot: Snapshot) -> None:
        """Serve new requests from `snapshot`; what was said of the old one may be said again."""
        self.snapshot = snapshot
        self.live.swap(snapshot)
        self._alerted.clear()

    def alert(self, what: str) -> bool:
        """Whether `what` is news: True once for each snapshot."""
        if what in self._alerted:
            return False
        self._alerted.add(what)
        return True
