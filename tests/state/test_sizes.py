"""What is usual for a prompt of a size."""

from __future__ import annotations

import pytest

from proxy.state.sizes import EDGES, BySize


def seen(**usual: float) -> BySize:
    found = BySize()
    for size, seconds in usual.items():
        for _ in range(20):
            found.observe(5.0, int(size[1:]), seconds)
    return found


def test_nothing_is_usual_of_what_has_not_been_seen() -> None:
    found = BySize()
    for _ in range(19):
        found.observe(5.0, 0, 1.0)

    assert found.p95(0) is None


def test_each_class_has_its_own() -> None:
    found = seen(b100=0.2, b20000=0.9, b300000=7.0)

    assert [found.p95(size) for size in (0, 4096, 4097, 32768, 1_000_000)] == [
        0.2,
        0.2,
        0.9,
        0.9,
        7.0,
    ]


def test_a_class_of_which_little_is_known_is_as_the_next_larger() -> None:
    assert seen(b100000=3.0).p95(10) == 3.0
    assert seen(b10=3.0).p95(100_000) is None


@pytest.mark.parametrize("edge", EDGES)
def test_an_edge_belongs_to_the_smaller_class(edge: int) -> None:
    found = BySize()
    for _ in range(20):
        found.observe(5.0, edge, 1.0)

    assert (found.p95(edge), found.p95(edge + 1)) == (1.0, None)


def test_a_few_slow_ones_are_in_the_tail_and_not_what_is_usual() -> None:
    found = BySize()
    for at in range(100):
        found.observe(5.0, 0, 5.0 if at % 10 == 0 else 0.3)

    assert (found.p50(0), found.p95(0)) == (0.3, 5.0)
    assert found.p50(100_000) is None
    assert seen(b100000=3.0).p50(10) == 3.0
