"""Two machines with one database and one server of shared limits, behind nginx: what is common, and what one death does.

reach     an object made by the admin API of one host, until the other serves by it
rate      a limit of requests a minute, drawn on through both hosts at once
budget    a strict budget, likewise
death     a host is killed and comes back, again and again, while clients ask through nginx
books     what clients were answered, and what is in the database when all hosts live again
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import uvloop
from msgspec import Struct
from msgspec.structs import replace

from bench import ledger
from bench.fleet_crowd import LOOK, SETTLE_S, SHORT, Crowd, books, by_death
from bench.hosts import fleet
from bench.peers import PATH, PeerError, workdir
from bench.store import Figure

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.hosts import Fleet, Host
    from bench.machine import Cores

    Say = Callable[[str], None]

COST = 12 + 16
"""Micro-dollars of an answer of SHORT: 12 tokens asked, 16 answered, a dollar a million."""
PAUSE = 0.01


class Plan(Struct, frozen=True):
    """How much of everything."""

    minutes: float = 3.0
    clients: int = 8
    streams: int = 20
    every: float = 20.0
    """Seconds from one death to the next; the host is away for half of it."""
    objects: int = 30
    rpm: int = 600
    seconds: float = 20.0
    """For which that is drawn on."""
    budget: int = 20_000
    """Micro-dollars."""
    patience: float = 2.5
    """Seconds in which a host gives back what another is refused for want of."""
    workers: int = 2


QUICK = Plan(
    minutes=0.0,
    clients=4,
    streams=4,
    every=0.4,
    objects=1,
    rpm=600,
    seconds=0.6,
    budget=5000,
    patience=0.2,
    workers=1,
)


WRONG = frozenset(
    f"fleet_{what}"
    for what in ("wrong", "open", "missing", "uncounted", "unbooked", "rate_over", "budget_over")
)
"""Figures that have to be 0."""


def measure(
    plan: Plan, postgres: str | None, valkey: str | None, cores: Cores, say: Say
) -> list[Figure]:
    """All of it once. Raises PeerError for a server that cannot be used."""
    with ExitStack() as stack:
        _, store = ledger.started(postgres or ledger.OWN, "postgres", stack)
        _, shared = ledger.started(valkey or ledger.OWN, "valkey", stack)
        return run(plan, store, shared, cores, say)


def run(plan: Plan, store: str, shared: str, cores: Cores, say: Say) -> list[Figure]:
    """The same on an empty database and a server of shared limits that are there."""
    with ExitStack() as stack:
        folder = stack.enter_context(workdir())
        standing = stack.enter_context(fleet(folder, store, shared, cores, workers=plan.workers))
        return uvloop.run(_all(plan, standing, say))


async def _all(plan: Plan, standing: Fleet, say: Say) -> list[Figure]:
    found = await reach(standing, plan.objects)
    say("objects made on one host have been served by the other")
    found += await rate(standing, plan.rpm, plan.seconds)
    say("a rate has been drawn on through both")
    crowd = Crowd(standing.front, plan.clients, plan.streams)
    found += await deaths(standing, crowd, plan, say)
    found += await budget(standing, plan.budget, plan.patience)
    say("a strict budget has been spent through both")
    found += await books(standing, crowd)
    return found


async def reach(standing: Fleet, number: int) -> list[Figure]:
    """Seconds from the answer to a write at one host until the other serves by it, for providers, models and keys.

    Then a request of that key for that model is asked of the other, once. Raises PeerError when it is not served.
    """
    one, other = standing.hosts[:2]
    took: list[float] = []
    async with aiohttp.ClientSession() as session:
        for turn in range(number):
            key = f"sk-fleet-made-{turn:04}-abcdefghijkl"
            provider = {
                "base_url": standing.upstream,
                "dialects": ["openai.chat"],
                "allow_private": True,
            }
            made = (
                ("providers", {"name": f"made-{turn}", "credentials": ["upstream"], **provider}),
                ("models", {"name": f"model-{turn}", "deployments": [{"provider": f"made-{turn}", "model": SHORT}]}),
                ("keys", {"name": f"made-{turn}", "key": key, "models": [f"model-{turn}"]}),
            )  # fmt: skip
            for what, fields in made:
                revision = await standing.create(one, what, **fields)
                answered = monotonic()
                while await asyncio.to_thread(other.number, "headrace_config_revision") < revision:
                    if monotonic() - answered > SETTLE_S:
                        raise PeerError(f"host {other.name} does not come to revision {revision}")
                    await asyncio.sleep(LOOK)
                took.append(monotonic() - answered)
            status = await _status(session, other, key, f"model-{turn}")
            if status != 200:
                raise PeerError(
                    f"host {other.name} answered {status} for what was made at {one.name}"
                )
            one, other = other, one
    took.sort()
    return [
        Figure("fleet_reach_p50", "made on one host, served by the other: p50", took[len(took) // 2] * 1e3, "ms"),
        Figure("fleet_reach_most", "the same, at most", took[-1] * 1e3, "ms"),
    ]  # fmt: skip


async def rate(standing: Fleet, rpm: int, seconds: float) -> list[Figure]:
    """Requests admitted of a limit through all hosts at once in so many seconds at least, and what one host would
    have admitted."""
    key = "sk-fleet-rate-0123456789abcdef"
    revision = await standing.create(
        standing.hosts[0], "keys", name="rate", key=key, models=["sim*"], rpm=rpm
    )
    await _everywhere(standing, revision)
    statuses = Counter[int]()
    refusing: set[str] = set()
    began = monotonic()
    async with aiohttp.ClientSession() as session:

        async def ask(host: Host) -> None:
            while monotonic() - began < seconds or len(refusing) < len(standing.hosts):
                status = await _status(session, host, key, SHORT)
                statuses[status] += 1
                if status == 429:
                    refusing.add(host.name)
                await asyncio.sleep(PAUSE)

        await asyncio.gather(*(ask(host) for host in standing.hosts for _ in range(2)))
    took = monotonic() - began
    _limited(statuses)
    # A tenth of the rate may be used at once; a tenth of a second of it is what the server's clock is allowed.
    allowed = int(rpm / 10 + (took + 0.1) * rpm / 60)
    return [
        Figure("fleet_rate", "requests admitted of a limit by all hosts", statuses[200], ""),
        Figure("fleet_rate_allowed", "what one would have admitted in that time", allowed, ""),
        Figure("fleet_rate_over", "WRONG: more than that", max(statuses[200] - allowed, 0), ""),
    ]


async def budget(standing: Fleet, micro: int, patience: float) -> list[Figure]:
    """Micro-dollars spent of a strict budget through all hosts."""
    key = "sk-fleet-budget-0123456789abcdef"
    money = {"usd": micro / 1e6, "period": "total", "strict": True}
    revision = await standing.create(
        standing.hosts[0], "keys", name="budget", key=key, models=["sim*"], budget=money
    )
    await _everywhere(standing, revision)
    admitted = await _use_up(standing, key, patience)
    return [
        Figure("fleet_budget", "micro-dollars of a strict budget", micro, ""),
        Figure("fleet_budget_spent", "of those, spent through all hosts", admitted * COST, ""),
        Figure("fleet_budget_over", "WRONG: more than that", max(admitted * COST - micro, 0), ""),
    ]


async def _use_up(standing: Fleet, key: str, patience: float) -> int:
    """Ask all hosts in turn until none has admitted any for so many seconds; how many were admitted."""
    statuses = Counter[int]()
    last = monotonic()
    async with aiohttp.ClientSession() as session:
        while monotonic() - last < patience:
            for host in standing.hosts:
                status = await _status(session, host, key, SHORT, max_tokens=16)
                statuses[status] += 1
                if status == 200 or (status == 503 and not statuses[200]):
                    # 503: a server of shared limits that has just been started gives no strict budgets yet.
                    last = monotonic()
            await asyncio.sleep(PAUSE)
    del statuses[503]
    _limited(statuses)
    return statuses[200]


def _limited(statuses: Counter[int]) -> None:
    if statuses.keys() != {200, 429}:
        raise PeerError(f"expected some to be admitted and some to be limited: {dict(statuses)}")


async def _everywhere(standing: Fleet, revision: int) -> None:
    for host in standing.hosts:
        while await asyncio.to_thread(host.number, "headrace_config_revision") < revision:  # noqa: ASYNC110
            await asyncio.sleep(LOOK)


async def _status(
    session: aiohttp.ClientSession, host: Host, key: str, model: str, **fields: int
) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}
    async with session.post(
        host.url + PATH, data=msgspec.json.encode(body), headers={"Authorization": f"Bearer {key}"}
    ) as answer:
        await answer.read()
        return answer.status


async def deaths(standing: Fleet, crowd: Crowd, plan: Plan, say: Say) -> list[Figure]:
    """Kill one host and start it again, have the other leave and start it again, and so on; how many requests failed by a
    death, and how many for no reason that there should be."""
    running = asyncio.ensure_future(crowd.run())
    until = monotonic() + plan.minutes * 60
    killed: list[tuple[float, float]] = []
    led: list[float] = []
    stopped = 0
    hosts = await _leader_first(standing)
    for host, kill in itertools.cycle(zip(hosts, itertools.cycle((True, False)))):
        await asyncio.sleep(plan.every / 4)
        await crowd.warm()
        began = monotonic()
        was_leader = await asyncio.to_thread(host.number, "headrace_leader") > 0
        await asyncio.to_thread(host.kill if kill else host.stop)
        if kill:
            killed.append((began, monotonic()))
        stopped += not kill
        say(f"host {host.name} {'was killed' if kill else 'has left'}")
        if was_leader:
            led.append(await _next_leader(standing, host))
        await asyncio.sleep(max(began + plan.every * 0.75 - monotonic(), 0))
        host.start()
        await asyncio.to_thread(host.wait)
        if monotonic() > until:
            break
    crowd.end()
    await running
    hit, wrong = by_death([one for one in crowd.asked if not one.shed], killed)
    shed = sum(one.shed for one in crowd.asked)
    figures = [
        Figure("fleet_requests", "requests through nginx", len(crowd.asked), ""),
        Figure("fleet_killed", "times that a host was killed", len(killed), ""),
        Figure("fleet_stopped", "times that a host left in peace", stopped, ""),
        Figure("fleet_shed", "requests refused because a worker could not keep up", shed, ""),
        Figure("fleet_hit", "requests under way there that failed", hit, ""),
        Figure("fleet_wrong", "WRONG: others that failed", wrong, ""),
    ]
    if led:
        figures.append(Figure("fleet_leader", "until another host led, at most", max(led), "s"))
    return figures


async def _leader_first(standing: Fleet) -> list[Host]:
    """Once there is one. Raises PeerError."""
    until = monotonic() + SETTLE_S
    while True:
        leads = {
            host.name: await asyncio.to_thread(host.number, "headrace_leader")
            for host in standing.hosts
        }
        if any(leads.values()):
            return sorted(standing.hosts, key=lambda host: -leads[host.name])
        if monotonic() > until:
            raise PeerError("no host leads")
        await asyncio.sleep(LOOK)


async def _next_leader(standing: Fleet, dead: Host) -> float:
    began = monotonic()
    while monotonic() - began < SETTLE_S:
        for host in standing.hosts:
            led = 0.0 if host is dead else await asyncio.to_thread(host.number, "headrace_leader")
            if led:
                return monotonic() - began
        await asyncio.sleep(LOOK)
    raise PeerError("no host leads")


def scaled(plan: Plan, minutes: float | None) -> Plan:
    """Of another length."""
    return plan if minutes is None else replace(plan, minutes=minutes)
