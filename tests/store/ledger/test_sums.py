"""What requests add to counters and statistics."""

from __future__ import annotations

import pytest

from proxy.ledger.records import Adjust, Charged, End, Tokens
from proxy.store.ledger.statistics import DIMENSIONS
from proxy.store.ledger.sums import COUNTER, OUTCOMES, STATISTIC, counters, statistics
from tests.store.ledger.made import AT, CHARGES, end

ONE, TWO = Charged("key:1", 10, 20), Charged("team:a", 0, 0)


def added(*ends: End) -> list[dict[str, object]]:
    return [dict(zip(STATISTIC, row, strict=True)) for row in statistics(ends, AT)]


def test_a_request_counts_in_each_of_its_windows_and_rows_are_in_one_order() -> None:
    ends = [end("a", charges=(TWO, ONE)), end("b", charges=(ONE,), cost=-1), end("c", charges=())]
    adjusts = [Adjust("d", AT, ONE, -1, -20, -5)]

    rows = [dict(zip(COUNTER, row, strict=True)) for row in counters(ends, adjusts, "here")]

    assert [tuple(row.values()) for row in rows] == [
        ("key:1", 10, "here", 20, 1, 120, 65),
        ("team:a", 0, "here", 0, 1, 70, 70),
    ]


def test_rows_are_the_same_whatever_order_ends_come_in() -> None:
    ends = [end(f"{n}", AT + n * 50, model=f"m{n % 3}", charges=CHARGES) for n in range(20)]

    assert statistics(ends, AT) == statistics(ends[::-1], AT) == sorted(statistics(ends, AT))
    assert sum(row["requests"] for row in added(*ends)) == 40  # type: ignore[misc]


@pytest.mark.parametrize("outcome", [*OUTCOMES, "refused", "of a later version"])
def test_a_request_is_one_of_these_or_was_refused(outcome: str) -> None:
    row = added(end("a", outcome=outcome))[0]

    kinds = {name: row[name] for name in ("succeeded", "failed", "client_gone")}
    assert kinds == {name: int(name == OUTCOMES.get(outcome)) for name in kinds}
    assert row["requests"] == 1


@pytest.mark.parametrize(
    ("source", "expected"), [("reported", 0), ("estimated", 1), ("suspect", 1), ("none", 0)]
)
def test_what_nobody_reported_or_nobody_believes_is_estimated(source: str, expected: int) -> None:
    assert added(end("a", source=source))[0]["estimated"] == expected


def test_everything_is_added_where_it_belongs() -> None:
    tokens = Tokens(1, 2, 3, 4, 5)
    hour, minute = (
        row
        for row in sorted(
            added(
                end("a", tokens=tokens, ttft_ms=60.0, total_ms=400_000.0, source="estimated"),
                end("b", tokens=tokens, ttft_ms=-1.0, total_ms=-1.0, cost=-1, cost_upstream=-1),
            ),
            key=lambda row: -row["span"],  # type: ignore[operator]
        )
    )

    assert (minute.pop("span"), hour.pop("span")) == (60, 3600)
    assert (minute.pop("bucket"), hour.pop("bucket")) == (AT, AT)
    assert minute == hour
    assert {name: hour.pop(name) for name in DIMENSIONS} == {
        "model": "m", "provider": "lab", "deployment": "lab/m", "key_id": "7", "key": "k7", "team": "blue",
    }  # fmt: skip
    assert {name: value for name, value in hour.items() if value} == {
        "requests": 2, "succeeded": 2, "input": 2, "cache_read": 4, "cache_write": 6, "output": 8,
        "reasoning": 10, "cost": 70, "cost_upstream": 90, "unknown_cost": 1, "estimated": 1,
        "ttft_sum": 0.06, "ttft_3": 1, "total_sum": 400.0, "total_15": 1,
    }  # fmt: skip
