"""Metrics of the processes that stand beside the workers: the supervisor, and the one that ships records.

They are on one page with those of the workers (`core.metrics`), so names and labels follow the same rules.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from proxy.core.process import watch_process
from proxy.core.series import Counter, Gauge, Histogram, Registry, Rule

SUPERVISOR = "supervisor"
REASONS = "told", "exit", "crash", "watchdog"
"""Why a process ended: it was told to, it left by itself, it failed or was killed, or gave no sign of life."""
BATCH = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Supervision:
    """What the supervisor counts."""

    def __init__(self, workers: int, processes: Iterable[str] = ()) -> None:
        """`workers`: how many there should be. `processes`: labels of those that may end: `worker-0`, `shipper`."""
        registry = self.registry = Registry()
        registry.gauge("headrace_workers", "Workers there should be.", rule=Rule.MAX).child().set(
            workers
        )
        self.ends = registry.counter(
            "headrace_process_ends_total",
            "Processes that ended, and why.",
            ("process", "reason"),
            cap=1024,
        )
        # There before the first of them, or nobody could see that it is one more.
        for process in processes:
            for reason in REASONS:
                self.ends.child(process, reason)
        self.page = registry.histogram(
            "headrace_metrics_page_seconds",
            "Time in which a page of metrics was made, without the waiting for processes to answer.",
            BATCH,
        ).child()
        self.stale = registry.counter(
            "headrace_metrics_stale_total",
            "Pages on which a process is as it was some seconds ago, because it did not answer in time.",
            ("process",),
            cap=512,
        )
        watch_process(registry, SUPERVISOR)


class Booked(Struct, frozen=True):
    """What is counted of one spool on its way to the database."""

    batches: Counter
    failures: Counter
    seconds: Histogram
    dead_letters: Counter
    damaged: Gauge
    backlog: Gauge


class Shipping:
    """What the process counts that brings records to the database."""

    def __init__(self, name: str = "shipper") -> None:
        registry = self.registry = Registry()
        spool = ("spool",)
        self.up = registry.gauge(
            "headrace_ledger_up",
            "1 while the database takes records, 0 while it does not.",
            rule=Rule.MIN,
        )
        self.requests = registry.counter(
            "headrace_ledger_requests_total",
            "Requests that are booked, or were already when they came again.",
            ("state",),
            cap=4,
        )
        self.behind = registry.gauge(
            "headrace_ledger_behind_seconds",
            "Age of the oldest record that is being booked; 0 when there is none.",
            spool,
            rule=Rule.MAX,
        )
        self._batches = registry.counter(
            "headrace_ledger_batches_total",
            "Transactions with records, and what came of them.",
            ("spool", "outcome"),
            cap=8,
        )
        self._seconds = registry.histogram(
            "headrace_ledger_batch_seconds", "How long the database took for one.", BATCH, spool
        )
        self._dead_letters = registry.counter(
            "headrace_dead_letters_total", "Records that no database takes, put aside.", spool
        )
        self._damaged = registry.gauge(
            "headrace_spool_damaged",
            "Places in the spool at which bytes were no records, since the start.",
            spool,
        )
        self._backlog = registry.gauge(
            "headrace_spool_backlog_bytes",
            "Bytes in the spool that the database does not have yet, about.",
            spool,
        )
        watch_process(registry, name)

    def of(self, spool: str) -> Booked:
        """The numbers of one spool: `requests` or `content`."""
        return Booked(
            batches=self._batches.child(spool, "booked"),
            failures=self._batches.child(spool, "failed"),
            seconds=self._seconds.child(spool),
            dead_letters=self._dead_letters.child(spool),
            damaged=self._damaged.child(spool),
            backlog=self._backlog.child(spool),
        )
