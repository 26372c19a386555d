"""Outside judges, beside our own load generator: LLMeter for times to the first token and between tokens, wrk for rates.

For LLMeter one client asks for one stream after the other, at the simulator itself and at Headrace; it runs in an environment
of its own (`scripts/bench --install-peers`), by the program that this module holds. wrk, where it is installed, sends the
250 byte request, at nginx too.
"""

from __future__ import annotations

import subprocess
from statistics import median
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from bench import measure, peers, rivals, wrk
from bench.load import Load
from bench.machine import pin
from bench.peers import PeerError, workdir
from bench.store import Figure

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.load import Outcome
    from bench.machine import Cores
    from bench.peers import Peer, Upstream

JUDGE = "llmeter"
TOKENS = 64
MODEL = f"sim-n{TOKENS}-d20-f200-s4-t"
"""The first token after 200 ms, each other 20 ms later."""
PROGRAM = """\
import asyncio, json, sys
from llmeter.endpoints import OpenAICompletionStreamEndpoint
from llmeter.runner import Runner

async def main(url, key, model, number):
    endpoint = OpenAICompletionStreamEndpoint(
        model_id=model, api_key=key or "none", base_url=url, max_retries=0
    )
    payload = {
        "messages": [{"role": "user", "content": "Why does a turbine need a headrace?"}],
        "stream_options": {"include_usage": True},
    }
    quiet = {"disable_per_client_progress_bar": True, "disable_clients_progress_bar": True}
    run = Runner(endpoint).run(payload=payload, n_requests=number, clients=1, **quiet)
    print("\\n" + json.dumps((await run).stats, default=str))

asyncio.run(main(*sys.argv[1:4], int(sys.argv[4])))
"""
TIMEOUT_S = 300.0


class Plan(Struct, frozen=True):
    """How many streams."""

    streams: int = 20
    seconds: float = 5.0
    """Of requests."""
    rounds: int = 3


QUICK = Plan(streams=2, seconds=1.0, rounds=1)
REQUEST = "sim-n16-d0-f0-s4"


class Times(Struct, frozen=True):
    """Medians of one run, in milliseconds."""

    first: float
    between: float
    whole: float


LABELS = {
    "first": "to the first token",
    "between": "between tokens",
    "whole": "to the last token",
}


def judge(plan: Plan, upstream: Upstream, cores: Cores, say: Callable[[str], None]) -> list[Figure]:
    """Both judges at both. Raises PeerError when LLMeter is not installed, or a request of it failed."""
    if not rivals.is_there(JUDGE):
        raise PeerError(f"{JUDGE} is not installed: scripts/bench --install-peers has it installed")
    found: list[Figure] = []
    for starter in (peers.bare(upstream), peers.headrace(upstream, cores)):
        with starter as peer:
            for judge, ask in ((JUDGE, theirs), ("ours", ours)):
                times = ask(plan, peer, cores)
                say(f"outside: {judge} asked {peer.name}")
                found += [
                    Figure(
                        f"outside_{judge}_{peer.name}_{name}",
                        f"{peer.name}, by {judge}: {label}, p50",
                        getattr(times, name),
                        "ms",
                    )
                    for name, label in LABELS.items()
                ]
    return found + rates(plan, upstream, cores, say)


def rates(plan: Plan, upstream: Upstream, cores: Cores, say: Callable[[str], None]) -> list[Figure]:
    """What wrk and our own load generator say of the same requests; medians of rounds. Nothing where there is no wrk."""
    if not wrk.is_there():
        say("outside: wrk is not installed, so nobody else counts requests")
        return []
    starters = [peers.bare(upstream), peers.headrace(upstream, cores)]
    if peers.nginx_program() is not None:
        starters.insert(1, peers.nginx(upstream, cores))
    found: list[Figure] = []
    for starter in starters:
        with starter as peer:
            by = {"wrk": [], "ours": []}  # type: dict[str, list[wrk.Rate]]
            for _ in range(plan.rounds):
                by["wrk"].append(wrk.ask(peer, REQUEST, plan.seconds, cores))
                by["ours"].append(_rate(plan, peer, cores))
            for judge, rounds in by.items():
                say(f"outside: {judge} counted requests of {peer.name}")
                found += [
                    Figure(
                        f"outside_{judge}_{peer.name}_{name}",
                        f"{peer.name}, by {judge}: {label}",
                        median(getattr(one, name) for one in rounds),
                        unit,
                    )
                    for name, label, unit in RATES
                ]
    return found


RATES = (
    ("requests", "requests", "a second"),
    ("p50", "latency p50", "µs"),
    ("p99", "latency p99", "µs"),
)


def _rate(plan: Plan, peer: Peer, cores: Cores) -> wrk.Rate:
    load = Load(model=REQUEST, connections=wrk.CONNECTIONS, seconds=plan.seconds, warm=0.5)
    outcome = measure.run(load, peer, cores)
    if outcome.errors or outcome.truncated:
        raise PeerError(f"{peer.name}: {measure.complaint(outcome)}")
    return wrk.Rate(outcome.requests / outcome.seconds, outcome.latency.p50, outcome.latency.p99)


def theirs(plan: Plan, peer: Peer, cores: Cores) -> Times:
    """By LLMeter."""
    url = f"http://{peer.host}:{peer.port}{peer.path.removesuffix('/chat/completions')}"
    python = str(rivals.home(JUDGE) / "bin" / "python")
    words = [python, "-I", "-c", PROGRAM, url, peer.key, MODEL, str(plan.streams)]
    with workdir() as folder:
        done = subprocess.run(
            words,
            cwd=folder,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            preexec_fn=pin(cores.load),
        )
    if done.returncode:
        raise PeerError(f"{JUDGE}: {done.stderr.decode(errors='replace')[-2000:]}")
    return read(done.stdout)


def read(said: bytes) -> Times:
    """From LLMeter's statistics, the last line of what it printed. Raises PeerError when a request failed."""
    stats = msgspec.json.decode(said.splitlines()[-1])
    if stats["failed_requests"]:
        raise PeerError(f"{JUDGE}: {stats['failed_requests']} requests failed")
    first, between, whole = (
        stats[f"time_{name}-p50"] * 1e3
        for name in ("to_first_token", "per_output_token", "to_last_token")
    )
    return Times(first, between, whole)


def ours(plan: Plan, peer: Peer, cores: Cores) -> Times:
    """By the load generator of the other measurements, for about as long."""
    seconds = plan.streams * (0.2 + TOKENS * 0.02)
    load = Load(model=MODEL, stream=True, seconds=seconds, warm=0.2)
    return of(measure.run(load, peer, cores))


def of(outcome: Outcome) -> Times:
    """An outcome in the same words: its first token is the first of 64, as LLMeter counts."""
    first, whole = outcome.first_token.p50 / 1e3, outcome.latency.p50 / 1e3
    return Times(first, (whole - first) / (TOKENS - 1), whole)
