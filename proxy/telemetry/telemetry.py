"""Tracing of one worker: switched on, changed and off with the configuration, while requests run."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING

from proxy.core import clock, redact, tasks
from proxy.gateway.tracing import Tracer
from proxy.telemetry import measures
from proxy.telemetry.sending import Counts, Exporter, Sender
from proxy.telemetry.wanted import Wanted, wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.core.model import Snapshot
    from proxy.core.series import Reading
    from proxy.state.state import State


class Telemetry:
    """One a worker, from the first configuration on that wants spans."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._began = clock.now() - (clock.monotonic() - state.started)
        self._counts = Counts()
        self._wanted: Wanted | None = None
        self._sender: Sender | None = None
        self._reading: asyncio.Task[None] | None = None
        state.metrics.spans.watch(self._read)

    def use(self, snapshot: Snapshot) -> None:
        """In the loop: as this configuration wants it. Raises ValueError where that cannot be; then everything stays as it was."""
        settings = snapshot.tracing
        now = wanted(settings, snapshot.logging.max_content, os.environ, snapshot.server.name)
        if now == self._wanted:
            return
        for secret in settings.headers.values():
            redact.register(secret)
        before, self._wanted = self._sender, now
        self._sender = None
        self._stop_reading()
        self._state.tracer = None
        if now is not None:
            self._sender = Sender(now, self._counts, partial(exporter, began=self._began))
            self._state.tracer = Tracer(
                self._sender.put, sample=now.sample, follow=now.follow, content=now.content
            )
            if now.metrics:
                self._reading = tasks.spawn(self._read_all(now.metrics), name="read for OTLP")
        if before is not None:
            before.refuse()  # exchanges under way know no other
            tasks.spawn(asyncio.to_thread(before.close), name="close spans")

    async def close(self) -> None:
        """Send what is left, for two seconds at most."""
        sender, self._sender = self._sender, None
        self._state.tracer = None
        if sender is not None:
            if self._reading is not None:
                sender.measure(measures.read(self._state.metrics.registry))
            await asyncio.to_thread(sender.close)
        self._stop_reading()

    async def _read_all(self, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            if self._sender is not None:
                self._sender.measure(measures.read(self._state.metrics.registry))

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _read(self) -> Iterator[Reading]:
        counts = self._counts
        yield ("sent",), counts.sent
        yield ("failed",), counts.failed
        yield ("dropped",), counts.dropped


def exporter(wanted: Wanted, began: float) -> Exporter:
    """In the thread that sends: the SDK is imported there."""
    from proxy.telemetry.otlp import Otlp

    return Otlp(wanted, began)
