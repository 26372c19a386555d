"""A fleet in trouble, in virtual time: a machine dies, all are restarted in turn, the load doubles within a minute.

Machines are told apart by nothing but the streams they have: a balancer gives each new stream to whoever has fewest, as
`least_conn` does. Streams begin by chance (Poisson) and last as long as chance says (log-normal, as answers do). The
processors of a machine are as busy as its streams and its new requests make them (`bench.capacity`); beyond all of them
every token is late, which is what is looked for.
"""

from __future__ import annotations

import heapq
import math
import random
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from bench.capacity import need, of_stream, seconds
from bench.trials.lines import Chart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.capacity import Given, Measured
    from bench.trials.lines import Point

WARM: Final = 60
"""Seconds after which as many streams are there as always."""
BEGIN: Final = 30
"""Seconds from then to the trouble."""
SPREAD: Final = 0.6
"""Of the logarithm of how long a stream lasts: one in a hundred is four times as long as the middle one."""
AGAIN: Final = 2.0
"""Seconds within which clients whose stream was cut ask again."""
BACK: Final = 90
"""Seconds until a machine that died is replaced."""
AWAY: Final = 5
"""Seconds from a machine's last stream until it serves again."""
DRAIN: Final = 600


class Scene(Struct, frozen=True):
    """One kind of trouble."""

    name: str
    length: int
    """Seconds, from the warm fleet on."""
    load: Callable[[float], float]
    """Multiple of the usual load, by the seconds since BEGIN."""
    dies: bool = False
    """One machine does, at BEGIN."""
    rolls: bool = False
    """From BEGIN on each machine drains and comes back, one after the other."""


SCENES: Final = (
    Scene("a machine dies", 240, lambda _: 1.0, dies=True),
    Scene("the load doubles in a minute", 240, lambda now: 1.0 + min(max(now, 0.0) / 60, 1.0)),
    Scene("each is restarted in turn", 3600, lambda _: 1.0, rolls=True),
)


class Seen(Struct):
    """What came of a scene."""

    line: list[Point]
    """Seconds, and the share of its processors that the busiest machine used."""
    peak: float
    cut: float
    """Streams, as a share of those at once."""
    late: int
    """Seconds in which some machine had more to do than it could."""
    over: float
    """Seconds from BEGIN until the last machine was back; 0: none was away."""


class Machine:
    """What is on one."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        """When its streams do; a heap."""
        self.begun = 0
        self.takes = True
        """New streams; else it drains, or is away."""
        self.back = math.inf


def play(
    scene: Scene, cost: Measured, load: Given, streams: float, *, seed: int, weight: float
) -> Seen:
    """Run a scene on the machines that `need` says. One stream of it stands for `weight` streams."""
    chance = random.Random(seed)
    machines = [Machine() for _ in range(need(cost, load, streams).machines)]
    middle = math.log(seconds(load)) - SPREAD**2 / 2
    usual = streams / weight / seconds(load)
    request = cost.request * cost.recorded * load.tls
    steady = of_stream(cost, load) - request / seconds(load)
    power = load.cores - load.beside
    again: list[float] = []
    seen = Seen([], 0.0, 0.0, 0, 0.0)
    rolling = iter(machines) if scene.rolls else iter(())
    draining: Machine | None = None
    until = 0.0
    for second in range(WARM + BEGIN + scene.length):
        now = second - WARM - BEGIN
        for one in machines:
            one.begun = 0
            while one.ends and one.ends[0] <= second:
                heapq.heappop(one.ends)
            if not one.takes and one.back <= now:
                one.takes, one.back = True, math.inf
                seen.over = float(now)
        if scene.dies and now == 0:
            dead = machines[0]
            seen.cut += len(dead.ends) * weight / streams
            again += [second + chance.uniform(0, AGAIN) for _ in dead.ends]
            dead.ends.clear()
            dead.takes, dead.back = False, BACK
        if scene.rolls and now >= 0 and (draining is None or draining.takes):
            draining = next(rolling, None)
            if draining is not None:
                draining.takes, until = False, now + DRAIN
        if draining is not None and not draining.takes and draining.back == math.inf:
            if now >= until:
                seen.cut += len(draining.ends) * weight / streams
                draining.ends.clear()
            if not draining.ends:
                draining.back = now + AWAY
        asked = _poisson(chance, usual * scene.load(now)) + sum(at < second + 1 for at in again)
        again = [at for at in again if at >= second + 1]
        _give(machines, asked, second, lambda: chance.lognormvariate(middle, SPREAD))
        busiest = max(
            (len(one.ends) * steady + one.begun * request) * weight / power for one in machines
        )
        if second >= WARM:
            seen.line.append((float(now), busiest * 100))
            seen.peak = max(seen.peak, busiest)
            seen.late += busiest > 1.0
    return seen


def _give(
    machines: Sequence[Machine], number: int, second: int, lasting: Callable[[], float]
) -> None:
    """Each new stream to whoever has fewest."""
    taking = [(len(one.ends), at) for at, one in enumerate(machines) if one.takes]
    heapq.heapify(taking)
    for _ in range(number):
        has, at = taking[0]
        one = machines[at]
        one.begun += 1
        heapq.heappush(one.ends, second + lasting())
        heapq.heapreplace(taking, (has + 1, at))


def _poisson(chance: random.Random, mean: float) -> int:
    """How many; a normal one will do where there are many."""
    if mean > 50:
        return max(round(chance.gauss(mean, math.sqrt(mean))), 0)
    limit, number, product = math.exp(-mean), 0, chance.random()
    while product > limit:
        number += 1
        product *= chance.random()
    return number


def drawn(results: Sequence[tuple[Scene, Seen]], machines: int, streams: float) -> Chart:
    """The first four minutes of each."""
    lines = [
        (scene.name, [(at, share) for at, share in seen.line if at <= 210])
        for scene, seen in results
    ]
    return Chart(
        f"{machines} machines with {streams:,.0f} streams, in trouble",
        "seconds since it began",
        "Processors of the busiest machine, in percent. Above the dashed line every token is late.",
        lines,
        goal=100.0,
    )
