"""More than the gateway can do: requests that arrive whether those before are answered or not, twice and ten times as many as
it takes.

What makes a request dear is a provider that speaks another format: each token of the answer is translated. So ten times as
many as one core can translate are few enough for another core to send.
"""

from __future__ import annotations

import asyncio
import gc
import os
from random import Random
from time import monotonic_ns
from typing import TYPE_CHECKING, cast

import uvloop
from msgspec import Struct
from typing_extensions import override

from bench import machine, peers
from bench.client import DONE, Client, Tally
from bench.load import Load, request_bytes
from bench.store import Figure
from bench.trials.found import Goal
from bench.trials.lines import Chart, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from bench.machine import Cores
    from bench.peers import Peer, Upstream

MODEL = "sim-n400-d0-f0-s4"
DIALECT = "anthropic.messages"
SETTLED = 3.0
"""Seconds after which it should have found out how much it can do."""
NORMAL = 0.5
"""Of the peak."""
WELL = 2.0
"""Times the usual p99 within which an answer is as it was."""


class Plan(Struct, frozen=True):
    """How long everything takes, in seconds."""

    peak: float = 5.0
    normal: float = 10.0
    over: float = 15.0
    back: float = 10.0
    times: tuple[float, ...] = (2.0, 10.0)
    seed: int = 1


QUICK = Plan(peak=0.5, normal=0.5, over=0.5, back=0.5, times=(2.0,))


class Shot(Struct, frozen=True):
    """A request: when it was due, seconds since the beginning; how long it took; and what came of it."""

    due: float
    took: float
    status: int
    """0: cut off, or no answer at all."""
    behind: float = 0.0
    """Seconds by which it was sent too late, or not on a connection yet: the load generator's own doing."""


class Shooter(Client):
    """One connection; which request is on it, and the end of what came back."""

    __slots__ = ("behind", "due", "tail")

    def __init__(
        self, tally: Tally, on_done: Callable[[Client], None], on_lost: Callable[[], None]
    ) -> None:
        super().__init__(tally, on_done, on_lost)
        self.due = self.behind = 0.0
        self.tail = b""

    @override
    def body_received(self, body: bytes) -> None:
        self.tail = (self.tail + body)[-64:]

    @property
    def status(self) -> int:
        if not self.response.complete:
            return 0
        if self.response.status == 200 and DONE not in self.tail:
            return 0
        return self.response.status


