"""Tracing follows the configuration while requests run."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from proxy.core import clock, redact
from proxy.core.metrics import Metrics
from proxy.core.model import Logging, Snapshot, Tracing
from proxy.core.secret import Secret
from proxy.core.tasks import running
from proxy.state.live import Live
from proxy.state.state import State
from proxy.telemetry.telemetry import Telemetry
from tests.telemetry.collector import collecting

OFF = Snapshot()
ON = Snapshot(tracing=Tracing(enabled=True, endpoint="http://127.0.0.1:9"))


@pytest.fixture
async def state(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[State]:
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    yield State(OFF, Live(), Metrics())
    redact.forget()
    assert not [task for task in running() if not task.done()]


async def closed() -> None:
    """Those who are replaced have ended."""
    for task in [task for task in running() if task.get_name() == "close spans"]:
        await task


async def test_it_is_switched_on_and_off(state: State) -> None:
    telemetry = Telemetry(state)

    seen = []
    for snapshot in (OFF, ON, replace(ON, revision=7), OFF):
        telemetry.use(snapshot)
        seen.append(state.tracer)
    await closed()

    assert [one is None for one in seen] == [True, False, False, True]
    assert seen[1] is seen[2]  # nothing of it has changed


async def test_another_configuration_is_another_tracer(state: State) -> None:
    telemetry = Telemetry(state)
    telemetry.use(ON)
    first = state.tracer

    telemetry.use(
        replace(ON, tracing=replace(ON.tracing, content=True), logging=Logging(max_content=5))
    )

    assert state.tracer is not first
    assert state.tracer.content == 5
    await closed()
    await telemetry.close()


async def test_what_cannot_be_leaves_everything_as_it_was(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = Telemetry(state)
    telemetry.use(ON)
    first = state.tracer
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "xray")

    with pytest.raises(ValueError, match="OTEL_TRACES_SAMPLER"):
        telemetry.use(replace(ON, tracing=replace(ON.tracing, service_name="other")))

    assert state.tracer is first
    await telemetry.close()


async def test_what_is_counted_is_so_since_the_worker_began_whatever_changes(
    state: State,
) -> None:
    # A later beginning says that counting began anew: what was counted before would be added a second time.
    tracing = Tracing(enabled=True, metrics=600.0)
    async with collecting() as collector:
        tracing = replace(tracing, endpoint=collector.url)
        with clock.held(now=1_800_000_000.0, monotonic=state.started + 60.0) as hands:
            telemetry = Telemetry(state)
            telemetry.use(replace(ON, tracing=tracing))
            hands.advance(5.0)
            telemetry.use(replace(ON, tracing=replace(tracing, sample=0.5)))
            await telemetry.close()
        await closed()

    assert collector.metrics["headrace_spool_bytes_total"].began == {1_799_999_940 * 10**9}


async def test_headers_are_masked_wherever_they_turn_up(state: State) -> None:
    telemetry = Telemetry(state)

    telemetry.use(
        replace(ON, tracing=replace(ON.tracing, headers={"key": Secret("planted-canary")}))
    )

    assert redact.redact("sent planted-canary") == "sent ***"
    await telemetry.close()
