"""What an open dashboard costs the data plane, which is the workers: two witnesses, at a steady rate of requests.

account   a real Chromium has the overview and the log of requests open, and each worker accounts the CPU time of all that
          is done for them (`bench.attending`)
compared  CPU time of the workers in windows of some seconds, while both feeds are watched and while they are not, in turn: of
          each window with watchers what it took more than the mean of the two around it, and the median of these, with an
          interval for it by bootstrap. It has in it what an account cannot see: the loop between the steps, caches, the GIL
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final
from urllib.request import urlopen

from msgspec import Struct

from bench import dashboard, peers
from bench.attending import read
from bench.dashboard import ARGUMENTS, FEEDS, PAGES, SETTINGS, Instance, program
from bench.machine import cpu_ns, tree
from bench.peers import KEY, running, wait_for_ready, wait_until, workdir
from bench.store import Figure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

    from bench.machine import Cores
    from bench.peers import Upstream

SLICES: Final = 60
"""Parts of the time with a browser, by which an account has an interval."""
RESAMPLED: Final = 10_000
SURE: Final = 0.95


class Plan(Struct, frozen=True):
    """How much of everything."""

    rate: float = 500.0
    """Requests a second."""
    workers: int = 2
    minutes: float = 5.0
    """That a browser has both pages open."""
    rounds: int = 120
    """Windows with watchers; there is one more without."""
    window: float = 2.0
    """Seconds: a whole number of them, as a feed asks once a second."""
    settle: float = 1.2
    """Seconds between two windows: until a feed has ended, or told what it begins with."""


QUICK: Final = Plan(rate=100.0, minutes=0.01, rounds=1, window=0.4, settle=0.1)


class Workers(Struct, frozen=True):
    """Of one instance: each has an account in this folder."""

    folder: Path
    pids: list[int]

    def spent(self) -> int:
        """Nanoseconds of CPU, for whatever."""
        return cpu_ns(self.pids)

    def accounted(self) -> int:
        """Of these, for who watches."""
        return sum(read(self.folder / str(pid))[0] for pid in self.pids)


def measure(
    plan: Plan, upstream: Upstream, cores: Cores, say: Callable[[str], None]
) -> list[Figure]:
    """All figures. Those of an account are missing where there is no browser."""
    figures: list[Figure] = []
    with _instance(plan, upstream, cores) as (instance, workers):
        load = dashboard.Plan(rate=plan.rate)
        say(f"dashboard-cost: both pages in a browser, {plan.rate:g} requests a second")
        if program() is not None:
            with dashboard.load(load, instance, cores, plan.minutes * 60 + 60):
                figures += _accounted(plan, instance, workers)
        say(f"dashboard-cost: {plan.rounds} windows with watchers, and those between")
        seconds = (2 * plan.rounds + 1) * (plan.window + plan.settle)
        with dashboard.load(load, instance, cores, seconds * 1.2 + 30):
            figures += _compared(plan, instance, workers)
    return figures


@contextmanager
def _instance(plan: Plan, upstream: Upstream, cores: Cores) -> Iterator[tuple[Instance, Workers]]:
    port, admin = peers.free_port(), peers.free_port()
    with workdir() as folder:
        accounts, file = folder / "accounts", folder / "headrace.yaml"
        accounts.mkdir()
        file.write_text(
            SETTINGS.format(
                port=port,
                admin=admin,
                workers=plan.workers,
                folder=folder,
                upstream=f"http://{upstream.host}:{upstream.port}",
                model=dashboard.MODEL,
                key=KEY,
            )
        )
        words = [sys.executable, "-m", "bench.attending", str(accounts), "serve"]
        with running([*words, "--config", str(file)], folder, cores.measured) as process:
            wait_for_ready(port, process, folder)
            # One is enough to be ready; each has an account once it is let in.
            wait_until(
                lambda: len(_attended(process.pid, accounts)) == plan.workers, process, folder
            )
            pids = _attended(process.pid, accounts)
            yield Instance(process.pid, port, admin), Workers(accounts, pids)


def _attended(pid: int, accounts: Path) -> list[int]:
    """The workers that have an account."""
    return [one for one in tree(pid) if (accounts / str(one)).exists()]


def _accounted(plan: Plan, instance: Instance, workers: Workers) -> list[Figure]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=ARGUMENTS)
        base = f"http://127.0.0.1:{instance.admin}"
        context = browser.new_context(base_url=base, viewport={"width": 1280, "height": 960})
        pages = [context.new_page() for _ in PAGES]
        for page, path in zip(pages, PAGES.values(), strict=True):
            page.goto(path)
            page.get_by_text("Live", exact=True).wait_for()
        pages[0].wait_for_timeout(1000 * min(plan.minutes * 60, 5.0))  # until both are drawn
        asked = _requests(instance)
        begun, spent, accounted = time.perf_counter(), workers.spent(), workers.accounted()
        shares = [_share(pages[0], workers, plan.minutes * 60 / SLICES) for _ in range(SLICES)]
        accounted, spent = workers.accounted() - accounted, workers.spent() - spent
        seconds = time.perf_counter() - begun
        asked = _requests(instance) - asked
        browser.close()
    share, milliseconds = 100 * accounted / (spent - accounted), accounted / seconds / 1e6
    low, high = interval(shares)
    return [
        Figure("dashboard_account_rate", "requests", asked / seconds, "a second"),
        Figure("dashboard_account_workers", "workers, with both pages open", spent / seconds / 1e7, "% of a core"),
        Figure("dashboard_account_spent", "of that for the pages, by account", milliseconds, "ms a second"),
        Figure("dashboard_account_share", "more than without, by account", share, "%"),
        Figure("dashboard_account_low", "the median of 60 parts of the time: 95 % interval, from", low, "%"),
        Figure("dashboard_account_high", "to", high, "%"),
    ]  # fmt: skip


def _share(page: Page, workers: Workers, seconds: float) -> float:
    """What is taken for the pages, of what is taken for all else meanwhile, in percent."""
    spent, accounted = workers.spent(), workers.accounted()
    page.wait_for_timeout(seconds * 1000)
    accounted = workers.accounted() - accounted
    return 100 * accounted / max(workers.spent() - spent - accounted, 1)


def _requests(instance: Instance) -> float:
    """That are over, since it began: a busy machine asks fewer than it should."""
    with urlopen(f"http://127.0.0.1:{instance.port}/metrics", timeout=20) as page:
        lines: list[str] = page.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("headrace_requests_total{")
    )


def _compared(plan: Plan, instance: Instance, workers: Workers) -> list[Figure]:
    asked, begun = _requests(instance), time.perf_counter()
    nobody, somebody = _windows(plan, instance, workers)
    asked, seconds = _requests(instance) - asked, time.perf_counter() - begun
    base = statistics.median(nobody)
    more = [
        100 * (one - (before + after) / 2) / base
        for before, one, after in zip(nobody, somebody, nobody[1:], strict=False)
    ]
    low, high = interval(more)
    watched = f"both feeds watched, {len(more)} windows: median"
    return [
        Figure("dashboard_compared_rate", "requests", asked / seconds, "a second"),
        Figure("dashboard_compared_workers", "workers, nobody watches", base * 100, "% of a core"),
        Figure("dashboard_compared_share", f"more with {watched}", statistics.median(more), "%"),
        Figure("dashboard_compared_low", "95 % interval of it, from", low, "%"),
        Figure("dashboard_compared_high", "to", high, "%"),
    ]


def _windows(plan: Plan, instance: Instance, workers: Workers) -> tuple[list[float], list[float]]:
    """Share of a core of all workers, in each window without and with watchers: nobody, somebody, nobody, …, nobody."""
    nobody: list[float] = []
    somebody: list[float] = []
    for _ in range(plan.rounds):
        nobody.append(_window(plan, workers))
        with ExitStack() as stack:
            for path in FEEDS:
                stack.enter_context(dashboard.watched(instance, path))
            somebody.append(_window(plan, workers))
    nobody.append(_window(plan, workers))
    return nobody, somebody


def _window(plan: Plan, workers: Workers) -> float:
    time.sleep(plan.settle)
    begun, before = time.perf_counter_ns(), workers.spent()
    time.sleep(plan.window)
    return (workers.spent() - before) / (time.perf_counter_ns() - begun)


def interval(
    values: Sequence[float], seed: int = 1, resampled: int = RESAMPLED
) -> tuple[float, float]:
    """Of the median, with 95 % confidence: percentiles of medians of as many, drawn with replacement (Efron 1979)."""
    chance = random.Random(seed)
    medians = sorted(
        statistics.median(chance.choices(values, k=len(values))) for _ in range(resampled)
    )
    edge = round((1 - SURE) / 2 * resampled)
    return medians[edge], medians[-edge - 1]
