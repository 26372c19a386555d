"""What a request costs, in micro-dollars. A price that is not known is None, and its cost -1: never 0."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from proxy.core.model import Price

UNKNOWN = -1


class Amounts(Protocol):
    """Disjoint token parts; `reasoning` is a part of `output`, audio parts are parts of `input` and `output`."""

    @property
    def input(self) -> int: ...
    @property
    def cache_read(self) -> int: ...
    @property
    def cache_write(self) -> int: ...
    @property
    def output(self) -> int: ...
    @property
    def reasoning(self) -> int: ...
    @property
    def audio_input(self) -> int: ...
    @property
    def audio_output(self) -> int: ...
    @property
    def images(self) -> int: ...
    @property
    def seconds(self) -> float: ...


def cost(price: Price | None, used: Amounts) -> int:
    """Micro-dollars of one answer, rounded half up; UNKNOWN without a price."""
    raise NotImplementedError


def ceiling(prices: Iterable[Price | None]) -> Price | None:
    """A price that is nowhere below any of these; None when one is unknown, or there is none."""
    raise NotImplementedError


def worst(price: Price, prompt: int, output: int) -> int:
    """Micro-dollars that so many tokens cannot exceed, whatever kinds they turn out to be; rounded up."""
    raise NotImplementedError
