"""What a process does so that its numbers are on the page of the whole instance: copies them into its seat.

    now and then   so that little is lost when it is killed: the longer it takes, the longer are the pauses
    when asked     by a byte in its pipe
    at its end     so that nothing is lost when it leaves

A registry of thousands of series is copied in slices of less than a millisecond, between which the loop goes on.
"""

from __future__ import annotations

import asyncio
import os
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from math import nan
from operator import attrgetter
from time import perf_counter
from typing import Final, cast

from msgspec import Struct

from proxy.control.catalogue import Catalogue, Declared, Entry, Place, Series
from proxy.control.sheets import Numbers, Sheets
from proxy.core.clock import monotonic
from proxy.core.log import logger
from proxy.core.series import (
    Counter,
    Family,
    Gauge,
    Histogram,
    Kind,
    Number,
    Registry,
    label_text,
)
from proxy.core.tasks import until_beat

SLICE: Final = 500
"""Series that are copied in one go."""
TURN: Final = 0.0005
"""Seconds of work after which the loop has its turn."""
PAUSE_MIN, PAUSE_MAX = 1.0, 10.0
"""Seconds between two copies while nobody asks: what is lost with a process that is killed."""
SHARE: Final = 0.003
"""Of its time is what a process spends copying while nobody asks, unless that would be too rarely. With a thousand deployments
it copies every second."""
_value: Final = attrgetter("value")


class Publisher:
    """Of one process, for one seat that nobody else has."""

    def __init__(self, registry: Registry, sheets: Sheets, seat: int) -> None:
        self._registry = registry
        self._sheets = sheets
        self._seat = seat
        self._counts, self._totals, self._levels = array("q"), array("d"), array("d")
        self._columns: list[_Column] = []
        self._declared: Sequence[Entry] = ()
        self._ill = self._full = False

    async def keep(self, asked: int, answers: int) -> None:
        """Until cancelled: copy now, whenever a byte comes through the pipe `asked`, and now and then. Each time a byte goes
        to the pipe `answers`. Neither blocks."""
        loop = asyncio.get_running_loop()
        wanted = asyncio.Event()

        def hear() -> None:
            if heard(asked):
                wanted.set()

        loop.add_reader(asked, hear)
        try:
            while True:
                wanted.clear()
                took = 0.0
                begun = perf_counter()
                for _ in self.slices():
                    worked = perf_counter() - begun
                    if worked > TURN:
                        took += worked
                        await asyncio.sleep(0)
                        begun = perf_counter()
                took += perf_counter() - begun
                tell(answers)
                try:
                    async with asyncio.timeout(until_beat(pause(took))):
                        await wanted.wait()
                except TimeoutError:
                    pass
        finally:
            loop.remove_reader(asked)

    def publish(self) -> None:
        """Copy all of it at once."""
        for _ in self.slices():
            pass

    def slices(self) -> Iterator[None]:
        """The same in slices. What is counted between two of them may be in this copy or in the next."""
        begun = monotonic()
        if not self._columns:  # not before: what is read is said after a registry is made
            self._begin()
        for column in self._columns:
            column.read()
            yield
        try:
            yield from self._settle()
            yield from self._copy()
            lanes = Numbers(self._counts, self._totals, self._levels, at=begun)
            self._sheets.write(self._seat, lanes)
        except OSError as error:
            if not self._ill:
                logger.error("there is no memory for what is counted: %s", error.strerror)
            self._ill = True
        else:
            self._ill = False

    def _begin(self) -> None:
        families = self._registry.families.values()
        self._columns = [_column(family) for family in families]
        self._declared = [
            Declared(one.name, one.kind, one.help, one.rule, one.bounds) for one in families
        ]

    def _settle(self) -> Iterator[None]:
        """Have a place for each series, as far as that is possible now."""
        sheets = self._sheets
        catalogue = sheets.catalogue
        while sheets.look():
            yield
        wanted = list(self._declared)
        late: list[_Column] = []
        for column in self._columns:
            missing = column.settle(catalogue)
            if missing:
                wanted += missing
                late.append(column)
            yield
        for begin in range(0, len(wanted), SLICE):
            if not sheets.add(wanted[begin : begin + SLICE]):
                if sheets.full and not self._full:
                    self._full = True
                    logger.error("there are too many series: those that are new are not shown")
                return
            yield
        self._declared = ()
        for column in late:
            column.settle(catalogue)
            yield

    def _copy(self) -> Iterator[None]:
        catalogue = self._sheets.catalogue
        # What is not there any more keeps what it had, but for gauges: those are not there then.
        self._counts.frombytes(bytes(8 * (catalogue.counts - len(self._counts))))
        self._totals.frombytes(bytes(8 * (catalogue.totals - len(self._totals))))
        self._levels = array("d", (nan,)) * catalogue.levels
        for column in self._columns:
            lane = self._levels if column.family.kind is Kind.GAUGE else self._totals
            yield from column.copy(lane, self._counts)


AnyFamily = Family[Counter] | Family[Gauge] | Family[Histogram]


class _Run(Struct):
    """Series that follow each other in a column, and whose places do."""

    first: int
    """The place of the first."""
    begin: int
    end: int
    """Which they are in the column."""

    def put(self, lane: array[float], values: array[float]) -> None:
        """The numbers of all of them, to their places."""
        lane[self.first : self.first + len(values)] = values


