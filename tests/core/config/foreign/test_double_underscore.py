from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.config.foreign.double_underscore import layered, overlaid
from tests.core.config.foreign.examples import here, plain

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True)
TREES = st.recursive(
    st.text(max_size=5),
    lambda inner: (
        st.dictionaries(NAMES, inner, min_size=1, max_size=3)
        | st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


def over(tree: Any, **env: str) -> Any:
    return plain(overlaid({"Root": tree} if tree is not None else {}, env, ["Root"]))


@pytest.mark.parametrize(
    ("tree", "env", "result"),
    [
        ({"A": here(1)}, {"Root__A": "2"}, {"A": "2"}),
        ({"A": here(1)}, {"ROOT__a": "2"}, {"A": "2"}),
        ({"A": here(1)}, {"Root__B__C": "2"}, {"A": 1, "B": {"C": "2"}}),
        # Lists: an index is replaced, one beyond the end appends.
        ({"L": [here("x"), here("y")]}, {"Root__L__0": "z"}, {"L": ["z", "y"]}),
        ({"L": [here("x")]}, {"Root__L__1": "y"}, {"L": ["x", "y"]}),
        ({"L": [here("x")]}, {"Root__L__7": "y", "Root__L__10": "z"}, {"L": ["x", "y", "z"]}),
        ({}, {"Root__L__1": "y", "Root__L__0": "x"}, {"L": ["x", "y"]}),
        ({"L": []}, {"Root__L__0": "x"}, {"L": ["x"]}),
        (
            {"L": [{"A": here("x"), "B": here("y")}]},
            {"Root__L__0__B": "z"},
            {"L": [{"A": "x", "B": "z"}]},
        ),
        # A mapping of a file stays one, whatever its names are, also with a variable in it.
        ({"A": {"50256": here(1)}}, {}, {"A": {"50256": 1}}),
        ({"A": {"7": here(1)}}, {"Root__A__8": "2"}, {"A": {"7": 1, "8": "2"}}),
        ({"L": [{"A": {"7": here(1)}}]}, {"Root__B__0": "x"}, {"L": [{"A": {"7": 1}}], "B": ["x"]}),
        ({"A": here(1)}, {"Root__A__0": "x", "Root__A__1": "y"}, {"A": ["x", "y"]}),
        ({}, {"Root__A__0": "x", "Root__A__b": "y"}, {"A": {"0": "x", "b": "y"}}),
        # A value becomes a section where something is said of its inside, and a section stays one.
        ({"A": here(1)}, {"Root__A__B": "2"}, {"A": {"B": "2"}}),
        ({"A": {"B": here(1)}}, {"Root__A": "2"}, {"A": {"B": 1}}),
        # Others' variables.
        ({"A": here(1)}, {"Other__A": "2", "Root": "3", "Root__": "4", "Root____A": "5"}, {"A": 1}),
    ],
)
def test_variables_go_over_a_file(tree: Any, env: dict[str, str], result: Any) -> None:
    assert over(tree, **env)["Root"] == result


def test_what_comes_from_a_variable_says_so() -> None:
    found = overlaid({}, {"root__Key": "v"}, ["Root"])

    assert found["root"]["Key"].origin.path == "root__Key"
    assert found["root"]["Key"].variable == "root__Key"


def test_one_file_goes_over_another() -> None:
    below = {"A": {"B": here(1), "C": here(2)}, "L": [here("x"), here("y")], "D": here(3)}
    above = {"a": {"c": here(4)}, "L": [here("z")], "E": here(5)}

    assert plain(layered(below, above)) == {
        "A": {"B": 1, "C": 4},
        "L": ["z", "y"],
        "D": 3,
        "E": 5,
    }


def test_a_mapping_of_numbers_stays_one_in_either_file() -> None:
    below = {"A": {"7": here(1)}, "B": {"8": here(2)}}
    above = {"A": {"9": here(3)}, "C": {"10": here(4)}}

    assert plain(layered(below, above)) == {
        "A": {"7": 1, "9": 3},
        "B": {"8": 2},
        "C": {"10": 4},
    }


def written(tree: Any, path: str) -> dict[str, str]:
    """The variables that say a tree, in another case."""
    if isinstance(tree, str):
        return {path: tree}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    found: dict[str, str] = {}
    for name, value in items:
        found |= written(value, f"{path}__{str(name).upper()}")
    return found


def lower(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name.lower(): lower(value) for name, value in tree.items()}
    return [lower(value) for value in tree] if isinstance(tree, list) else tree


@settings(max_examples=40)
@given(st.dictionaries(NAMES, TREES, min_size=1, max_size=3))
def test_any_tree_can_be_said_in_variables(tree: dict[str, Any]) -> None:
    assert lower(over(None, **written(tree, "Root"))) == {"root": tree}


@settings(max_examples=40)
@given(st.dictionaries(NAMES, TREES, max_size=3))
def test_a_file_with_nothing_over_it_is_as_it_was(tree: dict[str, Any]) -> None:
    assert over(tree) == {"Root": tree}
    # The same over itself is the same.
    assert over(tree, **written(tree, "Root")) == {"Root": tree}
