"""Which series there are, and where the numbers of each are: the same for all processes of an instance.

There are three kinds of places, each counted from 0: `counts` for the buckets of histograms, `totals` for counters and the
sums of histograms, `levels` for gauges. They are given out in the order of a log that all processes read, and never again.
"""

from __future__ import annotations

from msgspec import Struct

from proxy.core.series import Kind, Rule


class Declared(Struct, frozen=True, array_like=True, tag=0):
    """A family is new."""

    name: str
    kind: Kind
    help: str
    rule: Rule
    bounds: tuple[float, ...]


class Series(Struct, frozen=True, array_like=True, tag=1):
    """A series of a family is new."""

    family: str
    labels: str
    """As text: `{a="b"}`, or nothing."""


Entry = Declared | Series


class Place(Struct, frozen=True, gc=False):
    """Of one series."""

    number: int
    """Among `levels` for a gauge, else among `totals`."""
    counts: int = 0
    """The first bucket of a histogram; it has one more than bounds."""


class Catalogue:
    """What one process has read of the log."""

    __slots__ = ("counts", "families", "levels", "series", "totals")

    def __init__(self) -> None:
        self.families: dict[str, Declared] = {}
        self.series: dict[str, dict[str, Place]] = {}
        """By family and labels."""
        self.counts = self.totals = self.levels = 0
        """How many places of each kind there are."""

    @property
    def size(self) -> int:
        """Places of all kinds."""
        return self.counts + self.totals + self.levels

    def find(self, family: str, labels: str) -> Place | None:
        """Where a series has its numbers; None: nowhere, as far as the log is read."""
        return self.series[family].get(labels) if family in self.series else None

    def knows(self, entry: Entry) -> bool:
        """Whether it has been learnt."""
        if isinstance(entry, Declared):
            return entry.name in self.families
        return self.find(entry.family, entry.labels) is not None

    def learn(self, entry: Entry) -> None:
        """The next one of the log. What is known already changes nothing; a series comes behind its family."""
        if self.knows(entry):
            return
        if isinstance(entry, Declared):
            self.families[entry.name] = entry
            self.series[entry.name] = {}
            return
        family = self.families[entry.family]
        if family.kind is Kind.GAUGE:
            place = Place(self.levels)
            self.levels += 1
        else:
            place = Place(self.totals, self.counts)
            self.totals += 1
            self.counts += len(family.bounds) + 1 if family.kind is Kind.HISTOGRAM else 0
        self.series[entry.family][entry.labels] = place
