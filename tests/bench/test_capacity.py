"""What a load takes follows from what was measured, and from nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.capacity import Given, Measured, given, measured, need, of_stream, published, seconds
from bench.peers import PeerError

COST = Measured(request=100e-6, token=20e-6, stream=20e3, recorded=1.0)
LOAD = Given(rate=50, answer=450, first=1, cores=10, beside=2, busy=0.5, worst=1.0, tls=1.0)


def test_a_stream_takes_its_tokens_and_its_part_of_a_request() -> None:
    assert seconds(LOAD) == 10
    assert of_stream(COST, LOAD) == pytest.approx((100e-6 + 450 * 20e-6) / 10)
    assert of_stream(COST, replace(LOAD, tls=2.0)) == pytest.approx(2 * of_stream(COST, LOAD))


def test_machines_are_as_many_as_the_fullest_needs() -> None:
    # A machine has 8 cores for workers, of which half may be busy: 4 / 0.00091 = 4,395 streams.
    found = need(COST, LOAD, 40_000)

    assert found.machines == 10
    assert found.full[0][0] == "processors"
    assert found.full[0][1] == pytest.approx(4_000 * 0.00091 / 4)
    assert found.workers == 80
    assert found.requests == 4_000
    assert found.tokens == 4_000 * 450


def test_with_one_gone_the_others_bear_it() -> None:
    load = replace(LOAD, worst=0.5)

    assert need(COST, LOAD, 8_700).machines == 2
    # Not busier than usual: so another one stands by.
    assert need(COST, load, 8_700).machines == 3
    assert need(COST, LOAD, 1).machines == 2


def test_what_is_short_is_what_counts() -> None:
    assert need(COST, replace(LOAD, memory=1.1e9), 40_000).full[0][0] == "memory"
    assert need(COST, replace(LOAD, packets=1e5), 40_000).full[0][0] == "packets"
    assert need(COST, replace(LOAD, ports=500), 40_000).full[0][0] == "ports to providers"
    assert need(COST, replace(LOAD, network=1e7), 40_000).full[0][0] == "network"


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (replace(LOAD, cores=2), "cores: a machine of 2 has none for a worker"),
        (replace(LOAD, cores=1), "cores: a machine of 1 has none for a worker"),
        (replace(LOAD, memory=8e8), "memory: 8 workers take 8e\\+08 bytes"),
    ],
)
def test_a_machine_without_room_for_a_stream_is_refused(load: Given, said: str) -> None:
    with pytest.raises(PeerError, match=said):
        need(COST, load, 40_000)


def test_money_and_bytes_are_by_the_day() -> None:
    found = need(COST, replace(LOAD, core_hour=0.1, gigabyte=1.0, million=1.0), 40_000)

    money = dict(found.dollars)
    assert money["machines"] == pytest.approx(10 * 10 * 0.1 * 24)
    assert money["what leaves for clients"] == pytest.approx(1.8e6 * 390 * 86_400 / 1e9)
    assert money["the providers' tokens"] == pytest.approx(1.8 * 86_400)
    assert found.rows == pytest.approx(4_000 * 800 * 86_400)
    # 20 million requests are 10 GiB.
    assert found.outage == pytest.approx(20e6 / 400)


@examples(st.floats(1, 1e7), st.floats(1.01, 10))
def test_more_streams_never_take_less(streams: float, more: float) -> None:
    few, many = need(COST, LOAD, streams), need(COST, LOAD, streams * more)

    assert few.machines <= many.machines
    assert all(share <= 1.0 + 1e-9 for _, share in many.full)
    assert few.connections <= many.connections


def test_what_is_published_is_what_is_computed_with() -> None:
    found = published()

    assert 10e-6 < found.token < 100e-6
    assert found.token < found.request < 1e-3
    assert 10e3 < found.stream < 100e3


def test_figures_without_a_row_are_none() -> None:
    with pytest.raises(PeerError, match="request"):
        measured(b'{"rows": []}')


def test_any_assumption_can_be_another() -> None:
    assert given([]) == Given()
    assert given(["cores=64", "core_hour=0.05"]) == Given(cores=64, core_hour=0.05)


@pytest.mark.parametrize(
    "word", ["corse=1", "cores", "cores=many", "rate=0", "rate=-1", "rate=inf"]
)
def test_what_is_no_assumption_is_said(word: str) -> None:
    with pytest.raises(PeerError, match=word.partition("=")[0]):
        given([word])