class Range:
    """Sends requests at random moments, each on a connection that is free, and keeps what came of them."""

    def __init__(self, peer: Peer, seed: int) -> None:
        self.peer = peer
        self.rng = Random(seed)
        self.request = request_bytes(
            Load(model=MODEL, port=peer.port, key=peer.key, stream=True, body_bytes=250)
        )
        self.began = monotonic_ns()
        self.shots: list[Shot] = []
        self.idle: list[Shooter] = []
        self.open: set[asyncio.Task[None]] = set()
        self.busy = 0
        self.quiet = asyncio.Event()
        """Nothing is under way."""

    @property
    def now(self) -> float:
        return (monotonic_ns() - self.began) / 1e9

    async def arrive(self, rate: float, seconds: float) -> None:
        """So many a second, by callers who know nothing of each other."""
        due, end = self.now, self.now + seconds
        while True:
            due += self.rng.expovariate(rate)
            if due >= end:
                break
            wait = due - self.now
            if wait > 0.0:
                await asyncio.sleep(wait)
            await self._send(due)
        await asyncio.sleep(max(end - self.now, 0.0))

    async def keep_busy(self, connections: int, seconds: float) -> None:
        """So many at once, the next as soon as one is over."""
        end = self.now + seconds
        while self.now < end:
            while self.busy < connections:
                await self._send(self.now)
            await asyncio.sleep(0.0005)

    async def over(self) -> None:
        """All have come back."""
        async with asyncio.timeout(60.0):
            await self.quiet.wait()
        for shooter in self.idle:
            shooter.close()

    async def _send(self, due: float) -> None:
        self.busy += 1
        self.quiet.clear()
        while self.idle:
            shooter = self.idle.pop()
            if shooter.transport is not None:
                self._shoot(shooter, due)
                return
        task = asyncio.ensure_future(self._connect(due))
        self.open.add(task)
        task.add_done_callback(self.open.discard)

    async def _connect(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, shooter = await loop.create_connection(
                lambda: Shooter(Tally(), self._done, lambda: None), self.peer.host, self.peer.port
            )
        except OSError:
            self._ended(due, 0)
        else:
            self._shoot(shooter, due)

    def _shoot(self, shooter: Shooter, due: float) -> None:
        shooter.due, shooter.behind, shooter.tail = due, self.now - due, b""
        shooter.send(self.request)

    def _done(self, client: Client) -> None:
        shooter = cast("Shooter", client)
        self._ended(shooter.due, shooter.status, shooter.behind)
        if shooter.transport is not None:
            self.idle.append(shooter)

    def _ended(self, due: float, status: int, behind: float = 0.0) -> None:
        self.shots.append(Shot(due, self.now - due - behind, status, behind))
        self.busy -= 1
        if not self.busy:
            self.quiet.set()


class Phase(Struct, frozen=True):
    """A stretch of time with one load."""

    name: str
    begin: float
    end: float
    times: float
    """Of the peak."""
    cpu: float = 1.0
    """Seconds that the gateway had a core in it, for each second: 1 is all it can use."""


def measure(
    plan: Plan, upstream: Upstream, cores: Cores, charts: Path | None, say: Callable[[str], None]
) -> list[Figure]:
    """Run it once; say which goals are held, draw the chart."""
    before = os.sched_getaffinity(0)
    machine.move(os.getpid(), cores.load)
    try:
        with peers.headrace(upstream, cores, dialect=DIALECT) as peer:
            pids = machine.tree(peer.pid) if peer.pid else []
            peak, phases, shots = uvloop.run(_run(plan, peer, lambda: machine.cpu_ns(pids) / 1e9))
    finally:
        machine.move(os.getpid(), frozenset(before))
    figures, goals = judge(peak, phases, shots)
    for goal in goals:
        sign = "<=" if goal.most else ">="
        word = "held" if goal.held else "MISSED"
        say(f"{word:7}{goal.text:66}{goal.value:9.1f} {sign} {goal.limit:.1f}")
    if charts is not None:
        charts.mkdir(parents=True, exist_ok=True)
        (charts / "overload.svg").write_text(draw(chart(peak, phases, shots)))
    return figures


async def _run(
    plan: Plan, peer: Peer, cpu: Callable[[], float]
) -> tuple[Phase, list[Phase], list[Shot]]:
    """The stretch in which it does as much as it can; then those that are judged, and all requests."""
    gc.disable()  # tens of thousands of requests are kept, and a collection would look like a slow answer
    field = Range(peer, plan.seed)
    await field.keep_busy(2, plan.peak / 2)  # until everything is warm
    phases: list[Phase] = []

    async def phase(name: str, times: float, running: Coroutine[None, None, None]) -> Phase:
        begin, before = field.now, cpu()
        await running
        end = field.now
        return Phase(name, begin, end, times, (cpu() - before) / (end - begin))

    peak = await phase("peak", 1.0, field.keep_busy(2, plan.peak))
    most = answered(peak, field.shots)
    phases.append(await phase("normal", NORMAL, field.arrive(NORMAL * most, plan.normal)))
    for times in plan.times:
        rate = times * most
        phases.append(await phase(f"{times:g} x", times, field.arrive(rate, plan.over)))
        rate = NORMAL * most
        phases.append(await phase(f"after {times:g} x", NORMAL, field.arrive(rate, plan.back)))
    await field.over()
    gc.enable()
    return peak, phases, field.shots


def answered(phase: Phase, shots: Sequence[Shot], settled: float = 0.0) -> float:
    """Whole answers a second that came in a phase, after so many seconds of it."""
    begin = phase.begin + settled
    came = [one for one in shots if one.status == 200 and begin <= one.due + one.took < phase.end]
    return len(came) / max(phase.end - begin, 0.1)


def judge(
    best: Phase, phases: Sequence[Phase], shots: Sequence[Shot]
) -> tuple[list[Figure], list[Goal]]:
    """What each stretch came to, and what it should have; `best` is the one in which it did as much as it can."""
    peak = answered(best, shots)
    normal = phases[0]
    usual = _quantile([one.took for one in _due(normal, shots) if one.status == 200], 0.99)
    figures = [
        Figure("overload_peak", "answers, as many as it can", peak, "a second"),
        Figure("overload_cpu", "the gateway had a core for, of each second", best.cpu * 1e3, "ms"),
        Figure("overload_usual", "p99 of answers at half of that", usual * 1e3, "ms"),
    ]
    goals: list[Goal] = []
    for number, phase in enumerate(phases[1:], 1):
        all_of_it = _due(phase, shots)
        cut = sum(one.status not in (200, 503) for one in all_of_it)
        mark = f"overload_{number}"
        behind = _quantile([one.behind for one in all_of_it], 0.99) * 1e3
        figures.append(
            Figure(f"{mark}_behind", f"{phase.name}: p99 until it was sent", behind, "ms")
        )
        figures.append(Figure(f"{mark}_failed", f"{phase.name}: no whole answer", cut, "requests"))
        if phase.times <= 1.0:
            ill = [
                one.due - phase.begin
                for one in all_of_it
                if one.status != 200 or one.took > WELL * usual
            ]
            # One in a hundred is slower than the 99th percentile at any time; a second with more of them is not well.
            seconds = [int(at) for at in ill]
            last = max(
                (at + 1 for at in set(seconds) if seconds.count(at) > 0.05 * NORMAL * peak),
                default=0,
            )
            figures.append(Figure(f"{mark}_back", f"{phase.name}: as before", last, "s"))
            goals.append(Goal(f"{phase.name}: as before, s", last, 5.0))
            continue
        late = [one for one in all_of_it if one.due >= phase.begin + SETTLED]
        good = [one.took for one in late if one.status == 200]
        gone = [one.took for one in late if one.status == 503]
        goodput = answered(phase, shots, SETTLED)
        each = 100 * (goodput / phase.cpu) / (peak / best.cpu)
        p99, said = _quantile(good, 0.99), _quantile(gone, 0.99)
        early = [one for one in all_of_it if one.due < phase.begin + SETTLED]
        onset = [one.took for one in early if one.status == 200] or [0.0]
        figures += [
            Figure(f"{mark}_goodput", f"{phase.name}: answers", goodput, "a second"),
            Figure(f"{mark}_cpu", f"{phase.name}: a core for, of each second", phase.cpu * 1e3, "ms"),
            Figure(f"{mark}_each", f"{phase.name}: answers a second of a core, of the peak", each, "%"),
            Figure(f"{mark}_p99", f"{phase.name}: p99 of answers", p99 * 1e3, "ms"),
            Figure(f"{mark}_onset", f"{phase.name}: slowest in the first {SETTLED:g} s", max(onset) * 1e3, "ms"),
            Figure(f"{mark}_said_p50", f"{phase.name}: p50 of refusals", _quantile(gone, 0.5) * 1e3, "ms"),
            Figure(f"{mark}_said", f"{phase.name}: p99 of refusals", said * 1e3, "ms"),
        ]  # fmt: skip
        goals += [
            Goal(f"{phase.name}: answers, % of the peak", 100 * goodput / peak, 90.0, most=False),
            Goal(f"{phase.name}: p99 of answers, ms", p99 * 1e3, WELL * usual * 1e3),
            Goal(f"{phase.name}: p99 of refusals, ms", said * 1e3, 20.0),
        ]
    return figures, goals


def chart(best: Phase, phases: Sequence[Phase], shots: Sequence[Shot]) -> Chart:
    """Answers a second, and what was asked, over time."""
    peak = answered(best, shots)
    begin, end = phases[0].begin, phases[-1].end
    lines = []
    for name, moments in (
        ("answered", [one.due + one.took for one in shots if one.status == 200]),
        ("asked", [one.due for one in shots]),
    ):
        counts = [0] * (int(end - begin) + 1)
        for at in moments:
            if begin <= at < end:
                counts[int(at - begin)] += 1
        lines.append((name, [(float(at), float(count)) for at, count in enumerate(counts[:-1])]))
    worst = max(phases, key=lambda phase: phase.times)
    return Chart(
        "Overload of the gateway: answers a second", "seconds", "requests a second",
        lines, goal=0.9 * peak, top=2.5 * peak,
        span=(worst.begin - begin, worst.end - begin, f"{worst.times:g} times the peak"),
    )  # fmt: skip


def _due(phase: Phase, shots: Sequence[Shot]) -> list[Shot]:
    return [one for one in shots if phase.begin <= one.due < phase.end]


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values) or [0.0]
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
