from __future__ import annotations

import pytest

from proxy.core.config.names import Public, cycles
from proxy.core.config.problem import Path

OWNERS = {"gpt": "gpt", "also": "gpt", "gpt-*": "some", "gpt-4*": "fours"}


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("gpt", "gpt"),
        ("also", "gpt"),
        ("gpt-3", "some"),
        ("gpt-4o", "fours"),
        ("gpt-4*", None),
        ("other", None),
    ],
)
def test_the_name_itself_is_reached_first_and_then_the_longest_beginning(
    name: str, model: str | None
) -> None:
    assert Public(OWNERS).reached(name) == model


def test_each_cycle_is_told_once_with_the_edge_that_closes_it() -> None:
    edges: dict[str, list[tuple[str, Path]]] = {
        "a": [("b", ("a", 0))],
        "b": [("c", ("b", 0)), ("a", ("b", 1))],
        "c": [],
        "d": [("d", ("d", 0))],
    }

    assert list(cycles(edges)) == [(["a", "b", "a"], ("b", 1)), (["d", "d"], ("d", 0))]


def test_a_chain_as_long_as_one_likes_has_no_cycle() -> None:
    edges: dict[str, list[tuple[str, Path]]] = {
        str(number): [(str(number + 1), (number,))] for number in range(5000)
    }

    assert list(cycles(edges)) == []
