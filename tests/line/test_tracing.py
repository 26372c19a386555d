"""Spans of real requests, as a real collector takes them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.line.harness import Simulator, config, serving
from tests.telemetry.collector import Collector, collecting

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
ASKED = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    simulator = Simulator()
    yield simulator
    simulator.stop()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as found:
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own environment; spans do not wait for company."""
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "5")


def traced(collector: Collector, *urls: str, **changes: Any) -> dict[str, Any]:
    tracing = {"enabled": True, "endpoint": collector.url, **changes.pop("tracing", {})}
    return config(*urls, tracing=tracing, **changes)


async def test_a_request_is_one_span_and_its_attempt_another(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    async with serving(traced(collector, sim.url), tmp_path) as proxy:
        answer = await proxy.chat("sim", max_tokens=9)
        server, (attempt,) = await collector.trace(2)

    assert answer.status == 200
    assert server.name == "POST /v1/chat/completions"
    # The trace can be found by what the client was told, and by what the log says.
    assert server.trace_id == answer.headers["x-request-id"].replace("-", "")
    assert server.parent_id == ""
    assert server.resource["service.name"] == "headrace"
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["http.route"] == "/v1/chat/completions"
    assert server.attributes["headrace.request_id"] == answer.headers["x-request-id"]
    assert server.attributes["headrace.key"] == "test"
    assert server.attributes["headrace.outcome"] == "ok"
    assert server.attributes["gen_ai.operation.name"] == "chat"
    assert server.attributes["gen_ai.request.model"] == "sim"
    assert 0 < server.attributes["gen_ai.response.time_to_first_chunk"] < 60
    assert server.events == ["headrace.first_chunk"]

    assert attempt.name == "chat sim"
    assert attempt.attributes["gen_ai.provider.name"] == "p0"
    assert attempt.attributes["gen_ai.request.max_tokens"] == 9
    assert attempt.attributes["gen_ai.response.finish_reasons"]
    assert attempt.attributes["gen_ai.response.model"] == "sim"
    assert attempt.attributes["gen_ai.response.id"]
    assert attempt.attributes["gen_ai.usage.input_tokens"] > 0
    assert attempt.attributes["gen_ai.usage.output_tokens"] > 0
    assert attempt.attributes["server.address"] == "127.0.0.1"
    assert attempt.attributes["headrace.attempt.kind"] == "first"
    assert attempt.attributes["headrace.attempt.outcome"] == "ok"
    assert attempt.events == ["headrace.connected", "headrace.first_chunk"]
    assert server.started <= attempt.started <= attempt.ended <= server.ended
    assert not server.error
    assert not attempt.error
