"""What one worker holds: the configuration it works by, and everything that changes while it works."""

from __future__ import annotations

import random
from time import monotonic

from proxy.core.metrics import Metrics
from proxy.core.model import Snapshot
from proxy.state.live import Live


class State:
    """One a worker. `snapshot` is swapped whole; a running request keeps the one it began with."""

    __slots__ = ("draining", "live", "metrics", "rng", "snapshot", "started")

    def __init__(self, snapshot: Snapshot, live: Live, metrics: Metrics) -> None:
        self.snapshot = snapshot
        self.live = live
        self.metrics = metrics
        self.rng = random.Random()
        self.started = monotonic()
        self.draining = False
