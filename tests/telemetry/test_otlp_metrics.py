"""What is counted arrives as it was counted."""

from __future__ import annotations

import asyncio

from proxy.core.series import Kind
from proxy.telemetry.measures import Measure, Point
from proxy.telemetry.otlp import Otlp
from proxy.telemetry.wanted import Wanted
from tests.telemetry.collector import collecting

COUNTED = [
    Measure("a", "A.", "1", Kind.COUNTER, (), (Point({"x": "y"}, 3), Point({}, 0.5))),
    Measure("b", "B.", "By", Kind.GAUGE, (), (Point({}, 7),)),
    Measure("c", "C.", "s", Kind.HISTOGRAM, (0.1, 1.0), (Point({}, 7.5, (0, 1, 2)),)),
]


def want(url: str, metrics: float) -> Wanted:
    return Wanted(
        f"{url}/v1/traces",
        {},
        1.0,
        True,
        None,
        0,
        metrics=metrics,
        metrics_endpoint=f"{url}/v1/metrics",
    )


async def test_every_kind_arrives() -> None:
    async with collecting() as collector:
        exporter = await asyncio.to_thread(Otlp, want(collector.url, 1.0))
        assert await asyncio.to_thread(exporter.measure, COUNTED)
        exporter.stop()

    found = collector.metrics
    assert {name: (one.kind, one.unit) for name, one in found.items()} == {
        "a": ("sum", "1"),
        "b": ("gauge", "By"),
        "c": ("histogram", "s"),
    }
    assert found["a"].points == [({"x": "y"}, 3), ({}, 0.5)]
    assert found["b"].points == [({}, 7)]
    assert found["c"].points == [({}, (3, 7.5, [0.1, 1.0], [0, 1, 2]))]


async def test_a_collector_that_refuses_is_told_of() -> None:
    async with collecting() as collector:
        collector.status = 400
        exporter = await asyncio.to_thread(Otlp, want(collector.url, 1.0))
        assert not await asyncio.to_thread(exporter.measure, COUNTED)
        exporter.stop()


async def test_where_it_is_not_wanted_nothing_is_sent() -> None:
    async with collecting() as collector:
        exporter = await asyncio.to_thread(Otlp, want(collector.url, 0.0))
        assert await asyncio.to_thread(exporter.measure, COUNTED)
        exporter.stop()

    assert collector.paths == []
