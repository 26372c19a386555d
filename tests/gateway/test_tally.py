"""What the log and the counters say of what an exchange came to."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.core.metrics import Metrics
from proxy.gateway import tally
from proxy.gateway.charging import ESTIMATED, NOTHING, REPORTED, SUSPECT, Bill
from proxy.gateway.plausibility import Doubt
from proxy.ledger.records import Tokens
from proxy.state.pace import Pace
from tests.gateway.asked import CHAT, exchange, raw

TOKENS = Tokens(input=7, cache_read=3, output=2, reasoning=1)
BODY = b'{"model":"m","messages":[]}'


def metrics() -> Metrics:
    one = Metrics()
    one.allow(["m"], ["p"], ["m/0:p"])
    return one


def attempt(operation: str = "chat", pace: Pace | None = None) -> Any:
    provider = SimpleNamespace(name="p")
    return SimpleNamespace(
        candidate=SimpleNamespace(
            deployment=SimpleNamespace(provider=provider),
            model=SimpleNamespace(name="m"),
            state=SimpleNamespace(pace=pace),
        ),
        exchange=SimpleNamespace(endpoint=SimpleNamespace(operation=operation)),
        translation=None,
        is_stream=True,
        started=1.0,
        answered_at=1.5,
    )


@pytest.mark.parametrize("source", [REPORTED, ESTIMATED])
async def test_tokens_and_cost_are_counted_by_where_they_come_from(source: str) -> None:
    counted = metrics()
    tally.usage(counted.exchange(CHAT, "m", "p", False), Bill(TOKENS, source, 2500, -1, 2500))

    assert counted.tokens.child("m", "p", "input", source).value == 7
    assert counted.tokens.child("m", "p", "cached_input", source).value == 3
    assert counted.cost.child("m", "p", source).value == pytest.approx(0.0025)


@pytest.mark.parametrize(
    ("bill", "outcome", "unreported", "wasted"),
    [
        (Bill(TOKENS, REPORTED, 0, -1, 0), "ok", 0, 0.0),
        (Bill(TOKENS, ESTIMATED, 90, 90, 90), "ok", 1, 0.0),
        (Bill(TOKENS, ESTIMATED, 0, 90, -1), "truncated", 0, 90e-6),
        (Bill(TOKENS, ESTIMATED, -1, -1, -1), "client_gone", 0, 0.0),
    ],
    ids=["reported", "estimated", "free", "no price"],
)
async def test_what_an_answer_lacks_is_counted(
    bill: Bill, outcome: str, unreported: int, wasted: float
) -> None:
    counted = metrics()
    tally.answer(counted, attempt(), bill, outcome)

    assert counted.empty_responses.child("p", "no_usage").value == unreported
    assert counted.wasted_cost.child("m", "p", outcome).value == pytest.approx(wasted)


async def test_a_report_that_cannot_be_true_is_counted_as_one_and_as_an_estimate() -> None:
    counted, bill = metrics(), Bill(TOKENS, SUSPECT, 2500, 2500, 2500, Doubt.OUTPUT)
    tally.usage(counted.exchange(CHAT, "m", "p", False), bill)
    tally.answer(counted, attempt(), bill, "ok")

    assert counted.odd_usage.child("p", "output").value == 1
    assert counted.empty_responses.child("p", "no_usage").value == 0
    assert counted.tokens.child("m", "p", "input", ESTIMATED).value == 7
    assert counted.cost.child("m", "p", ESTIMATED).value == pytest.approx(0.0025)


async def test_nobody_expects_a_report_of_speech() -> None:
    counted = metrics()
    tally.answer(counted, attempt("speech"), Bill(TOKENS, ESTIMATED, 1, 1, 1), "ok")

    assert counted.empty_responses.child("p", "no_usage").value == 0


@pytest.mark.parametrize(("source", "known"), [(REPORTED, (10.0, 2.0)), (ESTIMATED, (None, None))])
async def test_strategies_learn_from_what_was_reported(
    source: str, known: tuple[float | None, float | None]
) -> None:
    pace = Pace()
    tally.answer(metrics(), attempt(pace=pace), Bill(TOKENS, source, 1, 1, 1), "ok")

    now = monotonic()
    assert (pace.input.value(now), pace.output.value(now)) == known


async def test_the_line_has_cost_and_source_where_something_was_used() -> None:
    one = exchange(raw("POST", CHAT, BODY))
    line = tally.line(one, Bill(TOKENS, REPORTED, 51, -1, 51))

    assert (line.input_tokens, line.output_tokens, line.usage_source) == (7, 2, "reported")
    assert line.cost == pytest.approx(0.000051)


async def test_the_line_names_the_trace_where_there_is_one() -> None:
    one = exchange(raw("POST", CHAT, BODY))
    assert tally.line(one, NOTHING).trace_id == ""

    traced: Any = SimpleNamespace(id="4bf92f3577b34da6a3ce929d0e0e4736")
    one.trace = traced
    assert tally.line(one, NOTHING).trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_a_price_that_is_not_known_is_no_cost_and_nothing_used_no_tokens() -> None:
    one = exchange(raw("POST", CHAT, BODY))

    assert tally.line(one, Bill(TOKENS, REPORTED, -1, -1, -1)).cost is None
    line = tally.line(one, NOTHING)
    assert (line.cost, line.usage_source, line.input_tokens) == (None, "", None)
