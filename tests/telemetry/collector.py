"""A collector: takes OTLP over HTTP on loopback, and keeps the spans as plain values."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from msgspec import Struct
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

KINDS = {trace_pb2.Span.SPAN_KIND_SERVER: "server", trace_pb2.Span.SPAN_KIND_CLIENT: "client"}


class Seen(Struct):
    """A span as it came."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    flags: int
    error: bool
    started: int
    ended: int
    attributes: dict[str, Any]
    events: list[str]
    resource: dict[str, Any]


class Metric(Struct):
    """A family as it came: attributes of each series to its number, or its (count, sum, bounds, counts)."""

    name: str
    unit: str
    kind: str
    """`sum`, `gauge`, `histogram`."""
    points: list[tuple[dict[str, Any], Any]]
    resource: dict[str, Any]
    began: set[int]
    """Since when each is counted, in nanoseconds."""


class Collector:
    """What came. `status` is what it answers with; while `held` is clear it does not answer."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[Seen] = []
        self.metrics: dict[str, Metric] = {}
        """The last of each name."""
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.status = 200
        self.open = asyncio.Event()
        self.open.set()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.paths.append(request.path)
        await self.open.wait()
        if self.status == 200 and request.path == "/v1/metrics":
            self.metrics |= _metrics(body)
        elif self.status == 200:
            message = ExportTraceServiceRequest.FromString(body)
            for group in message.resource_spans:
                resource = _plain(group.resource.attributes)
                for scope in group.scope_spans:
                    self.spans += [_seen(span, resource) for span in scope.spans]
        return web.Response(status=self.status)

    async def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait for what is to come."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)

    async def trace(self, count: int) -> tuple[Seen, list[Seen]]:
        """Once there are so many spans, all of one trace: that of the exchange, and those of its attempts by start."""
        await self.until(lambda: len(self.spans) >= count)
        assert len(self.spans) == count
        assert len({span.trace_id for span in self.spans}) == 1
        (server,) = [span for span in self.spans if span.kind == "server"]
        attempts = sorted(
            (span for span in self.spans if span.kind == "client"), key=lambda one: one.started
        )
        assert {one.parent_id for one in attempts} <= {server.span_id}
        return server, attempts


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """One on a free port."""
    collector = Collector()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", collector.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        collector.open.set()
        await runner.cleanup()


def _seen(span: trace_pb2.Span, resource: dict[str, Any]) -> Seen:
    return Seen(
        name=span.name,
        kind=KINDS[span.kind],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        state=span.trace_state,
        flags=span.flags,
        error=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        started=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        attributes=_plain(span.attributes),
        events=[event.name for event in span.events],
        resource=resource,
    )


def _metrics(body: bytes) -> dict[str, Metric]:
    found: dict[str, Metric] = {}
    for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        resource = _plain(group.resource.attributes)
        for scope in group.scope_metrics:
            for one in scope.metrics:
                kind = one.WhichOneof("data")
                assert kind is not None
                came = getattr(one, kind).data_points
                points = [(_plain(point.attributes), _number(point)) for point in came]
                began = {point.start_time_unix_nano for point in came}
                found[one.name] = Metric(one.name, one.unit, kind, points, resource, began)
    return found


def _number(point: Any) -> Any:
    if hasattr(point, "bucket_counts"):
        return point.count, point.sum, list(point.explicit_bounds), list(point.bucket_counts)
    return getattr(point, point.WhichOneof("value"))


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)
