"""What a scrape of a whole instance takes, and what it costs workers to be on its page.

Workers are processes of their own, each with an event loop and every family filled that has the label `target`. Between two
copies of one worker everything changes: counters, gauges, and a bucket of each histogram.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import statistics
from contextlib import ExitStack, closing
from random import Random
from time import perf_counter, process_time, sleep
from typing import TYPE_CHECKING

import uvloop
from msgspec import Struct

from bench.store import Figure
from proxy.control.exposition import render
from proxy.control.instance import Instance
from proxy.control.publishing import pause
from proxy.core.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.series import Reading, Registry


class Plan(Struct, frozen=True):
    """How much of it."""

    workers: int = 8
    deployments: int = 1000
    scrapes: int = 15
    rounds: int = 20
    """Copies that one worker makes while nothing else runs."""


QUICK = Plan(workers=2, deployments=50, scrapes=3, rounds=3)
KINDS = "requests", "tokens"


class Filled:
    """The registry of a worker that serves so many deployments."""

    def __init__(self, deployments: int, worker: str) -> None:
        self.metrics = Metrics(worker)
        self._random = Random(worker)
        self._turn = 0
        self.targets = [f"model-{n // 10}/{n % 10}:provider-{n % 40}" for n in range(deployments)]
        models = [target.partition("/")[0] for target in self.targets]
        providers = [target.rpartition(":")[2] for target in self.targets]
        self.metrics.allow(models, providers, self.targets)
        metrics, random = self.metrics, self._random

        metrics.target_inflight.watch(lambda: self._read(0, 1, 2, 7))
        metrics.target_health.watch(lambda: self._read(1.0, 0.5))
        metrics.circuit_state.watch(lambda: self._read(0, 2))
        metrics.circuit_opened.watch(lambda: self._read(3, 4))
        metrics.quota_reset.watch(lambda: self._read(1_800_000_000.0))
        metrics.quota_used.watch(self._quotas)
        for target, model, provider in zip(self.targets, models, providers, strict=True):
            attempts = metrics.attempts(model, target, provider)
            for outcome, reason in (("ok", ""), ("switch", "http_5xx"), ("retry", "http_429")):
                attempts.count(outcome, reason)
            for _ in range(20):
                attempts.ttft.observe(random.expovariate(1.0))
            for outcome in ("ok", "failed"):
                metrics.health_checks.child(target, outcome).inc()

    def _read(self, *values: float) -> list[Reading]:
        self._turn += 1
        value = values[self._turn % len(values)]
        return [((target,), value) for target in self.targets]

    def _quotas(self) -> list[Reading]:
        used = self._random.random()
        return [((target, kind), used) for target in self.targets for kind in KINDS]

    @property
    def registry(self) -> Registry:
        """All of it."""
        return self.metrics.registry

    def change(self) -> None:
        """Everything that is not read anew is another number."""
        for child in self.metrics.upstream_ttft.children().values():
            child.observe(self._random.random())
        for counter in self.metrics.upstream_attempts.children().values():
            counter.inc()


def _serve(instance: Instance, name: str, plan: Plan) -> None:
    """In a process of its own, until killed."""
    filled = Filled(plan.deployments, name)

    async def main() -> None:
        seat = instance.seat(name, filled.registry)
        seat.publish()
        gc.collect()
        gc.freeze()
        await seat.keep()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def measure(plan: Plan, say: Callable[[str], None]) -> list[Figure]:
    """All figures."""
    say(f"scrape: {plan.workers} workers, {plan.deployments} deployments")
    return [*_alone(plan), *_together(plan)]


def _alone(plan: Plan) -> list[Figure]:
    """One process: what a copy costs it, and in which slices."""
    with closing(Instance(["0"], 1)) as instance:
        filled = Filled(plan.deployments, "0")
        seat = instance.seat("0", filled.registry)
        seat.publish()
        gc.collect()
        gc.freeze()
        costs: list[float] = []
        slices: list[float] = []
        page = b""
        for _ in range(plan.rounds):
            filled.change()
            begun = last = process_time()
            for _ in seat.slices():
                moment = process_time()
                slices.append(moment - last)
                last = moment
            costs.append(process_time() - begun)
        pages: list[float] = []
        for _ in range(3):
            begun = process_time()
            page = render(filled.registry.snapshot())
            pages.append(process_time() - begun)
        gc.unfreeze()
    cost = statistics.median(costs)
    return [
        Figure("scrape_series", "lines of a page", page.count(b"\n"), ""),
        Figure("scrape_copy", "one copy of a worker's numbers", cost * 1e3, "ms of CPU"),
        Figure("scrape_slice", "its longest slice", max(slices) * 1e3, "ms of CPU"),
        Figure("scrape_share", "of a worker's time, unasked", cost / pause(cost) * 100, "%"),
        Figure("scrape_own", "page of one worker alone, as before", min(pages) * 1e3, "ms of CPU"),
    ]


def _together(plan: Plan) -> list[Figure]:
    names = [str(n) for n in range(plan.workers)]
    with ExitStack() as stack:
        instance = stack.enter_context(closing(Instance(names, plan.workers)))
        for name in names:
            child = os.fork()
            if not child:
                try:
                    _serve(instance, name, plan)
                finally:
                    os._exit(1)
            stack.callback(os.waitpid, child, 0)
            stack.callback(os.kill, child, signal.SIGKILL)
        while instance.page().count(b"headrace_worker_up{") < plan.workers:
            sleep(0.01)
        times: list[float] = []
        costs: list[float] = []
        page = b""
        for _ in range(plan.scrapes):
            begun, spent = perf_counter(), process_time()
            page = instance.page()
            costs.append(process_time() - spent)
            times.append(perf_counter() - begun)
    return [
        Figure("scrape_page_cpu", "page of all, supervisor", statistics.median(costs) * 1e3, "ms of CPU"),
        Figure("scrape_page", "page of all, until it is there", statistics.median(times) * 1e3, "ms"),
        Figure("scrape_bytes", "bytes of it", len(page) / 1e6, "MB"),
    ]  # fmt: skip
