"""What is counted, as the SDK of OpenTelemetry has it: cumulative since the worker began, sent by its exporter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)

from proxy.core import clock
from proxy.core.series import Kind

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from proxy.telemetry.measures import Measure, Point
    from proxy.telemetry.wanted import Wanted

_CUMULATIVE = AggregationTemporality.CUMULATIVE
_SCHEMA = ""


class Meters:
    """Sends what is counted to a collector."""

    def __init__(
        self, wanted: Wanted, resource: Resource, scope: InstrumentationScope, began: float
    ) -> None:
        """`began`: Unix time since when there is counted. A reload makes another of these, and counts go on."""
        headers = {name: value.reveal() for name, value in wanted.headers.items()}
        self._exporter = OTLPMetricExporter(
            endpoint=wanted.metrics_endpoint, headers=headers or None
        )
        self._resource = resource
        self._scope = scope
        self._began = _nano(began)

    def send(self, measures: Sequence[Measure]) -> bool:
        """Whether the collector has it. Blocks."""
        now = _nano(clock.now())
        metrics = [metric(one, self._began, now) for one in measures]
        scoped = ScopeMetrics(self._scope, metrics, _SCHEMA)
        data = MetricsData([ResourceMetrics(self._resource, [scoped], _SCHEMA)])
        return self._exporter.export(data) is MetricExportResult.SUCCESS

    def stop(self) -> None:
        """From another thread: what is being sent is given up soon."""
        self._exporter.shutdown()


def metric(measure: Measure, began: int, now: int) -> Metric:
    """One family, as the exporter takes it. Times in nanoseconds."""
    data: Sum | Gauge | Histogram
    if measure.kind is Kind.HISTOGRAM:
        points = [_histogram(one, measure.bounds, began, now) for one in measure.points]
        data = Histogram(points, _CUMULATIVE)
    else:
        numbers = [NumberDataPoint(one.attributes, began, now, one.value) for one in measure.points]
        counts = measure.kind is Kind.COUNTER
        data = Sum(numbers, _CUMULATIVE, is_monotonic=True) if counts else Gauge(numbers)
    return Metric(measure.name, measure.help, measure.unit, data)


def _histogram(point: Point, bounds: tuple[float, ...], began: int, now: int) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=point.attributes,
        start_time_unix_nano=began,
        time_unix_nano=now,
        count=sum(point.counts),
        sum=point.value,
        bucket_counts=point.counts,
        explicit_bounds=bounds,
        min=None,  # type: ignore[arg-type]  # not known: the protocol may leave them out
        max=None,  # type: ignore[arg-type]
    )


def _nano(moment: float) -> int:
    return int(moment * 1e9)
