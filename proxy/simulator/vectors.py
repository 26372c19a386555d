"""Embedding vectors: the same for the same position and size, of length one or so."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(1024)
def vector(index: int, size: int) -> list[float]:
    """The vector of input number `index`."""
    scale = size**-0.5
    return [((index * 31 + place * 17) % 101 - 50) / 50 * scale for place in range(size)]
