"""What is measured: each scenario is one load and the figures read from its outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from bench.load import Load, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL_BODY = 250
LARGE_BODY = 20_000
BODIES = {"1 KB": 1_000, "64 KB": 64_000, "1 MB": 1_000_000, "8 MB": 8_000_000}
NOISY_PERCENT = 10.0
NEAR = 0.8
"""Part of what the tools can do by themselves from which on a rate is theirs rather than the peer's."""
BASELINE = "nginx"
NOTHING = "bare"
"""The peer that is none."""
SUBJECT = "headrace"
TWO, FOUR, MANY = "2 workers", "4 workers", "many"
"""Headrace with so many workers; with 100,000 keys and 1,000 deployments."""
HALF = 2500.0
"""Requests a second: on the machines this was written on, about half of what aiohttp alone does on one core."""
TRANSLATED = ("to responses", "to messages", "to gemini", "to bedrock")
"""Headrace again, with a provider of another dialect than the client's."""


SEALED, SEALED_BASELINE, SEALED_NOTHING = "headrace tls", "nginx tls", "bare tls"
"""The same with TLS to the client and to the provider."""


class Goal(Struct, frozen=True):
    """The most a figure of Headrace may be: `limit` times the baseline's, or `limit` itself."""

    limit: float
    is_ratio: bool = True


class Metric(Struct, frozen=True):
    """One row of the report; less is better unless it only informs."""

    name: str
    label: str
    unit: str
    value: Callable[[Outcome], float | None]
    goal: Goal | None = None
    is_cost: bool = True
    added: bool = False
    """Less what it is without anything between, in the same round; only where that is measured."""


class Scale(Struct, frozen=True):
    """How much of everything: full by default, small with --quick."""

    rounds: int = 3
    attempts: int = 3
    seconds: float = 4.0
    warm: float = 1.0
    streams: int = 100
    arrivals: int = 4000
    held: tuple[int, ...] = (1000, 2000)


QUICK = Scale(rounds=1, attempts=1, seconds=0.6, warm=0.3, streams=20, arrivals=50, held=(50, 100))


class Scenario(Struct, frozen=True):
    """`fresh`: each round gets a new process, because memory and connections do not come back.

    `peers` take part instead of those the command line names; `baseline` is what they are compared with.
    """

    name: str
    group: str
    about: str
    load: Callable[[Scale], Load]
    metrics: tuple[Metric, ...]
    fresh: bool = False
    peers: tuple[str, ...] = ()
    baseline: str = BASELINE
    nothing: str = NOTHING
    """What a latency is added to."""
    rate: Callable[[Outcome], float] | None = None
    """Of a closed loop: how much a second, to be held against what the tools could do by themselves."""


def requests_per_second(outcome: Outcome) -> float:
    return outcome.requests / outcome.seconds


def tokens_per_second(outcome: Outcome) -> float:
    return outcome.tokens / outcome.seconds


def cpu_per_request(outcome: Outcome) -> float | None:
    return outcome.cpu_us / outcome.requests if outcome.cpu_us and outcome.requests else None


def cpu_per_token(outcome: Outcome) -> float | None:
    return outcome.cpu_us / outcome.tokens if outcome.cpu_us and outcome.tokens else None


def busy_percent(outcome: Outcome) -> float | None:
    return outcome.cpu_us / outcome.seconds / 1e4 if outcome.cpu_us else None


def others_percent(outcome: Outcome) -> float | None:
    return outcome.others_cpu_us / outcome.seconds / 1e4 if outcome.cpu_us else None


def held_kb(outcome: Outcome) -> float | None:
    if not outcome.held or not outcome.memory_before_kb:
        return None
    most = outcome.held[-1]
    return (most.memory_kb - outcome.memory_before_kb) / most.streams


def _requests(connections: int, body_bytes: int, rate: float = 0.0) -> Callable[[Scale], Load]:
    return lambda scale: Load(
        model="sim-n16-d0-f0-s4",
        connections=connections,
        seconds=scale.seconds,
        warm=scale.warm,
        body_bytes=body_bytes,
        rate=rate,
    )


def _latencies(name: str, label: str, goal: Goal | None = None) -> tuple[Metric, ...]:
    return (
        Metric(f"{name}_p50", f"{label} p50", "µs", lambda o: o.latency.p50),
        Metric(f"{name}_p99", f"{label} p99", "µs", lambda o: o.latency.p99),
        Metric(f"{name}_p999", f"{label} p99.9", "µs", lambda o: o.latency.p999),
        Metric(
            f"{name}_added", f"{label} added, p50", "µs", lambda o: o.latency.p50, goal, added=True
        ),
        Metric(
            f"{name}_added_p99", f"{label} added, p99", "µs", lambda o: o.latency.p99, added=True
        ),
        Metric(
            f"{name}_added_p999",
            f"{label} added, p99.9",
            "µs",
            lambda o: o.latency.p999,
            added=True,
        ),
    )


