"""What one worker holds: the configuration it works by, and everything that changes while it works."""

from __future__ import annotations

import random
from time import monotonic
from typing import TYPE_CHECKING, Any

from proxy.core.metrics import Metrics
from proxy.core.model import Snapshot
from proxy.limits.accounts import Accounts
from proxy.limits.history import History
from proxy.limits.subjects import Subjects
from proxy.state.lag import Lag
from proxy.state.live import Live
from proxy.state.memory import Memory
from proxy.state.replies import Replies

if TYPE_CHECKING:
    from proxy.ledger.spool import Spool
    from proxy.limits.shared import Shares


class State:
    """One a worker. `snapshot` is swapped whole; a running request keeps the one it began with."""

    __slots__ = (
        "_alerted",
        "accounts",
        "answers",
        "contents",
        "costs",
        "draining",
        "flights",
        "homes",
        "lag",
        "lingering",
        "live",
        "memory",
        "metrics",
        "parts",
        "replies",
        "rng",
        "shadows",
        "shares",
        "snapshot",
        "spool",
        "started",
        "streams",
        "subjects",
        "tracer",
    )

    def __init__(self, snapshot: Snapshot, live: Live, metrics: Metrics) -> None:
        self.snapshot = snapshot
        self.live = live
        self.metrics = metrics
        self.rng = random.Random()
        self.started = monotonic()
        self.draining = False
        self.accounts: Accounts | None = None
        """What all workers of the host have taken together; None: nothing is limited."""
        self.shares: Shares | None = None
        """Where more of a limit can be had that several hosts hold together; None: it is this host's alone."""
        self.answers = History()
        """Tokens of answers, and micro-dollars of whole requests, by the id of the key (empty: none) and the configured
        name of the model asked for: so that estimates need not be as large as what a client allows."""
        self.costs = History()
        self.subjects = Subjects()
        self.spool: Spool | None = None
        """Where requests are recorded; None: nowhere."""
        self.parts: dict[Any, Any] = {}
        """What has been encoded for records of the ledger (`gateway.booking`), while deployments are as they are."""
        self.contents: Spool | None = None
        """Where what was asked and answered is kept, as long as there is room."""
        self.streams: set[Any] = set()
        """Streams under way that are recorded (`gateway.meter.Meter`)."""
        self.lingering: set[Any] = set()
        """Answers that are read though nobody waits for them (`gateway.lingering.Lingering`)."""
        self.lag = Lag()
        """How far behind the event loop is."""
        self.memory = Memory(self.rng, lambda: metrics.shed.child("memory").inc())
        """How short of memory this process is."""
        self.replies = Replies()
        """Answers that may be given again."""
        self.shadows = 0
        """Requests that are being sent a second time, for comparison."""
        self.flights: dict[bytes, Any] = {}
        """Answers on their way that others may join (`gateway.reuse.flight.Flight`), by what is asked."""
        self.homes: dict[str, tuple[str, str]] = {}
        """Ids of what providers keep to the provider and the credential that have it (`gateway.homes`)."""
        self.tracer: Any = None
        """Who begins traces (`gateway.tracing.Tracer`); None: nobody does."""
        self._alerted: set[str] = set()

    def use(self, snapshot: Snapshot) -> bool:
        """Serve new requests from `snapshot`; whether more than its virtual keys is new.

        Keys may change several times a second: what was worked out and said of all else then stays as it is.
        """
        same = self.live.snapshot is self.snapshot and _same_targets(self.snapshot, snapshot)
        self.snapshot = snapshot
        if same:
            self.live.snapshot = snapshot
            return False
        self.live.swap(snapshot)
        self._alerted.clear()
        self.parts.clear()
        return True

    def alert(self, what: str) -> bool:
        """Whether `what` is news: True once for each snapshot."""
        if what in self._alerted:
            return False
        self._alerted.add(what)
        return True


def _same_targets(one: Snapshot, other: Snapshot) -> bool:
    """Compiled tables that nothing has changed are the same objects."""
    return (
        one.models is other.models
        and one.providers is other.providers
        and one.wildcards is other.wildcards
        and one.mcp is other.mcp
        and one.health == other.health
    )
