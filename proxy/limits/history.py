"""What requests of a key to a model came to lately: the p95, so that a budget is not filled with estimates of `max_tokens`.

For each pair a histogram of quarters of octaves, so a value is known within a quarter, upwards. Old samples fade: all
counts are halved when there are many. Adding is a few operations, asking is one; memory is bounded by the number of pairs.
"""

from __future__ import annotations

from collections import OrderedDict

PAIRS = 4096
LEAST = 20
"""Samples before anything is said."""

_MOST = 240
_FEW = 8
"""Samples that may wait."""
_BUCKETS = 4 * 63


class History:
    """Of one worker. The pair that was asked for longest ago makes room for a new one."""

    __slots__ = ("_known", "_pairs")

    def __init__(self, pairs: int = PAIRS) -> None:
        self._pairs = pairs
        self._known: OrderedDict[tuple[str, str], Sketch] = OrderedDict()

    def of(self, key_id: str, model: str) -> Sketch:
        """Micro-dollars (or tokens, in a history of its own) of their requests. Whoever keeps it may add to it for ever."""
        pair = key_id, model
        sketch = self._known.get(pair)
        if sketch is None:
            if len(self._known) >= self._pairs:
                self._known.popitem(last=False)
            sketch = self._known[pair] = Sketch()
        else:
            self._known.move_to_end(pair)
        return sketch

    def add(self, key_id: str, model: str, value: int) -> None:
        """One request came to this."""
        self.of(key_id, model).add(value)

    def p95(self, key_id: str, model: str) -> int | None:
        """Of the last hundreds, rounded up by a quarter at most; None while there are fewer than 20."""
        sketch = self._known.get((key_id, model))
        if sketch is None:
            return None
        sketch.look()
        return sketch.p95


class Sketch:
    """Counts by size, and a mark at the bucket of the p95, which moves as they change."""

    __slots__ = ("_above", "_count", "_counts", "_fades", "_late", "_mark", "add", "p95")

    def __init__(self) -> None:
        self._counts = bytearray(_BUCKETS)
        self._count = 0
        self._fades = 0
        self._mark = 0
        self._above = 0
        """Samples in buckets above the mark: at most a twentieth, and with those of the mark more."""
        self._late: list[int] = []
        self.add = self._late.append
        """One request came to this. It counts when somebody looks."""
        self.p95: int | None = None
        """When it was looked at last: rounded up to the edge of its bucket; None while there are too few samples."""

    def glance(self) -> int | None:
        """The p95, without the last few samples."""
        late = self._late
        if late and (len(late) >= _FEW or self.p95 is None):
            self.look()
        return self.p95

    def look(self) -> None:
        """Count what was added."""
        counts, count, above, mark = self._counts, self._count, self._above, self._mark
        for value in self._late:
            bucket = _bucket(value)
            counts[bucket] += 1
            count += 1
            if bucket > mark:
                above += 1
            if count > _MOST:
                self._fade()
                counts, count, above, mark = self._counts, self._count, self._above, self._mark
        self._late.clear()
        while above * 20 > count:
            mark += 1
            above -= counts[mark]
        while mark and (above + counts[mark]) * 20 <= count:
            above += counts[mark]
            mark -= 1
        self._count, self._above, self._mark = count, above, mark
        if count >= LEAST:
            self.p95 = _edge(mark)

    def _fade(self) -> None:
        # Up and down by turns: a single sample stays for a while, and not for ever.
        self._fades += 1
        odd = self._fades & 1
        self._counts = bytearray((count + odd) // 2 for count in self._counts)
        self._count = sum(self._counts)
        self._mark = _BUCKETS - 1
        self._above = 0


def _bucket(value: int) -> int:
    """0 and less is 0; to 7 each has its own; then four for each power of two."""
    if value < 8:
        return max(value, 0)
    length = value.bit_length()
    return min(4 * (length - 2) + ((value >> (length - 3)) & 3), _BUCKETS - 1)


def _edge(bucket: int) -> int:
    """The largest value of a bucket."""
    if bucket < 8:
        return bucket
    octave, quarter = divmod(bucket, 4)
    return ((quarter + 5) << (octave - 1)) - 1
