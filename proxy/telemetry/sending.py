"""The thread that sends spans: a queue with an end, small batches, and never a wait for the loop.

What does not fit into the queue is dropped and counted, and so is what the collector does not take. A start
brings the SDK along; a reload that switches tracing on imports it in this thread, which takes a third of a second.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import sleep
from typing import TYPE_CHECKING, Protocol, TypeVar

from proxy.core.log import logger

if TYPE_CHECKING:
    from proxy.core.span import Span
    from proxy.telemetry.measures import Measure
    from proxy.telemetry.wanted import Wanted

T = TypeVar("T")

CLOSE_SECONDS = 2.0
MOST_SAID = 32 << 20
"""Bytes of requests that wait with their spans; further spans go without what was asked and answered."""
FEW = 8
"""Spans that are sent at once while not many wait: half a millisecond of the interpreter."""

_LOST = {
    "spans": "they are lost, and counted",
    "metrics": "the next it takes have what is missing",
}


class Exporter(Protocol):
    """Where spans go."""

    def send(self, spans: Sequence[Span]) -> bool:
        """Whether they are there. Blocks, and may take some seconds."""
        ...

    def measure(self, measures: Sequence[Measure]) -> bool:
        """The same of what is counted."""
        ...

    def stop(self) -> None:
        """From another thread: what is being sent is given up soon."""


class Counts:
    """What became of spans, since the process began. Each number is changed by one thread only, but for `dropped` of a
    sender that is being replaced."""

    __slots__ = ("dropped", "failed", "sent")

    def __init__(self) -> None:
        self.sent = self.failed = self.dropped = 0


class Sender:
    """One a worker, while tracing is on."""

    def __init__(self, wanted: Wanted, counts: Counts, make: Callable[[Wanted], Exporter]) -> None:
        """`make` is called in the thread."""
        self._wanted = wanted
        self._counts = counts
        self._make = make
        self._exporter: Exporter | None = None
        self._queue: deque[Span] = deque()
        self._came = self._went = 0
        """Bytes that were put with spans, and of them those that do not wait any more. Each is changed by one thread."""
        self._measures: Sequence[Measure] = ()
        """The last reading, if it has not been sent."""
        self._wake = threading.Event()
        self._closing = False
        self._refused: set[str] = set()
        """What the collector does not take: some take spans and no metrics."""
        self._thread = threading.Thread(target=self._run, name="headrace-spans", daemon=True)
        self._thread.start()

    def put(self, spans: Sequence[Span]) -> None:
        """Queue the spans of an exchange, all or none. Never waits."""
        queue, wanted = self._queue, self._wanted
        if self._closing or len(queue) + len(spans) > wanted.queue:
            self._counts.dropped += len(spans)
            return
        for span in spans:
            if span.content is not None:
                self._hold(span, len(span.content.asked))
        queue.extend(spans)
        if len(queue) >= wanted.batch and not self._wake.is_set():
            self._wake.set()

    def _hold(self, span: Span, size: int) -> None:
        """Its body waits as long as it does, if there is room for it."""
        if self._came - self._went + size > MOST_SAID:
            span.content = None
        else:
            self._came += size

    def measure(self, measures: Sequence[Measure]) -> None:
        """Send a reading; one that is still waiting is old now, and forgotten."""
        self._measures = measures
        self._wake.set()

    def refuse(self) -> None:
        """By who puts: from now on what is put is dropped, as nobody might be there to send it."""
        self._closing = True

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Send what is queued, for so long at most, and end the thread. Blocks."""
        self.refuse()
        self._wake.set()
        self._thread.join(timeout)
        if self._thread.is_alive() and self._exporter is not None:
            self._exporter.stop()

    def _run(self) -> None:
        try:
            exporter = self._exporter = self._make(self._wanted)
        except Exception as error:
            # A variable that the SDK cannot read, say: requests go on without spans.
            logger.error("no spans are sent: %s", error)
            exporter = None
        while True:
            if not self._closing:
                self._wake.wait(self._wanted.pause)
            self._wake.clear()
            self._drain(exporter)
            measures, self._measures = self._measures, ()
            if measures and exporter is not None:
                self._tried("metrics", exporter.measure, measures)
            if self._closing and not (self._queue or self._measures):
                break
        if exporter is not None:
            exporter.stop()

    def _drain(self, exporter: Exporter | None) -> None:
        queue, most = self._queue, self._wanted.batch
        few = min(FEW, most)
        while queue:
            size = min(len(queue), few if len(queue) < self._wanted.queue // 8 else most)
            batch = [queue.popleft() for _ in range(size)]
            said = sum(len(one.content.asked) for one in batch if one.content is not None)
            if exporter is None:
                self._went += said
                self._counts.dropped += len(batch)
                continue
            taken = self._tried("spans", exporter.send, batch)
            self._went += said
            if taken:
                self._counts.sent += len(batch)
            else:
                self._counts.failed += len(batch)
            sleep(0)  # the loop goes first

    def _tried(self, kind: str, send: Callable[[Sequence[T]], bool], what: Sequence[T]) -> bool:
        """Whether it is there. What nobody foresaw costs this and not what comes after it."""
        taken = False
        try:
            taken = send(what)
        except Exception:
            if kind not in self._refused:
                logger.exception("%s for the collector cannot be sent", kind)
        self._told(kind, taken)
        return taken

    def _told(self, kind: str, taken: bool) -> None:
        """Say it when it changes."""
        if taken == (kind not in self._refused):
            return
        if taken:
            self._refused.remove(kind)
            logger.info("the collector takes %s again", kind)
        else:
            self._refused.add(kind)
            logger.warning("the collector does not take %s: %s", kind, _LOST[kind])
