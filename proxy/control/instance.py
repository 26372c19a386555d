"""All processes of one start, as one page of metrics.

    make      before any of them is forked
    seat      in one of them: from where it publishes what it counts
    died      in the supervisor, when one has ended: what it had counted is kept
    page      in the supervisor, when somebody asks

Whoever asks has each process asked for its newest numbers. One that does not answer in time counts with those it wrote
last, and is not waited for again until it has written others.
"""

from __future__ import annotations

import os
import re
import select
from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from time import perf_counter
from typing import Any, Final

import orjson

from proxy.control import health
from proxy.control.exposition import CONTENT_TYPE
from proxy.control.page import Kept, Page
from proxy.control.publishing import Publisher, heard, tell
from proxy.control.sheets import Numbers, Sheets
from proxy.core.berths import number_of
from proxy.core.clock import monotonic
from proxy.core.metrics_beside import Supervision
from proxy.core.series import Kind, Registry

PATIENCE: Final = 0.1
"""Seconds for all of them together to answer."""
_OWN: Final = 0
"""The supervisor's seat."""


class Seat:
    """One process's part."""

    def __init__(self, publisher: Publisher, asked: int, answers: int) -> None:
        self._publisher = publisher
        self._asked = asked
        self._answers = answers

    async def keep(self) -> None:
        """Publish now and then, and when asked, until cancelled."""
        await self._publisher.keep(self._asked, self._answers)

    def slices(self) -> Iterator[None]:
        """The same in slices of less than a millisecond."""
        return self._publisher.slices()

    def publish(self) -> None:
        """Now, at once: the last thing that a process does. Blocks for some milliseconds at most."""
        self._publisher.publish()


