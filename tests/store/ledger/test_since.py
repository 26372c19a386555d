"""What is counted since a moment is what came since then, to the request."""

from __future__ import annotations

import pytest

from proxy.core.clock import Hands, now
from proxy.store.ledger.booking import book
from proxy.store.ledger.since import Sums, since, start
from proxy.store.opening import Database
from tests.store.ledger.made import HOST, end
from tests.store.ledger.made import start as begin

HOUR, DAY = 3600, 86_400


async def fill(store: Database, hands: Hands) -> float:
    """One request in each of 25 moments of half an hour; the first."""
    hands.advance(HOUR - now() % HOUR + 1200.25)
    first = now()
    ends = [end(f"{n:02}", first + 75 * n) for n in range(25)]
    hands.advance(75 * 25)
    await book(store, HOST, [*ends, begin("open", first + 1)])
    return first


@pytest.mark.parametrize("after", [0, 1, 3, 24])
async def test_it_begins_at_the_moment(store: Database, hands: Hands, after: int) -> None:
    first = await fill(store, hands)

    for moment, count in ((75 * after, 25 - after), (75 * after + 0.5, 24 - after)):
        found = await since(store, first + moment)
        assert sum(sums.requests for sums in found.values()) == count


async def test_all_of_it_is_added_up(store: Database, hands: Hands) -> None:
    first = await fill(store, hands)
    other = [
        end("n", first + 1, model="n", cost=-1, outcome="client_gone", team="red"),
        end("f", first + 90, outcome="upstream_error", status=502, ttft_ms=-1.0, cost=0),
        end("r", first + 2, outcome="refused", provider="", deployment="", cost=0, ttft_ms=-1.0),
    ]
    await book(store, "there", other)

    found = await since(store, first)

    sums = found["m", "lab", "lab/m"]
    assert sums.tokens == 26 * 70
    assert (sums.requests, sums.succeeded, sums.failed, sums.client_gone) == (26, 25, 1, 0)
    assert (sums.cost, sums.unknown_cost, sums.waits) == (25 * 70, 0, 25)
    assert sums.wait == pytest.approx(25 * 0.25)
    gone = found["n", "lab", "lab/m"]
    assert (gone.client_gone, gone.cost, gone.unknown_cost) == (1, 0, 1)
    refused = found["m", "", ""]
    assert (refused.requests, refused.succeeded, refused.failed) == (1, 0, 0)
    assert set(await since(store, first, "red")) == {("n", "lab", "lab/m")}
    assert await since(store, now() + 5) == {}


async def test_of_long_ago_there_are_hours_alone(store: Database, hands: Hands) -> None:
    first = await fill(store, hands)
    mark = first + 75 * 10
    assert start(mark) == mark
    hands.advance(3 * DAY)
    await store.execute("DELETE FROM statistics WHERE span = 60")

    found = await since(store, mark)

    assert start(mark) == mark // HOUR * HOUR < first
    assert sum(sums.requests for sums in found.values()) == 25


def test_sums_are_added() -> None:
    one = Sums(requests=1, cost=5, wait=0.5)
    one.add(Sums(requests=2, cost=6, wait=0.25, waits=1))

    assert one == Sums(requests=3, cost=11, wait=0.75, waits=1)
