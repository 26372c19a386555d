"""Numbers that are counted while requests run, and read when somebody asks.

A `Counter` is one attribute, a `Histogram` a list of integers: whoever counts holds the child itself and pays for an
addition. Names, labels and text exist beside them and are touched twice: when a child is made, and when somebody asks for
a `Snapshot`. How the numbers of several processes come together is a matter of `control.instance`.

Label sets are closed. A family makes at most `cap` children; whatever comes after that is counted under the label
value `other`, so nothing a client sends can make the number of series grow.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_left
from collections.abc import Callable, ItemsView, Iterable, Sequence
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct, field

log = logging.getLogger("headrace.metrics")

Number = int | float
Reading = tuple[tuple[str, ...], Number]
"""Label values, and what was read for them."""
Source = Callable[[], Iterable[Reading]]

OTHER = "other"


class Kind(StrEnum):
    """What a number is, in the words of the text format."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Rule(StrEnum):
    """How the numbers of several workers become one."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"
    MEAN = "mean"


class Samples(Struct):
    """One family at one moment: the text of its labels (`{a="b"}`, or nothing) to its number.

    For a histogram `values` holds the sums and `buckets` the counts of each bucket, not added up; the last is `+Inf`.
    """

    kind: Kind
    help: str
    rule: Rule = Rule.SUM
    bounds: tuple[float, ...] = ()
    values: dict[str, Number] = field(default_factory=dict)
    buckets: dict[str, list[int]] = field(default_factory=dict)


Snapshot = dict[str, Samples]
"""Everything one registry counts: the family's name to its samples."""


class Counter:
    """Only goes up. On the hottest paths `counter.value += 1` saves the call."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Number = 0

    def inc(self, amount: Number = 1) -> None:
        self.value += amount


class Gauge:
    """Goes up and down."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Number = 0

    def set(self, value: Number) -> None:
        self.value = value

    def inc(self, amount: Number = 1) -> None:
        self.value += amount

    def dec(self, amount: Number = 1) -> None:
        self.value -= amount


