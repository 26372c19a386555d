"""Spans as the SDK of OpenTelemetry has them, sent by its exporter: OTLP, protobuf over HTTP.

The SDK's own way to make a span (a provider, a tracer, a processor) is not taken: it costs some 20 us on the loop for
each, where these are made of plain values in the thread that sends them.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from proxy import __version__
from proxy.telemetry import messages
from proxy.telemetry.otlp_metrics import Meters

if TYPE_CHECKING:
    from proxy.core.span import Span
    from proxy.telemetry.measures import Measure
    from proxy.telemetry.wanted import Wanted

_UNKNOWN = "unknown_service"
_SCOPE = InstrumentationScope("headrace", __version__)
_KINDS = {True: SpanKind.SERVER, False: SpanKind.CLIENT}
_UNSET, _ERROR = Status(StatusCode.UNSET), Status(StatusCode.ERROR)


class Otlp:
    """Sends spans to a collector, and what is counted where that is wanted."""

    def __init__(self, wanted: Wanted, began: float = 0.0) -> None:
        """`began`: Unix time since when there is counted what is sent."""
        # Of what fails `Sender` says as much as there is to say, once and not with each batch.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        headers = {name: value.reveal() for name, value in wanted.headers.items()}
        self._exporter = OTLPSpanExporter(endpoint=wanted.endpoint, headers=headers or None)
        self._resource = resource(wanted)
        self._meters = Meters(wanted, self._resource, _SCOPE, began) if wanted.metrics else None
        self._stopped = False

    def send(self, spans: Sequence[Span]) -> bool:
        """See `sending.Exporter`."""
        made = [readable(span, self._resource) for span in spans]
        return self._exporter.export(made) is SpanExportResult.SUCCESS

    def measure(self, measures: Sequence[Measure]) -> bool:
        """See `sending.Exporter`."""
        return self._meters is None or self._meters.send(measures)

    def stop(self) -> None:
        """See `sending.Exporter`."""
        if not self._stopped:
            self._stopped = True
            self._exporter.shutdown()  # type: ignore[no-untyped-call]
            if self._meters is not None:
                self._meters.stop()


def resource(wanted: Wanted) -> Resource:
    """Who sends them."""
    found = Resource.create(
        {
            "service.version": __version__,
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            **({} if wanted.service_name is None else {SERVICE_NAME: wanted.service_name}),
        }
    )
    name = str(found.attributes.get(SERVICE_NAME, _UNKNOWN))
    if name.startswith(_UNKNOWN):
        found = found.merge(Resource({SERVICE_NAME: wanted.name}))
    return found


def readable(span: Span, resource: Resource) -> ReadableSpan:
    """One span, as the exporter takes it."""
    attributes = span.attributes
    if span.content is not None:
        attributes = {**attributes, **messages.attributes(span.content)}
    state = TraceState.from_header([span.state]) if span.state else None
    parent = None
    if span.parent_id:
        parent = _context(span.trace_id, span.parent_id, span.flags, None, remote=span.remote)
    return ReadableSpan(
        span.name,
        _context(span.trace_id, span.span_id, span.flags, state, remote=False),
        parent=parent,
        resource=resource,
        attributes=attributes,
        events=[Event(one.name, timestamp=_nano(one.at)) for one in span.events],
        kind=_KINDS[span.server],
        status=_ERROR if span.error else _UNSET,
        start_time=_nano(span.started),
        end_time=_nano(max(span.ended, span.started)),
        instrumentation_scope=_SCOPE,
    )


def _context(
    trace_id: str, span_id: str, flags: int, state: TraceState | None, *, remote: bool
) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), remote, TraceFlags(flags), state)


def _nano(moment: float) -> int:
    return int(moment * 1e9)
