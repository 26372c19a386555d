"""Prompt caches: conversations grow turn by turn, and each credential of each provider has a cache of its own."""

from __future__ import annotations

from bench.trials.clockwork import Clock, Steps, arrivals
from bench.trials.fleet import Fleet, model, quantile
from bench.trials.found import Found, Goal, Measured, Scale
from bench.trials.lines import Chart
from bench.trials.providers import Caching
from proxy.core.model import Strategy
from proxy.gateway.hints import Hints

DEPLOYMENTS, KEYS = 4, 2
AGENTS, SYSTEM, TURNS = 20, 12, 8
"""System prompts, their blocks of 256 tokens, turns of a conversation; a turn is a block more."""
PAUSE = 10.0
RATE = 1.5
"""Conversations that begin in a second."""
KEPT, TTL = 400, 300.0
"""Blocks of a cache, and seconds."""
BYTES = 1024
"""Of a block: about four a token."""
WAYS = (Strategy.PREFIX, Strategy.P2C, Strategy.ROUND_ROBIN)


def run(scale: Scale) -> Found:
    """The same conversations with three strategies."""
    hits, waits = {}, {}
    for strategy in WAYS:
        fleet = _run(scale.seed, strategy, scale.requests / 5)
        answers = [one for one in fleet.answers if one.ok and one.asked > 60.0]
        prompts = sum(one.prompt for one in answers)
        hits[strategy] = 100 * sum(one.cached for one in answers) / prompts
        waits[strategy] = [one.ttft for one in answers]
    p95 = {name: quantile(some, 0.95) for name, some in waits.items()}
    steps = [at / 2 for at in range(200)]
    best, other = Strategy.PREFIX, max(hits[Strategy.P2C], hits[Strategy.ROUND_ROBIN])
    return Found(
        [
            Goal("tokens from a cache, %: prefix", hits[best], 80.0, most=False),
            Goal("times as many as with the better of the others", hits[best] / other, 1.1, most=False),
            Goal(
                "p95 of the first token, as a part of round_robin's",
                p95[best] / p95[Strategy.ROUND_ROBIN], 0.8,
            ),
        ],
        [
            *(Measured(f"tokens from a cache: {one}", hits[one], "%") for one in WAYS),
            *(Measured(f"p95 of the first token: {one}", p95[one], "s") for one in WAYS),
        ],
        Chart(
            "Prompt caches: the wait for the first token",
            "% of requests that wait no longer", "seconds",
            [(name, [(at, quantile(waits[name], at / 100)) for at in steps]) for name in WAYS],
        ),
    )  # fmt: skip


def _run(seed: int, strategy: Strategy, requests: float) -> Fleet:
    clock = Clock(seed)
    caches = [Caching(KEPT, TTL) for _ in range(DEPLOYMENTS)]
    fleet = Fleet(clock, model(DEPLOYMENTS, KEYS, strategy=strategy), caches)
    number = 0

    def begin() -> Steps:
        nonlocal number
        number += 1
        return _conversation(fleet, number)

    clock.spawn(arrivals(clock, lambda: RATE, begin))
    clock.run(60.0 + requests / RATE / TURNS)
    return fleet


def _conversation(fleet: Fleet, number: int) -> Steps:
    clock = fleet.clock
    agent = int(clock.rng.paretovariate(1.0)) % AGENTS  # some are asked much more than others
    blocks = [f"agent {agent}, {at}" for at in range(SYSTEM)]
    for turn in range(TURNS):
        blocks.append(f"conversation {number}, {turn}")
        head = b"".join(block.encode().ljust(BYTES) for block in blocks)
        hints = Hints(fleet.snapshot, head=head, sizes=(256 * len(blocks), 100))
        clock.spawn(fleet.request(tuple(blocks), hints))
        yield clock.rng.expovariate(1.0 / PAUSE)
