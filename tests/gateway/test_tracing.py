"""Who is recorded: the client decides, or the lot, and both before anything is made."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.span import Span
from proxy.gateway.attempt import Attempt
from proxy.gateway.exchange import Exchange
from proxy.gateway.tracing import Trace, Tracer
from tests.gateway import asked

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def exchange(*headers: str) -> Exchange:
    lines = "".join(f"{line}\r\n" for line in ("host: localhost", "content-length: 2", *headers))
    return asked.exchange(f"POST /v1/chat/completions HTTP/1.1\r\n{lines}\r\n{{}}".encode())


def traced(tracer: Tracer, *headers: str) -> Trace | None:
    one = exchange(*headers)
    tracer.begin(one)
    assert one.trace is None or isinstance(one.trace, Trace)
    return one.trace


def tracer(**settings: Any) -> Tracer:
    taken: list[Span] = []
    return Tracer(taken.extend, **settings)


async def test_a_trace_that_begins_here_is_called_like_its_request() -> None:
    one = exchange()
    tracer().begin(one)

    assert isinstance(one.trace, Trace)
    assert one.trace.id == one.id.replace("-", "")
    assert re.fullmatch("[0-9a-f]{16}", one.trace.span_id)


async def test_a_name_that_a_client_gave_is_no_name_of_a_trace() -> None:
    first = traced(tracer(), "x-request-id: same")
    second = traced(tracer(), "x-request-id: same")

    assert first is not None
    assert second is not None
    assert first.id != second.id
    assert re.fullmatch("[0-9a-f]{32}", first.id)


@pytest.mark.parametrize(
    ("flags", "sample", "follow", "recorded"),
    [
        ("01", 0.0, True, True),
        ("00", 1.0, True, False),
        ("03", 0.0, True, True),
        ("02", 1.0, True, False),
        ("01", 0.0, False, False),
        ("00", 1.0, False, True),
    ],
)
async def test_a_parent_decides_or_the_lot_does(
    flags: str, sample: float, follow: bool, recorded: bool
) -> None:
    found = traced(tracer(sample=sample, follow=follow), f"traceparent: 00-{TRACE}-{SPAN}-{flags}")

    assert (found is not None) is recorded
    assert found is None or found.id == TRACE


async def test_two_parents_are_none() -> None:
    lines = [f"traceparent: 00-{TRACE}-{SPAN}-01"] * 2

    assert traced(tracer(sample=0.0), *lines) is None
    found = traced(tracer(), *lines)
    assert found is not None
    assert found.id != TRACE


@given(st.floats(0, 1), st.integers(0, (1 << 56) - 1))
def test_whoever_draws_by_the_last_bits_draws_the_same(sample: float, bits: int) -> None:
    id = f"{'1' * 18}{bits:014x}"

    drawn = id[18:] >= tracer(sample=sample)._bound

    # Level 2 of the specification: those are taken that are not below the share that is left out.
    assert drawn is (bits >= round((1 - sample) * 2**56))


async def test_a_share_is_about_that_share() -> None:
    some = tracer(sample=0.25)

    taken = 0
    for _ in range(2_000):
        taken += traced(some) is not None
        await asyncio.sleep(0)  # all of them at once would keep the loop for too long

    # 500 and seven deviations: once in ten to the eleventh.
    assert 364 < taken < 636


@pytest.mark.parametrize("sample", [0.0, 1.0])
async def test_all_and_none_are_that(sample: float) -> None:
    some = tracer(sample=sample)

    assert {traced(some) is not None for _ in range(200)} == {bool(sample)}


async def test_what_is_told_a_provider_names_the_span_of_its_attempt() -> None:
    one = exchange(f"traceparent: 00-{TRACE}-{SPAN}-03", "tracestate: a=1", "tracestate: b=2")
    tracer().begin(one)
    candidate: Any = None
    first, second = Attempt(one, candidate), Attempt(one, candidate)
    assert one.trace is not None

    told = [one.trace.context(attempt).decode() for attempt in (first, second)]

    ids = [re.fullmatch(rf"traceparent: 00-{TRACE}-(\w{{16}})-03\r\ntracestate: a=1,b=2\r\n", one) for one in told]  # fmt: skip
    assert all(ids)
    assert len({found[1] for found in ids if found} | {SPAN, one.trace.span_id}) == 4  # type: ignore[attr-defined]


async def test_a_mistake_in_spans_is_no_mistake_of_the_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = exchange()
    trace = Trace(tracer(), one, TRACE, None, "")
    meter: Any = None

    trace.over(meter)

    assert one.trace is None
    assert "could not be made" in caplog.text
