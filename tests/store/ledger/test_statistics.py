"""Sums and percentiles over time are those of the requests."""

from __future__ import annotations

import pytest

from proxy.core.clock import Hands
from proxy.ledger.records import Tokens
from proxy.store.ledger import statistics
from proxy.store.ledger.booking import book
from proxy.store.ledger.statistics import HOUR, MINUTE, Figures, figures
from proxy.store.opening import Database
from tests.store.ledger.made import AT, HOST, end

DAY = 86400
ENDS = [
    end("a", AT + 1, ttft_ms=100.0, total_ms=1000.0),
    end("b", AT + 62, model="n", cost=-1, source="estimated", ttft_ms=-1.0),
    end("c", AT + 63, outcome="client_gone", status=499, total_ms=3000.0),
    end("d", AT + HOUR, outcome="failed", status=503, tokens=Tokens(), cost=0, cost_upstream=-1),
    end("e", AT + DAY, outcome="refused", status=429, key_id="8", key="k8", team="red", cost=0),
]


async def ask(store: Database, **options: object) -> list[Figures]:
    return await figures(store, AT, AT + 2 * DAY, **options)  # type: ignore[arg-type]


async def test_everything_at_once(store: Database, hands: Hands) -> None:
    await book(store, HOST, ENDS)

    (one,) = await ask(store, span=0)

    assert (one.bucket, one.group) == (0, {})
    assert (one.requests, one.succeeded, one.failed, one.client_gone) == (5, 2, 1, 1)
    assert (one.input, one.output, one.cache_read) == (40, 240, 0)
    assert (one.cost, one.unknown_cost, one.cost_upstream, one.estimated) == (140, 1, 360, 1)
    assert one.ttft is not None
    assert one.total is not None
    assert (one.ttft.count, one.total.count) == (4, 5)
    assert one.ttft.mean == pytest.approx((0.1 + 3 * 0.25) / 4)
    assert 0.2 < one.ttft.p90 <= 0.3  # where 0.25 is counted
    assert one.total.p50 <= one.total.p90 <= one.total.p95 <= one.total.p99 <= 5.12


@pytest.mark.parametrize(
    ("span", "buckets"),
    [
        (MINUTE, {0: 1, 60: 2, HOUR: 1, DAY: 1}),
        (5 * MINUTE, {0: 3, HOUR: 1, DAY: 1}),
        (HOUR, {0: 3, HOUR: 1, DAY: 1}),
        (2 * HOUR, {0: 4, DAY: 1}),
    ],
)
async def test_spans_are_multiples(
    store: Database, hands: Hands, span: int, buckets: dict[int, int]
) -> None:
    await book(store, HOST, ENDS)

    found = await ask(store, span=span)

    assert AT % (2 * HOUR) == 0
    assert {one.bucket - AT: one.requests for one in found} == buckets


async def test_groups_and_filters(store: Database, hands: Hands) -> None:
    await book(store, HOST, ENDS)

    grouped = await ask(store, span=0, group_by=("team", "model"))
    filtered = await ask(store, span=0, filters={"key_id": "7", "model": "n"})

    assert [(one.group, one.requests) for one in grouped] == [
        ({"team": "blue", "model": "m"}, 3),
        ({"team": "blue", "model": "n"}, 1),
        ({"team": "red", "model": "m"}, 1),
    ]
    assert [(one.requests, one.cost, one.ttft) for one in filtered] == [(1, None, None)]
    assert await ask(store, span=0, filters={"model": "none"}) == []


async def test_times_are_rounded_to_what_is_counted(store: Database, hands: Hands) -> None:
    await book(store, HOST, ENDS)

    async def count(since: float, until: float, span: int = 0) -> int:
        return sum(one.requests for one in await figures(store, since, until, span=span))

    assert await count(AT + 61, AT + 62) == 2  # its minute
    assert await count(AT, AT + 60) == 1
    assert await count(AT + 61, AT + 62, HOUR) == 3
    assert await count(AT + HOUR + 5, AT + 8 * HOUR) == 1  # more than six hours


async def test_minutes_of_long_ago_are_not_written(store: Database, hands: Hands) -> None:
    hands.advance(3 * DAY)

    await book(store, HOST, ENDS[:3])

    assert await store.fetch("SELECT span, count(*) FROM statistics GROUP BY span") == [(HOUR, 2)]


@pytest.mark.parametrize(
    "options", [{"group_by": ("rid",)}, {"filters": {"1=1 --": ""}}, {"span": 61}, {"span": -60}]
)
async def test_what_is_not_counted_cannot_be_asked_for(
    store: Database, options: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=r"dimension|multiple"):
        await ask(store, **options)


def test_every_column_is_asked_for_once() -> None:
    columns = (*statistics.COUNTED, *statistics.SUMMED, *statistics.HISTOGRAMS)
    assert len(set(columns)) == len(columns)


@pytest.mark.parametrize(
    ("by", "first", "last"),
    [("requests", "m", "o"), ("tokens", "o", "n"), ("cost", "n", "o"), ("failed", "n", "o")],
)
async def test_groups_are_ranked(
    store: Database, hands: Hands, by: str, first: str, last: str
) -> None:
    await book(
        store,
        HOST,
        [
            *(end(f"a{number}", AT + 60 * number) for number in range(4)),
            end("b", AT, model="n", outcome="failed", cost=900, tokens=Tokens()),
            end("c", AT + 90, model="n", outcome="failed", cost=900, tokens=Tokens()),
            end("d", AT + 90, model="o", cost=1, tokens=Tokens(output=900)),
        ],
    )
    whole = await ask(store, span=0, group_by=["model"], top=9, by=by)
    one = await ask(store, span=0, group_by=["model"], top=1, by=by)
    over_time = await ask(store, span=MINUTE, group_by=["model"], top=1, by=by)

    assert (whole[0].group["model"], whole[-1].group["model"]) == (first, last)
    assert one == whole[:1]
    assert {each.group["model"] for each in over_time} == {first}
    assert sum(each.requests for each in over_time) == one[0].requests


async def test_groups_of_several_are_ranked_together(store: Database, hands: Hands) -> None:
    await book(store, HOST, [*ENDS, end("f", AT + 2, model="n", team="red")])
    found = await ask(store, span=HOUR, group_by=["model", "team"], top=1)

    assert [(one.group, one.requests) for one in found] == [
        ({"model": "m", "team": "blue"}, 2),
        ({"model": "m", "team": "blue"}, 1),
    ]


async def test_there_is_no_other_rank(store: Database) -> None:
    with pytest.raises(ValueError, match="no order by luck"):
        await ask(store, group_by=["model"], top=1, by="luck")