class Histogram:
    """How many observations fell at or below each bound."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum: Number = 0

    def observe(self, value: Number) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts)


C = TypeVar("C", bound=Counter | Gauge | Histogram)

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def label_text(names: Sequence[str], values: Sequence[str]) -> str:
    """`{a="b",c="d"}`, escaped as the text format asks; nothing when there are no labels."""
    if not names:
        return ""
    return "{" + ",".join(f'{n}="{_escaped(v)}"' for n, v in zip(names, values, strict=True)) + "}"


def _escaped(value: str) -> str:
    # A lone surrogate has no UTF-8 form, and one bad name must not cost the whole page.
    return value.encode("utf-8", "backslashreplace").decode().translate(_ESCAPES)


class Family(Generic[C]):
    """One name, its labels, and a child for each set of label values that occurred."""

    __slots__ = (
        "_children",
        "_make",
        "_overflow",
        "_texts",
        "bounds",
        "cap",
        "help",
        "kind",
        "labels",
        "name",
        "overflowed",
        "rule",
        "source",
    )

    def __init__(
        self,
        make: Callable[[], C],
        kind: Kind,
        name: str,
        help: str,
        labels: tuple[str, ...],
        *,
        cap: int,
        rule: Rule = Rule.SUM,
        bounds: tuple[float, ...] = (),
    ) -> None:
        self._make = make
        self._children: dict[tuple[str, ...], C] = {}
        self._texts: dict[str, C] = {}
        self._overflow: C | None = None
        self.kind = kind
        self.name = name
        self.help = help
        self.labels = labels
        self.cap = cap
        self.rule = rule
        self.bounds = bounds
        self.overflowed = 0
        """How often a child was refused because of the cap."""
        self.source: Source | None = None
        if not labels:
            self.child()

    def child(self, *values: str) -> C:
        """The number for these label values: always the same object, so callers may keep it."""
        try:
            return self._children[values]
        except KeyError:
            return self._add(values)

    def _add(self, values: tuple[str, ...]) -> C:
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, got {len(values)} values")
        if len(self._children) >= self.cap:
            self.overflowed += 1
            if self._overflow is None:
                self._overflow = self._enter((OTHER,) * len(self.labels))
            return self._overflow
        return self._enter(values)

    def _enter(self, values: tuple[str, ...]) -> C:
        # `str()`: the text of a StrEnum member, not its name, and nothing that drags an object along.
        key = tuple(str(value) for value in values)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._make()
            self._texts[label_text(self.labels, key)] = child
        return child

    def watch(self, source: Source) -> None:
        """From now on the numbers are what `source` gives at each scrape; children are not shown any more."""
        if self.kind is Kind.HISTOGRAM:
            raise TypeError(f"{self.name} is a histogram; only single numbers can be read")
        self.source = source

    def children(self) -> dict[tuple[str, ...], C]:
        """Label values to child, as it is now."""
        return dict(self._children)

    def samples(self) -> Samples:
        """A copy of the numbers as they are now."""
        samples = Samples(self.kind, self.help, self.rule, self.bounds)
        if self.source is not None:
            samples.values = {
                label_text(self.labels, labels): number for labels, number in self.readings()
            }
            return samples
        for text, child in self._texts.items():
            if isinstance(child, Histogram):
                # A request binds histograms it may never feed: those would be pages of zeros.
                if not child.sum and not any(child.counts):
                    continue
                samples.values[text] = child.sum
                samples.buckets[text] = child.counts.copy()
            else:
                samples.values[text] = child.value
        return samples

    def texts(self) -> ItemsView[str, C]:
        """The text of labels to child, the oldest first: there are never fewer, nor others before them."""
        return self._texts.items()

    def readings(self) -> list[Reading]:
        """What the source gives now, as far as it comes."""
        assert self.source is not None
        found: list[Reading] = []
        try:
            source = self.source()
            if isinstance(source, list) and len(source) <= self.cap:
                return source
            for reading in source:
                if len(found) >= self.cap:
                    self.overflowed += 1
                    break
                found.append(reading)
        except Exception:
            # One broken reading may not take the whole page with it.
            log.exception("reading %s failed", self.name)
        return found


class Registry:
    """The families of one worker."""

    __slots__ = ("families",)

    def __init__(self) -> None:
        self.families: dict[str, Family[Counter] | Family[Gauge] | Family[Histogram]] = {}

    def counter(
        self, name: str, help: str, labels: tuple[str, ...] = (), *, cap: int = 10_000
    ) -> Family[Counter]:
        family = Family(Counter, Kind.COUNTER, name, help, labels, cap=cap)
        self._declare(family)
        return family

    def gauge(
        self,
        name: str,
        help: str,
        labels: tuple[str, ...] = (),
        *,
        rule: Rule = Rule.SUM,
        cap: int = 10_000,
    ) -> Family[Gauge]:
        family = Family(Gauge, Kind.GAUGE, name, help, labels, cap=cap, rule=rule)
        self._declare(family)
        return family

    def histogram(
        self,
        name: str,
        help: str,
        bounds: Iterable[float],
        labels: tuple[str, ...] = (),
        *,
        cap: int = 4_000,
    ) -> Family[Histogram]:
        edges = tuple(float(bound) for bound in bounds)
        if not edges or sorted(set(edges)) != list(edges):
            raise ValueError(f"the bounds of {name} do not rise")
        family = Family(
            lambda: Histogram(edges), Kind.HISTOGRAM, name, help, labels, cap=cap, bounds=edges
        )
        self._declare(family)
        return family

    def _declare(self, family: Family[Counter] | Family[Gauge] | Family[Histogram]) -> None:
        for name in (family.name, *family.labels):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name for a metric or a label")
        if family.name in self.families:
            raise ValueError(f"{family.name} is declared twice")
        self.families[family.name] = family

    def overflows(self) -> Iterable[Reading]:
        """Families that refused children, for a family that `watch`es this."""
        return [
            ((family.name,), family.overflowed)
            for family in self.families.values()
            if family.overflowed
        ]

    def snapshot(self) -> Snapshot:
        """Every number as it is now."""
        return {name: family.samples() for name, family in self.families.items()}
