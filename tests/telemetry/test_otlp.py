"""What the SDK makes of our spans, seen from the collector's side."""

from __future__ import annotations

import asyncio

import pytest

from proxy import __version__
from proxy.core.secret import Secret
from proxy.core.span import Content, Event, Span
from proxy.telemetry.otlp import Otlp, readable, resource
from proxy.telemetry.wanted import Wanted
from tests.telemetry.collector import collecting

TRACE, SPAN, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "1" * 16


def want(**fields: object) -> Wanted:
    return Wanted(
        **{
            "endpoint": None,
            "headers": {},
            "sample": 1.0,
            "follow": True,
            "service_name": None,
            "content": 0,
            **fields,
        }  # type: ignore[arg-type]
    )


def span(**fields: object) -> Span:
    return Span(
        **{
            "name": "POST /v1/chat/completions",
            "server": True,
            "trace_id": TRACE,
            "span_id": SPAN,
            "parent_id": PARENT,
            "remote": True,
            "flags": 1,
            "state": "vendor=1",
            "started": 1_800_000_000.25,
            "ended": 1_800_000_001.5,
            "error": True,
            "attributes": {"a": "text", "b": 2, "c": 0.5, "d": True, "e": ["stop"]},
            "events": (Event("first", 1_800_000_000.5),),
            **fields,
        }  # type: ignore[arg-type]
    )


async def test_a_span_arrives_as_it_was() -> None:
    async with collecting() as collector:
        wanted = want(endpoint=f"{collector.url}/v1/traces", headers={"x-key": Secret("canary")})
        exporter = await asyncio.to_thread(Otlp, wanted)
        assert await asyncio.to_thread(exporter.send, [span(), span(server=False, error=False)])
        exporter.stop()
        exporter.stop()

        first, second = collector.spans
    assert (first.trace_id, first.span_id, first.parent_id) == (TRACE, SPAN, PARENT)
    assert (first.kind, second.kind) == ("server", "client")
    assert (first.error, second.error) == (True, False)
    assert first.state == "vendor=1"
    # To the microsecond: a float of today's date holds no more.
    assert round(first.started, -3) == 1_800_000_000_250_000_000
    assert round(first.ended, -3) == 1_800_000_001_500_000_000
    assert first.attributes == {"a": "text", "b": 2, "c": 0.5, "d": True, "e": ["stop"]}
    assert first.events == ["first"]
    assert first.resource["service.version"] == __version__
    assert collector.headers[0]["x-key"] == "canary"
    assert collector.paths == ["/v1/traces"]


async def test_a_collector_that_refuses_is_told_of() -> None:
    async with collecting() as collector:
        collector.status = 401
        exporter = await asyncio.to_thread(Otlp, want(endpoint=collector.url))
        assert not await asyncio.to_thread(exporter.send, [span()])
        exporter.stop()


def test_a_trace_that_begins_here_has_no_parent() -> None:
    assert readable(span(parent_id=""), resource(want())).parent is None


def test_a_clock_that_went_back_gives_no_span_that_ends_before_it_began() -> None:
    made = readable(span(ended=1.0), resource(want()))

    assert made.start_time == made.end_time


def test_what_was_said_becomes_attributes() -> None:
    content = Content(b'{"messages":[{"role":"user","content":"hi"}]}', "hello", "stop", 100)

    attributes = readable(span(content=content), resource(want())).attributes

    assert attributes is not None
    assert attributes["a"] == "text"
    assert "hello" in str(attributes["gen_ai.output.messages"])


@pytest.mark.parametrize(
    ("own", "environment", "expected"),
    [(None, "", "headrace"), (None, "service.name=theirs", "theirs"), ("ours", "service.name=theirs", "ours")],
)  # fmt: skip
def test_who_sends_has_a_name(
    own: str | None, environment: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", environment)

    found = resource(want(service_name=own)).attributes

    assert found["service.name"] == expected
    assert found["service.instance.id"]
