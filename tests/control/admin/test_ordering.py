from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.control.admin.ordering import ordered


def test_what_a_model_falls_back_to_comes_first() -> None:
    blocks = {"a": {"fallbacks": ["b"]}, "b": {"fallbacks_context": ["c"]}, "c": {"models": ["d"]}}

    assert ordered({**blocks, "d": {}}, {}) == ["d", "c", "b", "a"]


def test_aliases_and_beginnings_are_names_too() -> None:
    blocks: dict[str, dict[str, object]] = {
        "a": {"fallbacks": ["x"]},
        "b": {"aliases": ["x"], "fallbacks_content": "gpt-4"},
        "gpt-*": {},
    }

    assert ordered(blocks, {}) == ["gpt-*", "b", "a"]


def test_who_gives_a_name_up_comes_before_who_takes_it() -> None:
    stored = {"old": {"aliases": ["x"]}, "new": {}}

    assert ordered({"new": {"aliases": ["x"]}, "old": {}}, stored) == ["old", "new"]


def test_a_circle_leaves_nobody_out() -> None:
    blocks = {"a": {"fallbacks": ["b"]}, "b": {"fallbacks": ["a"]}, "c": {"fallbacks": ["c"]}}

    assert sorted(ordered(blocks, {})) == ["a", "b", "c"]


def test_a_long_chain_is_no_deep_recursion() -> None:
    blocks = {str(number): {"fallbacks": [str(number + 1)]} for number in range(5000)}

    assert ordered(blocks, {})[0] == "4999"


_NAME = st.sampled_from("abcdef")


@given(st.dictionaries(_NAME, st.fixed_dictionaries({"fallbacks": st.lists(_NAME, max_size=3)})))
def test_everything_is_there_once(blocks: dict[str, dict[str, list[str]]]) -> None:
    assert sorted(ordered(blocks, {})) == sorted(blocks)
