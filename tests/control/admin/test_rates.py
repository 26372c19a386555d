"""From counts to what goes on: never below nothing, and nothing said where nothing is known."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.admin.rates import OUTCOMES, now
from proxy.control.sampling import Sample
from proxy.core.metrics import OVERHEAD, TTFT


def counted(at: float, **fields: Any) -> Sample:
    return Sample(at, **fields)


def buckets(bounds: tuple[float, ...], **those: int) -> list[int]:
    """Such as `_3=2`: two in the third bucket."""
    found = [0] * (len(bounds) + 1)
    for place, number in those.items():
        found[int(place[1:])] = number
    return found


def test_rates_are_of_the_last_two_and_times_of_all() -> None:
    samples = [
        counted(0.0, ttft=buckets(TTFT, _1=5)),
        counted(
            8.0,
            requests={"succeeded": 10},
            tokens={"input": 1, "cached_input": 2, "cache_write": 3, "output": 4, "reasoning": 4},
            ttft=buckets(TTFT, _1=5, _4=10),
            cost=1.0,
        ),
        counted(
            10.0,
            requests={"succeeded": 13, "failed": 1, "refused": 2},
            tokens={"input": 11, "cached_input": 12, "cache_write": 13, "output": 24},
            inflight=7,
            retries=2,
            failovers=1,
            cost=1.5,
            ttft=buckets(TTFT, _1=5, _4=20),
            overhead=buckets(OVERHEAD, _4=1),
        ),
    ]
    found = now(1_800_000_000.0, samples)

    assert found is not None
    assert found.requests == {
        "succeeded": 1.5,
        "failed": 0.5,
        "refused": 1.0,
        "client_gone": 0.0,
        "total": 3.0,
    }
    assert found.error_rate == 0.25
    assert found.tokens == {"input": 15.0, "output": 10.0}
    assert (found.inflight, found.retries, found.failovers, found.fallbacks) == (7, 1.0, 0.5, 0.0)
    assert found.cost == 15.0
    assert found.ttft is not None
    assert found.ttft["count"] == 20
    assert 0.1 < found.ttft["p50"] < found.ttft["p99"] <= 0.2
    assert found.overhead is not None
    assert found.overhead["count"] == 1


def test_what_did_not_happen_is_not_said() -> None:
    same = {"succeeded": 5.0}
    found = now(1.0, [counted(0.0, requests=same), counted(1.0, requests=same)])

    assert found is not None
    assert (found.error_rate, found.ttft, found.overhead) == (None, None, None)
    assert found.requests["total"] == 0


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [counted(0.0)],
        [counted(1.0), counted(1.0)],
        [counted(0.0, requests={"succeeded": 9}), counted(1.0, requests={"succeeded": 3})],
        [counted(0.0, requests={"succeeded": 9}), counted(1.0)],
    ],
    ids=["none", "one", "the same moment", "begun anew", "nothing any more"],
)
def test_nothing_is_said_where_nothing_is_known(samples: list[Sample]) -> None:
    assert now(1.0, samples) is None


@given(
    st.lists(
        st.fixed_dictionaries({name: st.integers(0, 10**9) for name in OUTCOMES}),
        min_size=2,
        max_size=4,
    ),
    st.lists(st.integers(0, 10**9), min_size=17, max_size=17),
)
def test_no_rate_is_below_nothing(steps: list[dict[str, int]], waits: list[int]) -> None:
    requests = dict.fromkeys(OUTCOMES, 0.0)
    samples = []
    for number, step in enumerate(steps):
        requests = {name: requests[name] + step[name] for name in OUTCOMES}
        samples.append(
            counted(float(number), requests=requests, ttft=[number * one for one in waits])
        )
    found = now(0.0, samples)

    assert found is not None
    assert found.requests == {**steps[-1], "total": sum(steps[-1].values())}
    assert found.error_rate is None or 0 <= found.error_rate <= 1
    if found.ttft is not None:
        assert 0 < found.ttft["p50"] <= found.ttft["p95"] <= found.ttft["p99"] <= TTFT[-1]