class Instance:
    """What the supervisor has of it; each process it forks inherits its part. Raises OSError when there is no memory."""

    def __init__(
        self, names: Sequence[str], workers: int, handed: Mapping[str, Any] | None = None
    ) -> None:
        """`names`: of all processes that publish, now or later. `workers`: how many of them serve at a time. `handed`: by the
        program before this one, whose processes go on publishing."""
        self._seats = {name: seat for seat, name in enumerate(names, _OWN + 1)}
        if handed is None:
            self._sheets = Sheets.make()
            self._pipes = {name: _pipe() for name in names}
            self._answers = _pipe()
        else:
            fd, *ends = handed["descriptors"]
            pipes = list(zip(ends[::2], ends[1::2], strict=True))
            self._sheets = Sheets(fd)
            *own, self._answers = pipes
            self._pipes = dict(zip(names, own, strict=True))
        self._silent: dict[str, int] = {}
        """Who did not answer, and which numbers were there."""
        self._kept = Kept()
        if handed is not None:
            while self._sheets.look():
                pass
            self._kept.counts.extend(handed["counts"])
            self._kept.totals.extend(handed["totals"])
        self._page = Page(self._sheets.catalogue)
        self._labels = {
            name: f"worker-{number_of(name, workers)}" if name.isdecimal() else name
            for name in names
        }
        self.metrics = Supervision(workers, dict.fromkeys(self._labels.values()))
        self._own = Publisher(self.metrics.registry, self._sheets, _OWN)

    def seat(self, name: str, registry: Registry) -> Seat:
        """In the process of this name: where it publishes what `registry` counts."""
        publisher = Publisher(registry, self._sheets, self._seats[name])
        return Seat(publisher, self._pipes[name][0], self._answers[1])

    def died(self, name: str, reason: str = "exit") -> None:
        """The process of this name is no more: what it had counted is kept. Called before another takes the name.

        `reason`: one of `metrics_beside.REASONS`.
        """
        self.metrics.ends.child(self._labels.get(name, name), reason).inc()
        seat = self._seats.get(name)
        if seat is None:
            return
        numbers = self._sheets.read(seat)
        if numbers is not None:
            self._kept.add(numbers)
            self._sheets.clear(seat)
        self._silent.pop(name, None)

    def page(self) -> bytes:
        """All that is counted. Blocks for PATIENCE at most where a process does not answer, and a few milliseconds else."""
        begun = perf_counter()
        self._ask()
        self._own.publish()
        own = self._sheets.read(_OWN)
        workers: list[Numbers] = []
        beside = [] if own is None else [own]
        for name, seat in self._seats.items():
            numbers = self._sheets.read(seat)
            if numbers is not None:
                (workers if name.isdecimal() else beside).append(numbers)
        while self._sheets.look():
            pass
        page = self._page.render(workers, self._kept, beside)
        self.metrics.page.observe(perf_counter() - begun)
        return page

    def sums(self, family: str, label: str) -> dict[str, float]:
        """What a family of counters or gauges counts by the values of one label, over all processes, dead ones too."""
        numbers = list(filter(None, map(self._sheets.read, (_OWN, *self._seats.values()))))
        while self._sheets.look():
            pass
        catalogue = self._sheets.catalogue
        declared = catalogue.families.get(family)
        if declared is None:
            return {}
        gauge = declared.kind is Kind.GAUGE
        lanes = [one.levels if gauge else one.totals for one in numbers]
        lanes += [] if gauge else [self._kept.totals]
        value = re.compile(rf'[{{,]{label}="([^"]*)"')
        found: dict[str, float] = {}
        for text, place in catalogue.series[family].items():
            said = value.search(text)
            name = said[1] if said else ""
            for lane in lanes:
                if place.number < len(lane) and not isnan(lane[place.number]):
                    found[name] = found.get(name, 0.0) + lane[place.number]
        return found

    def stats(self) -> tuple[int, str, bytes]:
        """What all workers have done since the start, as JSON: what a health page says of one of them."""
        self._ask()
        content = health.summed(
            self.sums("headrace_requests_total", "status"),
            self.sums("headrace_tokens_total", "type"),
            sum(self.sums("headrace_inflight_requests", "route").values()),
        )
        return 200, "application/json; charset=utf-8", orjson.dumps(content)

    def answer(self) -> tuple[int, str, bytes]:
        """The page as (status, content type, body)."""
        return 200, CONTENT_TYPE, self.page()

    def handed(self) -> dict[str, Any]:
        """What the program after this one goes on with: descriptors, and what those counted that are no more. This process
        is one of them from now on."""
        self._own.publish()
        self._end()
        pipes = [end for pipe in (*self._pipes.values(), self._answers) for end in pipe]
        return {
            "descriptors": [self._sheets.fd, *pipes],
            "counts": self._kept.counts.tolist(),
            "totals": self._kept.totals.tolist(),
        }

    def _end(self) -> None:
        """What this process counted is kept."""
        numbers = self._sheets.read(_OWN)
        if numbers is not None:
            self._kept.add(numbers)
            self._sheets.clear(_OWN)

    def close(self) -> None:
        """Let go of everything."""
        for pipe in (*self._pipes.values(), self._answers):
            for end in pipe:
                os.close(end)
        self._sheets.close()

    def _ask(self) -> None:
        """Have those who have published before do it anew, as far as they do in time."""
        asked = monotonic()
        waiting: dict[str, int] = {}
        for name, seat in self._seats.items():
            generation, _ = self._sheets.newest(seat)
            if generation:
                waiting[name] = generation
                tell(self._pipes[name][1])
        known = self._silent
        deadline = perf_counter() + PATIENCE
        answers = select.poll()
        answers.register(self._answers[0], select.POLLIN)
        while waiting.items() - known.items() and (left := deadline - perf_counter()) > 0:
            if answers.poll(left * 1000):
                heard(self._answers[0])
            for name in list(waiting):
                waiting[name], begun = self._sheets.newest(self._seats[name])
                if begun >= asked:
                    del waiting[name]
        for name in waiting:
            self.metrics.stale.child(self._labels[name]).inc()
        self._silent = waiting


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends
