"""All processes of one start, as one page of metrics.

    make      before any of them is forked
    seat      in one of them: from where it publishes what it counts
    died      in the supervisor, when one has ended: what it had counted is kept
    answer    in the supervisor, when somebody asks for the page

Whoever asks has each process asked for its newest numbers. One that does not answer in time counts with those it wrote
last, and is not waited for again until it has written others. Where there are many series, copying them is what a page costs:
there nobody is asked who has copied them lately, as each does once a second.
"""

from __future__ import annotations

import os
import re
import select
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from math import isnan
from time import perf_counter
from typing import Any, Final

import msgspec
import orjson
from msgspec import Struct

from proxy.control import health
from proxy.control.exposition import CONTENT_TYPE
from proxy.control.page import Kept, Page
from proxy.control.publishing import Publisher, heard, tell
from proxy.control.sampling import OfPlaces
from proxy.control.sheets import Numbers, Sheets
from proxy.core.berths import number_of
from proxy.core.clock import monotonic
from proxy.core.metrics_beside import Supervision
from proxy.core.series import Kind, Registry

PATIENCE: Final = 0.1
"""Seconds for all of them together to answer."""
MANY: Final = 5000
"""Numbers of a process from which on it is not asked for newer ones than LATELY."""
LATELY: Final = 1.5
"""Seconds: the usual pause between two copies, and some for a loop that is busy."""
FRESH: Final = 0.5
"""Seconds for which a sample is good enough for whoever else asks."""
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


class _Round(Struct):
    """Of questions."""

    asked: float
    """By the monotonic clock."""
    waiting: dict[str, int]
    """Who has not answered, and the generation of the numbers that it has."""


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
        self._round: _Round | None = None
        self._silent: dict[str, int] = {}
        """Who did not answer, and which numbers were there."""
        self._kept = Kept()
        if handed is not None:
            while self._sheets.look():
                pass
            self._kept.counts.extend(handed["counts"])
            self._kept.totals.extend(handed["totals"])
            self._sheets.clear(_OWN)  # that is among them
        self._page = Page(self._sheets.catalogue)
        self._sampler = OfPlaces(self._sheets.catalogue)
        self._sampled = (-FRESH, b"")
        """When, and the sample."""
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
        if self._round is not None:
            self._round.waiting.pop(name, None)

    def answer(self) -> tuple[int, str, bytes] | None:
        """The page as (status, content type, body), once processes have answered, or PATIENCE is over; None: not yet."""
        return (200, CONTENT_TYPE, self._write()) if self._settled() else None

    def stats(self) -> tuple[int, str, bytes] | None:
        """In the same way what all workers have done since the start, as JSON: what a health page says of one of them."""
        if not self._settled():
            return None
        content = health.summed(
            self.sums("headrace_requests_total", "status"),
            self.sums("headrace_tokens_total", "type"),
            sum(self.sums("headrace_inflight_requests", "route").values()),
        )
        return 200, "application/json; charset=utf-8", orjson.dumps(content)

    def live(self) -> tuple[int, str, bytes] | None:
        """In the same way what those see who watch: a `sampling.Sample` as JSON."""
        at, sample = self._sampled
        if monotonic() - at >= FRESH:
            if not self._settled():
                return None
            numbers = list(filter(None, map(self._sheets.read, self._seats.values())))
            while self._sheets.look():
                pass
            at = monotonic()
            sample = msgspec.json.encode(self._sampler.of(numbers, self._kept, at))
            self._sampled = at, sample
        return 200, "application/json; charset=utf-8", sample

    def page(self) -> bytes:
        """The page, for whoever may wait for it."""
        heard_ = select.poll()
        heard_.register(self._answers[0], select.POLLIN)
        while not self._settled():
            heard_.poll(PATIENCE * 100)
        return self._write()

    def _write(self) -> bytes:
        begun = perf_counter()
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

    def handed(self) -> dict[str, Any]:
        """What the program after this one goes on with: descriptors, and what those counted that are no more. This process
        is one of them for that program, and goes on as it is if there is none."""
        self._own.publish()
        kept, numbers = copy(self._kept), self._sheets.read(_OWN)
        if numbers is not None:
            kept.add(numbers)
        pipes = [end for pipe in (*self._pipes.values(), self._answers) for end in pipe]
        return {
            "descriptors": [self._sheets.fd, *pipes],
            "counts": kept.counts.tolist(),
            "totals": kept.totals.tolist(),
        }

    def close(self) -> None:
        """Let go of everything."""
        for pipe in (*self._pipes.values(), self._answers):
            for end in pipe:
                os.close(end)
        self._sheets.close()

    def _settled(self) -> bool:
        """Whether all who were asked have answered, or no more is to be waited for. Asks them, if they are not asked yet."""
        heard(self._answers[0])
        round_ = self._round
        if round_ is None:
            round_ = self._round = self._ask()
        for name in list(round_.waiting):
            round_.waiting[name], begun = self._sheets.newest(self._seats[name])
            if begun >= round_.asked:
                del round_.waiting[name]
        if round_.waiting.items() - self._silent.items() and monotonic() < round_.asked + PATIENCE:
            return False
        for name in round_.waiting:
            self.metrics.stale.child(self._labels[name]).inc()
        self._silent, self._round = round_.waiting, None
        return True

    def _ask(self) -> _Round:
        """Have all who have numbers begin to copy new ones, unless that is much, and was done lately."""
        asked = monotonic()
        waiting: dict[str, int] = {}
        since = asked - LATELY if self._sheets.catalogue.size >= MANY else asked
        for name, seat in self._seats.items():
            generation, begun = self._sheets.newest(seat)
            if generation and begun < since:
                waiting[name] = generation
                tell(self._pipes[name][1])
        return _Round(asked, waiting)


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends
