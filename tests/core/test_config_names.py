from __future__ import annotations

import pytest

from proxy.core.config.names import Public, cycles, member_fault
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


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt", ""),
        ("also", ""),
        ("other", "a configured model"),
        ("gpt-3", "a model that is no wildcard"),
        ("gpt-*", "a model that is no wildcard"),
        ("listing", "a model that lists no others"),
    ],
)
def test_only_a_model_with_deployments_of_its_own_is_lent(name: str, expected: str) -> None:
    public = Public({**OWNERS, "listing": "listing"})

    assert member_fault(name, public, "listing".__eq__)[0] == expected


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