def _body(name: str, size: int) -> Scenario:
    word = name.replace(" ", "").lower()
    goal = Goal(1.5) if size == BODIES["1 MB"] else None
    return Scenario(
        name=f"body_{word}",
        group="bodies",
        about=f"4 connections, {name} chat",
        load=_requests(4, size),
        metrics=(Metric(f"body_{word}", f"CPU a request of {name}", "µs", cpu_per_request, goal),),
        rate=requests_per_second,
    )


def _streams(connections: int | None, model: str) -> Callable[[Scale], Load]:
    return lambda scale: Load(
        model=model,
        stream=True,
        connections=min(connections or scale.streams, scale.streams),
        seconds=scale.seconds,
        warm=scale.warm,
        body_bytes=SMALL_BODY,
    )


SCENARIOS = (
    Scenario(
        name="request",
        group="request",
        about=f"16 connections, {SMALL_BODY} byte chat, answers at once",
        load=_requests(16, SMALL_BODY),
        metrics=(
            Metric("request", "CPU a request", "µs", cpu_per_request, Goal(4.5)),
            Metric(
                "request_rate",
                "requests",
                "a second",
                requests_per_second,
                is_cost=False,
            ),
            Metric("request_busy", "its core busy", "%", busy_percent, is_cost=False),
        ),
        rate=requests_per_second,
    ),
    Scenario(
        name="large",
        group="request",
        about=f"16 connections, {LARGE_BODY // 1000} KB chat",
        load=_requests(16, LARGE_BODY),
        metrics=(Metric("request_20k", "CPU a 20 KB request", "µs", cpu_per_request),),
        rate=requests_per_second,
    ),
    Scenario(
        name="latency",
        group="request",
        about="one connection, one request after the other",
        load=_requests(1, SMALL_BODY),
        metrics=_latencies("latency", "latency", Goal(2)),
    ),
    Scenario(
        name="half",
        group="half",
        about=f"{HALF:,.0f} requests a second on 32 connections, whether they are answered or not",
        load=_requests(32, SMALL_BODY, HALF),
        metrics=_latencies("half", "latency at half load"),
    ),
    *(_body(name, size) for name, size in BODIES.items()),
    Scenario(
        name="token",
        group="token",
        about="100 streams of 64 tokens, one each 20 ms",
        load=_streams(None, "sim-n64-d20-f0-s4-t"),
        metrics=(
            Metric("token", "CPU a paced token", "µs", cpu_per_token, Goal(1.6)),
            Metric("token_delay_p50", "token delay p50", "µs", lambda o: o.token_delay.p50),
            Metric("token_delay_p99", "token delay p99", "µs", lambda o: o.token_delay.p99),
        ),
    ),
    Scenario(
        name="burst",
        group="burst",
        about="16 streams of 256 tokens, one each millisecond",
        load=_streams(16, "sim-n256-d1-f0-s4-t"),
        metrics=(Metric("burst", "CPU a burst token", "µs", cpu_per_token, Goal(2)),),
    ),
    Scenario(
        name="bulk",
        group="burst",
        about="16 streams of 256 tokens, all at once",
        load=_streams(16, "sim-n256-d0-f0-s4-t"),
        metrics=(Metric("bulk", "CPU a token in bulk", "µs", cpu_per_token),),
        rate=tokens_per_second,
    ),
    Scenario(
        name="first",
        group="ttft",
        about="one connection, one stream of 4 tokens after the other",
        load=_streams(1, "sim-n4-d1-f0-s4-t"),
        metrics=(
            Metric("first_p50", "first token, p50", "µs", lambda o: o.first_token.p50),
            Metric("first_p99", "first token, p99", "µs", lambda o: o.first_token.p99),
            Metric(
                "first_added",
                "first token added, p50",
                "µs",
                lambda o: o.first_token.p50,
                added=True,
            ),
            Metric(
                "first_added_p99",
                "first token added, p99",
                "µs",
                lambda o: o.first_token.p99,
                added=True,
            ),
        ),
    ),
    Scenario(
        name="ttft",
        group="ttft",
        about="4,000 streams asked for at one instant",
        load=lambda scale: Load(
            model="sim-n4-d20-f0-s4-t",
            shape="arrive",
            stream=True,
            connections=scale.arrivals,
            warm=scale.warm,
        ),
        metrics=(
            Metric(
                "ttft_p50", "first token of 4,000, p50", "µs", lambda o: o.first_token.p50, Goal(4)
            ),
            Metric("ttft_p99", "first token of 4,000, p99", "µs", lambda o: o.first_token.p99),
        ),
        fresh=True,
    ),
    Scenario(
        name="held",
        group="held",
        about="2,000 streams, silent after their first token",
        load=lambda scale: Load(
            model="sim-n1000-d600000-f0-s4-t",
            shape="hold",
            stream=True,
            hold=list(scale.held),
            warm=scale.warm,
        ),
        metrics=(Metric("held", "memory a held stream", "KB", held_kb, Goal(30, is_ratio=False)),),
        fresh=True,
    ),
    Scenario(
        name="limit_requests",
        group="limits",
        about=f"nothing between: 64 connections, {SMALL_BODY} byte chat, answers at once",
        load=_requests(64, SMALL_BODY),
        metrics=(
            Metric(
                "limit_requests",
                "load generator and simulator alone, requests",
                "a second",
                requests_per_second,
                is_cost=False,
            ),
        ),
        peers=(NOTHING,),
        baseline=NOTHING,
    ),
    Scenario(
        name="limit_tokens",
        group="limits",
        about="nothing between: 64 streams of 256 tokens, all at once",
        load=_streams(64, "sim-n256-d0-f0-s4-t"),
        metrics=(
            Metric(
                "limit_tokens",
                "load generator and simulator alone, tokens",
                "a second",
                tokens_per_second,
                is_cost=False,
            ),
        ),
        peers=(NOTHING,),
        baseline=NOTHING,
    ),
    Scenario(
        name="many",
        group="many",
        about="100,000 keys and 1,000 deployments against one of each",
        load=_requests(16, SMALL_BODY),
        metrics=(Metric("many", "CPU a request", "µs", cpu_per_request, Goal(1.05)),),
        peers=(SUBJECT, MANY),
        baseline=SUBJECT,
    ),
    Scenario(
        name="workers",
        group="workers",
        about="two workers on the one core, against one",
        load=_requests(16, SMALL_BODY),
        metrics=(Metric("workers", "CPU a request", "µs", cpu_per_request, Goal(1.05)),),
        peers=(SUBJECT, TWO),
        baseline=SUBJECT,
    ),
    Scenario(
        name="four_workers",
        group="workers",
        about="four workers on the one core, against one",
        load=_requests(16, SMALL_BODY),
        metrics=(Metric("four_workers", "CPU a request", "µs", cpu_per_request),),
        peers=(SUBJECT, FOUR),
        baseline=SUBJECT,
    ),
    Scenario(
        name="translated",
        group="translate",
        about="the paced streams for a chat client, from providers of other dialects",
        load=_streams(None, "sim-n64-d20-f0-s4-t"),
        metrics=(Metric("translated", "CPU a paced token", "µs", cpu_per_token, Goal(1.5)),),
        peers=(SUBJECT, *TRANSLATED),
        baseline=SUBJECT,
    ),
    Scenario(
        name="translated_burst",
        group="translate",
        about="the burst for a chat client, from providers of other dialects",
        load=_streams(16, "sim-n256-d1-f0-s4-t"),
        metrics=(Metric("translated_burst", "CPU a burst token", "µs", cpu_per_token),),
        peers=(SUBJECT, *TRANSLATED),
        baseline=SUBJECT,
    ),
    Scenario(
        name="translated_request",
        group="translate",
        about=f"{SMALL_BODY} byte chat answered whole, by providers of other dialects",
        load=_requests(16, SMALL_BODY),
        metrics=(Metric("translated_request", "CPU a request", "µs", cpu_per_request),),
        peers=(SUBJECT, *TRANSLATED),
        baseline=SUBJECT,
    ),
    Scenario(
        name="tls_request",
        group="tls",
        about=f"16 connections, {SMALL_BODY} byte chat, TLS to client and provider",
        load=_requests(16, SMALL_BODY),
        metrics=(Metric("tls_request", "CPU a request", "µs", cpu_per_request),),
        peers=(SEALED_BASELINE, SEALED),
        baseline=SEALED_BASELINE,
    ),
    Scenario(
        name="tls_token",
        group="tls",
        about="100 streams of 64 tokens, one each 20 ms, TLS to client and provider",
        load=_streams(None, "sim-n64-d20-f0-s4-t"),
        metrics=(
            Metric("tls_token", "CPU a paced token", "µs", cpu_per_token),
            Metric("tls_token_delay_p50", "token delay p50", "µs", lambda o: o.token_delay.p50),
        ),
        peers=(SEALED_BASELINE, SEALED),
        baseline=SEALED_BASELINE,
    ),
    Scenario(
        name="tls_latency",
        group="tls",
        about="one connection, one request after the other, TLS to client and provider",
        load=_requests(1, SMALL_BODY),
        metrics=_latencies("tls_latency", "latency"),
        peers=(SEALED_NOTHING, SEALED_BASELINE, SEALED),
        baseline=SEALED_BASELINE,
        nothing=SEALED_NOTHING,
    ),
    Scenario(
        name="tls_body",
        group="tls",
        about="4 connections, 1 MB chat, TLS to client and provider",
        load=_requests(4, BODIES["1 MB"]),
        metrics=(Metric("tls_body", "CPU a request of 1 MB", "µs", cpu_per_request),),
        peers=(SEALED_BASELINE, SEALED),
        baseline=SEALED_BASELINE,
    ),
)

GROUPS = tuple(dict.fromkeys(scenario.group for scenario in SCENARIOS))


def warm_up(scale: Scale) -> Load:
    """What a fresh process answers before it is measured, so that code and caches are in place."""
    return Load(
        model="sim-n16-d1-f0-s4-t",
        stream=True,
        connections=8,
        seconds=scale.warm / 2,
        warm=scale.warm / 2,
    )
