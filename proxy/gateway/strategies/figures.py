"""What deployments are compared by: how long an answer takes, what it costs, how often there is none."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from proxy.core import prices
from proxy.ledger.records import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proxy.gateway.hints import Hints
    from proxy.gateway.slots import Slot
    from proxy.state.pace import Pace

USUAL_INPUT, USUAL_OUTPUT = 1000.0, 500.0
"""Tokens of a prompt and of an answer, before any was seen."""
CROWD = 0.1
"""How much longer a wait is for each request that is in flight already."""
ALIKE = 0.25
"""The part of the usual length by which answers differ by chance."""


def pace(slot: Slot) -> Pace:
    """Its figures: a route whose strategy compares has seen to it that there are some."""
    found = slot.state.pace
    assert found is not None
    return found


def latencies(ready: Sequence[Slot], now: float, hints: Hints) -> list[float]:
    """Seconds. One that nothing is known of counts as the best: it is found out soon."""
    known = [pace(slot).latency(now, stream=hints.stream) for slot in ready]
    best = min((seconds for seconds in known if seconds is not None), default=0.0)
    return [best if seconds is None else seconds for seconds in known]


def waits(ready: Sequence[Slot], now: float, hints: Hints) -> list[float]:
    """The same with what is in flight: averages follow load only after it has slowed answers down, and whoever looks best
    would be sent everything until then."""
    usual = sum(slot.weight for slot in ready) / len(ready)
    return [
        seconds * (1.0 + CROWD * slot.state.inflight * usual / slot.weight)
        for slot, seconds in zip(ready, latencies(ready, now, hints), strict=True)
    ]


def failures(ready: Sequence[Slot], now: float) -> list[float]:
    """The share of attempts that fail, 0 to 1."""
    return [1.0 - pace(slot).success(now) for slot in ready]


def costs(ready: Sequence[Slot], now: float, hints: Hints) -> list[float]:
    """Micro-dollars that a usual request of this model comes to at each; infinite where no price is known.

    All of them would get the same prompt, so that is what all of them usually get. Answers are as long as each makes them, where
    that is clearly another length: else of two at the same price now the one and now the other would look cheaper.
    """
    inputs = _mean(pace(slot).input.value(now) for slot in ready)
    outputs = [pace(slot).output.value(now) for slot in ready]
    asked = USUAL_INPUT if inputs is None else inputs
    said = _mean(outputs)
    usual = USUAL_OUTPUT if said is None else said
    return [
        _cost(slot, asked, usual if output is None or _alike(output, usual) else output, hints)
        for slot, output in zip(ready, outputs, strict=True)
    ]


def _cost(slot: Slot, asked: float, said: float, hints: Hints) -> float:
    price = slot.known_price(hints.matched, hints.snapshot) or hints.snapshot.price_unknown
    if price is None:
        return inf
    if price.above:
        return float(prices.cost(price, Tokens(input=int(asked), output=int(said))))
    return price.request + asked * price.input + said * price.output


def _alike(output: float, usual: float) -> bool:
    return abs(output - usual) <= ALIKE * usual


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