class _Runs:
    """Where the series of a column have their numbers. None is longer than a SLICE."""

    def __init__(self) -> None:
        self.size = 0
        self._runs: list[_Run] = []

    def __iter__(self) -> Iterator[_Run]:
        return iter(self._runs)

    def add(self, place: int) -> None:
        """The next of the column has this one."""
        last = self._runs[-1] if self._runs else None
        if last is not None and place - last.first == self.size - last.begin < SLICE:
            last.end += 1
        else:
            self._runs.append(_Run(place, self.size, self.size + 1))
        self.size += 1


class _Column:
    """The series of one family that have a place."""

    def __init__(self, family: AnyFamily) -> None:
        self.family = family

    def read(self) -> None:
        """Ask the source, where there is one."""

    def settle(self, catalogue: Catalogue) -> list[Entry]:
        """Take over the places of those that are new; which have none."""
        raise NotImplementedError

    def copy(self, lane: array[float], counts: array[int]) -> Iterator[None]:
        """Their numbers to their places, in slices."""
        raise NotImplementedError


class _Children(_Column):
    """Counters or gauges."""

    def __init__(self, family: Family[Counter] | Family[Gauge]) -> None:
        super().__init__(family)
        self._texts = cast("Family[Counter]", family).texts()
        self._found: list[Counter] = []
        self._runs = _Runs()

    def settle(self, catalogue: Catalogue) -> list[Entry]:
        if len(self._found) == len(self._texts):
            return []
        name = self.family.name
        new = list(islice(self._texts, len(self._found), None))
        for nth, (text, child) in enumerate(new):
            place = catalogue.find(name, text)
            if place is None:
                return [Series(name, text) for text, _ in new[nth:]]
            self._found.append(child)
            self._runs.add(place.number)
        return []

    def copy(self, lane: array[float], counts: array[int]) -> Iterator[None]:
        for run in self._runs:
            run.put(lane, array("d", map(_value, self._found[run.begin : run.end])))
            yield


class _Histograms(_Column):
    """Only those that have been fed: a request binds some that it may never feed."""

    def __init__(self, family: Family[Histogram]) -> None:
        super().__init__(family)
        self._texts = family.texts()
        self._seen = 0
        self._hungry: list[tuple[str, Histogram]] = []
        self._found: list[tuple[Place, Histogram]] = []

    def settle(self, catalogue: Catalogue) -> list[Entry]:
        self._hungry += islice(self._texts, self._seen, None)
        self._seen = len(self._texts)
        name = self.family.name
        missing: list[Entry] = []
        hungry: list[tuple[str, Histogram]] = []
        for text, child in self._hungry:
            fed = any(child.counts)
            place = catalogue.find(name, text) if fed else None
            if place is not None:
                self._found.append((place, child))
                continue
            hungry.append((text, child))
            if fed:
                missing.append(Series(name, text))
        self._hungry = hungry
        return missing

    def copy(self, lane: array[float], counts: array[int]) -> Iterator[None]:
        size = len(self.family.bounds) + 1
        for begin in range(0, len(self._found), SLICE):
            for place, child in self._found[begin : begin + SLICE]:
                at = place.counts
                counts[at : at + size] = array("q", child.counts)
                lane[place.number] = child.sum
            yield


class _Readings(_Column):
    """Numbers of a source, which mostly has the same labels as the last time."""

    def __init__(self, family: AnyFamily) -> None:
        super().__init__(family)
        self._places: dict[tuple[str, ...], int] = {}
        self._read: list[tuple[tuple[str, ...], Number]] = []
        self._labels: list[tuple[str, ...]] = []
        self._values: list[Number] = []
        self._runs = _Runs()

    def read(self) -> None:
        self._read = self.family.readings()

    def settle(self, catalogue: Catalogue) -> list[Entry]:
        self._values = [number for _, number in self._read]
        if self._labels == [labels for labels, _ in self._read]:
            return []
        places = self._places
        missing: list[Entry] = []
        self._labels, self._values, self._runs = [], [], _Runs()
        for labels, number in self._read:
            at = places.get(labels)
            if at is None:
                text = label_text(self.family.labels, labels)
                place = catalogue.find(self.family.name, text)
                if place is None:
                    missing.append(Series(self.family.name, text))
                    continue
                at = places[labels] = place.number
            self._labels.append(labels)
            self._values.append(number)
            self._runs.add(at)
        return missing

    def copy(self, lane: array[float], counts: array[int]) -> Iterator[None]:
        for run in self._runs:
            run.put(lane, array("d", self._values[run.begin : run.end]))
            yield


def pause(took: float) -> float:
    """Seconds after a copy that took so many."""
    return min(max(took / SHARE, PAUSE_MIN), PAUSE_MAX)


def tell(pipe: int) -> None:
    """Put a byte into a pipe; one that is full says enough."""
    try:
        os.write(pipe, b".")
    except BlockingIOError:
        pass


def heard(pipe: int) -> bool:
    """Whether there was something in a pipe. It is empty now."""
    try:
        return bool(os.read(pipe, 4096))
    except BlockingIOError:
        return False


def _column(family: AnyFamily) -> _Column:
    if family.source is not None:
        return _Readings(family)
    if family.kind is Kind.HISTOGRAM:
        return _Histograms(cast("Family[Histogram]", family))
    return _Children(cast("Family[Counter]", family))
