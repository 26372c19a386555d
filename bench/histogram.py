"""A latency histogram with logarithmic buckets: constant memory, relative error below one percent.

A value keeps its seven leading bits; the bits after them are dropped. Bucket numbers rise with the
values, so a quantile is one walk over the counts, and two histograms add up bucket by bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT_BITS = 7
HALF = 1 << (KEPT_BITS - 1)


def bucket(value: int) -> int:
    """The number of the bucket that holds `value` (0 and more)."""
    shift = value.bit_length() - KEPT_BITS
    return shift * HALF + (value >> shift) if shift > 0 else value


def bounds(number: int) -> tuple[int, int]:
    """The smallest value of a bucket, and the first value beyond it."""
    if number < 2 * HALF:
        return number, number + 1
    shift = number // HALF - 1
    low = (number - shift * HALF) << shift
    return low, low + (1 << shift)


class Histogram:
    """Counts of values by bucket, with the exact number, sum and maximum beside them."""

    __slots__ = ("counts", "maximum", "number", "total")

    def __init__(self, values: Iterable[int] = ()) -> None:
        self.counts: dict[int, int] = {}
        self.number = 0
        self.total = 0
        self.maximum = 0
        for value in values:
            self.add(value)

    def add(self, value: int) -> None:
        # `bucket` written out: this runs once per token, and a call would double its price.
        shift = value.bit_length() - KEPT_BITS
        number = shift * HALF + (value >> shift) if shift > 0 else value
        counts = self.counts
        counts[number] = counts.get(number, 0) + 1
        self.number += 1
        self.total += value
        if value > self.maximum:
            self.maximum = value

    def merge(self, other: Histogram) -> None:
        for number, count in other.counts.items():
            self.counts[number] = self.counts.get(number, 0) + count
        self.number += other.number
        self.total += other.total
        self.maximum = max(self.maximum, other.maximum)

    def quantile(self, fraction: float) -> float:
        """The middle of the bucket that holds the value at this rank; 0 when empty."""
        rank = min(int(fraction * self.number), self.number - 1)
        seen = 0
        for number in sorted(self.counts):
            seen += self.counts[number]
            if seen > rank:
                low, beyond = bounds(number)
                return min((low + beyond - 1) / 2, self.maximum)
        return 0.0
