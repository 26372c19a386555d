"""Names of workers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.berths import columns, names, number_of


@given(st.integers(1, 300))
def test_all_names_are_columns_and_lead_back_to_their_number(workers: int) -> None:
    found = {name: number for number in range(workers) for name in names(number, workers)}

    assert sorted(map(int, found)) == list(range(columns(workers)))
    assert all(number_of(name, workers) == number for name, number in found.items())
