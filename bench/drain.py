"""How fast what waits on disk is booked: a backlog as workers write it, shipped into an empty database.

The shipper is this process, with nothing beside it but the database. Its own processor time is told apart, as a machine
that is shared tells the other figure by what its neighbours do.
"""

from __future__ import annotations

import gc
import random
from functools import partial
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import uvloop
from msgspec import Struct

from bench.peers import workdir
from bench.store import Figure
from proxy.control.shipper import Shipper
from proxy.core.clock import now
from proxy.ledger.deadletters import bury
from proxy.ledger.reading import Reader
from proxy.ledger.records import Charged, End, Progress, Start, Tokens, Try, frame
from proxy.ledger.spool import Spool
from proxy.shipping import RARELY
from proxy.store.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from proxy.ledger.records import Record

RATE = 500.0
"""Requests a second while the database was away."""
WORKERS = 2
HOUR = 3600


class Plan(Struct, frozen=True):
    """How much of everything."""

    requests: int = 60_000
    keys: int = 1_000
    streams: float = 0.3


QUICK = Plan(requests=300, keys=10)


def measure(plan: Plan, postgres: str, say: Callable[[str], None]) -> list[Figure]:
    """Into a new file of SQLite, and into the database at `postgres`, unless that is empty."""
    with workdir() as folder:
        places = {"SQLite": f"sqlite:///{folder}/headrace.db", "PostgreSQL": postgres}
        figures = [
            figure
            for name, url in places.items()
            if url
            for figure in uvloop.run(draining(plan, url, folder / name, name))
        ]
    for figure in figures:
        say(f"{figure.label}: {figure.value:,.4g} {figure.unit}")
    return figures


def backlog(plan: Plan, folder: Path) -> None:
    """Spools of two workers: a start and an end of each request, the end as much later as the answer took."""
    spools = [
        Spool(folder, str(number), size=16 << 30, emergency=0, sync=0) for number in range(WORKERS)
    ]
    for record in _records(plan):
        spools[int(record.rid[-4:], 16) % WORKERS].append(frame(record), vital=True)
    for one in spools:
        one.close()


def _records(plan: Plan) -> Iterator[Record]:
    """In the order of time."""
    chance = random.Random(1)
    begin = now() - plan.requests / RATE
    moments: list[tuple[float, int, Record]] = []
    for number in range(plan.requests):
        at = begin + number / RATE
        made = _request(at, chance, plan)
        moments += [(at + after, number, record) for after, record in made]
    moments.sort(key=lambda one: one[:2])
    return (record for _, _, record in moments)


def _request(at: float, chance: random.Random, plan: Plan) -> Iterator[tuple[float, Record]]:
    """What is written of one request, and how many seconds after it came."""
    rid = _id(at, chance)
    key = str(chance.randrange(plan.keys))
    team = f"team-{int(key) % 20}"
    stream = chance.random() < plan.streams
    seconds = chance.uniform(1.0, 12.0) if stream else chance.uniform(0.05, 1.0)
    model = f"model-{int(key) % 5}"
    day = int(at) // 86400 * 86400
    charges = (
        Charged(f"key:{key}", day, day + 86400),
        Charged(f"team:{team}", 0, 0),
    )
    same: dict[str, Any] = {
        "rid": rid, "at": at, "key_id": key, "key": f"key-{key}", "team": team, "owner": "owner",
        "route": "/v1/chat/completions", "operation": "chat", "dialect": "openai_chat", "stream": stream,
        "asked": model, "model": model, "deployment": f"lab/{model}", "provider": "lab",
        "upstream_model": f"{model}-2026-01-01", "charges": charges,
    }  # fmt: skip
    yield 0.0, Start(attempt=1, reserved=9000, likely=200, prompt=100, **same)
    tokens = Tokens(chance.randrange(20, 4000), output=chance.randrange(1, 900))
    for after in range(5, int(seconds), 5):
        yield float(after), Progress(rid, at + after, tokens, 100)
    total = seconds * 1000
    tried = Try(
        number=1, deployment=f"lab/{model}", provider="lab", credential="lab-1",
        upstream_model=f"{model}-2026-01-01", dialect="openai_chat", status=200, outcome="ok", cause="",
        started_ms=0.2, connect_ms=-1.0, ttft_ms=total / 9, total_ms=total, cost=1234,
    )  # fmt: skip
    end = End(
        status=200, outcome="ok", cause="", finish="stop", queue_ms=0.0, connect_ms=-1.0, ttft_ms=total / 9,
        total_ms=total, overhead_ms=0.3, tokens=tokens, source="reported", cost=1234, estimate=-1,
        cost_upstream=1234, bytes_in=900, bytes_out=4000, client="10.0.0.7", user_agent="openai-python/1.60",
        tries=(tried,), **same,
    )  # fmt: skip
    yield seconds, end


def _id(at: float, chance: random.Random) -> str:
    """As the gateway's: UUIDv7."""
    value = int(at * 1000) << 80 | 0x7 << 76 | chance.getrandbits(12) << 64
    value |= 0b10 << 62 | chance.getrandbits(62)
    text = f"{value:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


async def draining(plan: Plan, url: str, folder: Path, name: str) -> list[Figure]:
    """Ship a backlog into the database at `url`, where nothing is booked yet."""
    backlog(plan, folder)
    store = open_store(url)
    await store.open()
    usually = gc.get_threshold()
    gc.set_threshold(*RARELY)
    try:
        shipper = Shipper(store, Reader(folder), "bench", None, partial(bury, folder))
        shipper.leave()
        began, before = perf_counter(), process_time()
        await shipper.run()
        seconds, used = perf_counter() - began, process_time() - before
    finally:
        gc.set_threshold(*usually)
        await store.close()
    if shipper.ended != plan.requests:
        raise RuntimeError(f"{shipper.ended} of {plan.requests} requests were booked")
    kind = store.backend
    return [
        Figure(f"drain_{kind}", f"drain into {name}", plan.requests / seconds, "requests/s"),
        Figure(
            f"drain_cpu_{kind}", "CPU of the shipper", used / plan.requests * 1e6, "µs a request"
        ),
    ]
