from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.state.memory import ENOUGH, FULL, SLACK, TIGHT, Memory


def busy() -> bool:
    return False


def idle() -> bool:
    return True


def of(size: int = 1000) -> Memory:
    memory = Memory()
    memory.size = size
    return memory


@pytest.mark.parametrize(
    ("used", "level"),
    [(0, ENOUGH), (849, ENOUGH), (850, TIGHT), (919, TIGHT), (920, FULL), (1200, FULL)],
)
def test_the_levels_begin_where_they_are_said_to(used: int, level: int) -> None:
    memory = of()

    assert memory.tick(used, busy) == (level != ENOUGH)
    assert (memory.level, memory.used) == (level, used)


def test_a_level_is_left_only_a_little_below() -> None:
    memory = of()
    memory.tick(930, busy)

    for used, level in ((900, FULL), (889, TIGHT), (830, TIGHT), (819, ENOUGH)):
        memory.tick(used, busy)
        assert memory.level == level, used


def test_when_nothing_is_under_way_small_requests_are_taken() -> None:
    memory = of()

    memory.tick(990, idle)
    assert memory.level == TIGHT
    memory.tick(990, busy)
    assert memory.level == FULL
    memory.tick(100, idle)
    assert memory.level == ENOUGH


@given(st.lists(st.integers(0, 1100)))
def test_the_level_is_never_below_what_is_used_nor_far_above(uses: list[int]) -> None:
    memory = of()
    for used in uses:
        memory.tick(used, busy)
        at_least = FULL if used >= 920 else TIGHT if used >= 850 else ENOUGH
        at_most = (
            FULL if used >= 920 - SLACK * 1000 else TIGHT if used >= 850 - SLACK * 1000 else ENOUGH
        )
        assert at_least <= memory.level <= at_most
