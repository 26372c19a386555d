"""What tracing costs a request on the loop: off, on and not recorded, recorded; and a span the thread that sends it.

Without sockets and in one thread, as `line.py` has it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from bench import line
from bench.accounts import WAYS, settings_of
from bench.store import Figure
from proxy.core.config import parse
from proxy.core.span import Span
from proxy.gateway.tracing import Tracer
from proxy.state.snapshot import compile_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UNSAMPLED = b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


class Plan(Struct, frozen=True):
    """How much of everything."""

    batches: int = 400
    spans: int = 5_000


QUICK = Plan(batches=5, spans=50)


class Way(Struct, frozen=True):
    """One way to trace; None: not at all."""

    label: str
    sample: float | None
    headers: tuple[bytes, ...] = ()


TRACED: Mapping[str, Way] = {
    "off": Way("off", None),
    "lot": Way("on, not drawn", 1e-9),
    "parent": Way("on, the client's is not recorded", 1.0, (UNSAMPLED,)),
    "recorded": Way("recorded", 1.0),
}


def measure(plan: Plan, say: Callable[[str], None]) -> list[Figure]:
    """The tenth of the batches, which is the machine at rest; differences to `off`, and their median in turns."""
    spans: list[Span] = []

    def put(made: list[Span]) -> None:
        if len(spans) < plan.spans:
            spans.extend(made)

    with ExitStack() as stack:
        folder = Path("/nonexistent")
        text = settings_of(WAYS["off"], folder, folder, "http://127.0.0.1:1")
        snapshot = compile_snapshot(parse(text).config)
        lines = {}
        for name, way in TRACED.items():
            one = lines[name] = line.Line(snapshot, None, stack, *way.headers)
            if way.sample is not None:
                one.state.tracer = Tracer(put, sample=way.sample)
        costs = asyncio.run(line.in_turns(lines, plan.batches))
    tenths = {name: sorted(values)[len(values) // 10] for name, values in costs.items()}
    found = [
        Figure(
            f"tracing_{name}", f"thread time of the line: tracing {way.label}", tenths[name], "µs"
        )
        for name, way in TRACED.items()
    ]
    for name, way in TRACED.items():
        if name == "off":
            continue
        turns = [one - other for one, other in zip(costs[name], costs["off"], strict=True)]
        label = f"the line: tracing {way.label} - off"
        found.append(
            Figure(
                f"tracing_{name}_off", f"{label}, of the tenths", tenths[name] - tenths["off"], "µs"
            )
        )
        found.append(
            Figure(f"tracing_{name}_off_p50", f"{label}, median", statistics.median(turns), "µs")
        )
    say(f"tracing: {len(spans)} spans to encode")
    return [*found, Figure("tracing_span", "the thread: to encode a span", encoding(spans), "µs")]


def encoding(spans: list[Span]) -> float:
    """Microseconds of the thread a span, in batches as they are sent."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    from proxy.telemetry.otlp import readable, resource
    from proxy.telemetry.wanted import BATCH, Wanted

    whose = resource(Wanted(None, {}, 1.0, True, "bench", 0))
    each = []
    for start in range(0, len(spans), BATCH):
        batch = spans[start : start + BATCH]
        before = time.thread_time_ns()
        encode_spans([readable(span, whose) for span in batch]).SerializeToString()
        each.append((time.thread_time_ns() - before) / 1e3 / len(batch))
    return statistics.median(each)
