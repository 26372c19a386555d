"""The page of a whole instance: numbers of several processes, added place by place and written as Prometheus text 0.0.4.

Counts and totals of processes that have ended are kept, so that they never fall. Text that says a name is made once for
each series, and what has not changed since the last page is not written anew.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, islice, zip_longest
from math import isfinite, nan
from sys import byteorder

from proxy.control.catalogue import Catalogue, Declared, Place
from proxy.control.exposition import header, number, template
from proxy.control.sheets import Numbers
from proxy.core.series import Kind, Rule

RULES: dict[Rule, Callable[[Sequence[float]], float]] = {
    Rule.SUM: sum,
    Rule.MAX: max,
    Rule.MIN: min,
    Rule.MEAN: lambda values: sum(values) / len(values),
}
"""How gauges of several processes become one, from those that have any."""


class Kept:
    """What was counted by processes that are no more."""

    __slots__ = ("counts", "totals")

    def __init__(self) -> None:
        self.counts = array("q")
        self.totals = array("d")

    def add(self, numbers: Numbers) -> None:
        """One has ended."""
        size = max(len(self.counts), len(numbers.counts))
        self.counts = _counts([self.counts, numbers.counts], size)
        self.totals = array("d", _totals([self.totals, numbers.totals]))


class Page:
    """Of what one catalogue names."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._sections: dict[str, _Section] = {}

    def render(
        self, workers: Sequence[Numbers], kept: Kept, beside: Sequence[Numbers] = ()
    ) -> bytes:
        """The page for these processes and those that were before. The catalogue knows all that they have.

        It is the same whoever is said to stand `beside` workers, but sooner there if those have few series.
        """
        catalogue = self._catalogue
        all_ = (*workers, *beside)
        counts = _counts([kept.counts, *(one.counts for one in all_)], catalogue.counts)
        totals = _totals([kept.totals, *(one.totals for one in all_)])
        totals += [0.0] * (catalogue.totals - len(totals))
        levels: list[tuple[float, ...]] = list(
            zip_longest(*(one.levels for one in workers), fillvalue=nan)
        )
        levels += [()] * (catalogue.levels - len(levels))
        for one in beside:
            for place, value in enumerate(one.levels):
                if value == value:
                    levels[place] += (value,)
        parts: list[str] = []
        for name, family in catalogue.families.items():
            section = self._sections.get(name)
            if section is None:
                section = self._sections[name] = _SECTIONS[family.kind](family)
            section.learn(catalogue.series[name])
            section.write(parts, counts, totals, levels)
        return "".join(parts).encode()


class _Section:
    """One family on the page."""

    def __init__(self, family: Declared) -> None:
        self.family = family
        self.header = header(family.name, family.kind, family.help)
        self._known = 0

    def learn(self, series: Mapping[str, Place]) -> None:
        """Which series there are."""
        for labels, place in islice(series.items(), self._known, None):
            self._add(labels, place)
        self._known = len(series)

    def _add(self, labels: str, place: Place) -> None:
        raise NotImplementedError

    def write(
        self,
        parts: list[str],
        counts: array[int],
        totals: Sequence[float],
        levels: Sequence[Sequence[float]],
    ) -> None:
        """Add its text, of these numbers."""
        raise NotImplementedError


class _Counters(_Section):
    def __init__(self, family: Declared) -> None:
        super().__init__(family)
        self._prefixes: list[str] = []
        self._places: list[int] = []
        self._said: list[float] = []
        self._text = ""

    def _add(self, labels: str, place: Place) -> None:
        self._prefixes.append(f"{self.family.name}{labels} ")
        self._places.append(place.number)

    def write(
        self,
        parts: list[str],
        counts: array[int],
        totals: Sequence[float],
        levels: Sequence[Sequence[float]],
    ) -> None:
        self._write(parts, [totals[place] for place in self._places])

    def _write(self, parts: list[str], values: list[float]) -> None:
        if values != self._said or not self._text:
            self._said = values
            self._text = self.header + "".join(
                [
                    f"{prefix}{int(value) if value.is_integer() else written(value)}\n"
                    for prefix, value in zip(self._prefixes, values, strict=True)
                    if value == value
                ]
            )
        parts.append(self._text)


class _Gauges(_Counters):
    def write(
        self,
        parts: list[str],
        counts: array[int],
        totals: Sequence[float],
        levels: Sequence[Sequence[float]],
    ) -> None:
        rule = RULES[self.family.rule]
        values: list[float] = []
        for place in self._places:
            readings = levels[place]
            if (sum_ := sum(readings)) != sum_:
                readings = [one for one in readings if one == one]
            values.append(rule(readings) if readings else nan)
        self._write(parts, values)


class _Histograms(_Section):
    def __init__(self, family: Declared) -> None:
        super().__init__(family)
        self._size = len(family.bounds) + 1
        self._series: list[tuple[str, Place]] = []
        self._said: list[tuple[array[int], float]] = []
        self._texts: list[str] = []

    def _add(self, labels: str, place: Place) -> None:
        self._series.append((template(self.family.name, labels, self.family.bounds), place))
        self._said.append((array("q"), nan))
        self._texts.append("")

    def write(
        self,
        parts: list[str],
        counts: array[int],
        totals: Sequence[float],
        levels: Sequence[Sequence[float]],
    ) -> None:
        size, said, texts = self._size, self._said, self._texts
        for nth, (text, place) in enumerate(self._series):
            now = counts[place.counts : place.counts + size], totals[place.number]
            if now != said[nth]:
                said[nth] = now
                running = tuple(accumulate(now[0]))
                texts[nth] = text % (*running, written(now[1]), running[-1])
        parts.append(self.header)
        parts += texts


_SECTIONS: dict[Kind, type[_Section]] = {
    Kind.COUNTER: _Counters,
    Kind.GAUGE: _Gauges,
    Kind.HISTOGRAM: _Histograms,
}


def written(value: float) -> str:
    """As the text format has it; whole numbers as such, whatever they were added up as."""
    return str(int(value)) if isfinite(value) and value.is_integer() else number(value)


def _counts(lanes: Sequence[array[int]], size: int) -> array[int]:
    """The lanes, added, as one of `size` counts.

    Each is read as one long integer: all counts are added at once, as none is negative, nor needs more than its 64 bits.
    """
    total = 0
    for lane in lanes:
        whole = lane.tobytes() + bytes(8 * (size - len(lane)))
        total += int.from_bytes(whole, byteorder)
    return array("q", total.to_bytes(8 * size, byteorder))


def _totals(lanes: Sequence[Sequence[float]]) -> list[float]:
    return list(map(sum, zip_longest(*lanes, fillvalue=0.0)))
