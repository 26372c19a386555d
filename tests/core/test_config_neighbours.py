from __future__ import annotations

from typing import Any, NoReturn

import pytest

from proxy.core.config import parse
from proxy.core.config.neighbours import MAX_SHOWN, Neighbours

FILE = """
providers: {p: {base_url: "https://api.example.com", credentials: [k]}}
models:
  main: {aliases: [also], fallbacks: [wide/x], deployments: [{provider: p}]}
  "wide/*": {deployments: [{provider: p}]}
"""
CONFIG = parse(FILE, "h.yaml", {}).config
STORED: dict[str, dict[str, Any]] = {
    "one": {"aliases": ["uno"], "fallbacks": ["two"]},
    "two": {"fallbacks_context": ["wide/three/x"]},
    "wide/three/*": {"fallbacks": ["four"]},
    "odd": {"aliases": "none", "fallbacks": 3, "models": "none"},
    "mixed": {"models": ["one", "main"]},
}


def around(*without: str) -> Neighbours:
    return Neighbours(CONFIG, STORED, without)


def found(name: str, **block: Any) -> dict[str, str]:
    return dict(around(name).problems(name, block))


def test_everybody_has_a_name() -> None:
    owners = around("two").owners

    assert owners == {
        "main": "main", "also": "main", "wide/*": "wide/*", "one": "one", "uno": "one",
        "wide/three/*": "wide/three/*", "odd": "odd",
        "mixed": "mixed",
    }  # fmt: skip


class Copied(dict[str, str]):
    """Fails whoever looks at each."""

    def items(self) -> NoReturn:
        raise AssertionError("each name was looked at")


def test_whose_own_names_are_known_costs_a_copy_and_not_a_look_at_each() -> None:
    known = Copied(one="one", uno="one", two="two", due="two", odd="odd")

    owners = Neighbours(CONFIG, STORED, ("two", ""), known, ("two", "due", "odd")).owners

    assert owners == {
        "one": "one", "uno": "one", "odd": "odd", "main": "main", "also": "main", "wide/*": "wide/*"
    }  # fmt: skip
    assert known["due"] == "two"


@pytest.mark.parametrize(
    ("pattern", "known"),
    [("*", True), ("one", True), ("uno", True), ("wide/x", True), ("o*", True), ("x", False), ("x*", False)],
)  # fmt: skip
def test_what_can_mean_a_model(pattern: str, known: bool) -> None:
    assert around().known(pattern) is known


def test_a_name_somebody_has_is_not_free() -> None:
    assert found("new", aliases=["main", "also", "uno", "new", "free", "free"]) == {
        "aliases[0]": "expected a name of its own, found 'main', "
        "the model 'main' in the configuration file; rename or remove one",
        "aliases[1]": "expected a name of its own, found 'also', "
        "an alias of 'main' in the configuration file; rename or remove one",
        "aliases[2]": "expected a name of its own, found 'uno', "
        "an alias of 'one' in the store; rename or remove one",
        "aliases[3]": "expected a name of its own, found 'new', its own name; rename or remove one",
        "aliases[5]": "expected a name of its own, found 'free', "
        "which is listed twice; rename or remove one",
    }
    assert found("uno") == {
        "name": "expected a name of its own, found 'uno', "
        "an alias of 'one' in the store; rename or remove one"
    }


def test_an_alias_is_a_pattern_where_its_model_is_one() -> None:
    assert set(found("new", aliases=["a*", "", "b"])) == {"aliases[0]", "aliases[1]"}
    assert set(found("new/*", aliases=["a*", "a*b", "b", "*"])) == {"aliases[1]", "aliases[2]"}


def test_a_fallback_is_a_model() -> None:
    assert found("new", fallbacks=["one", "uno", "wide/x", "also"]) == {}
    assert found("new", fallbacks_content=["oen", "wide/*"]) == {
        "fallbacks_content[0]": "expected a configured model, found 'oen'; did you mean 'one'?",
        "fallbacks_content[1]": "expected a configured model, found 'wide/*'; did you mean 'wide/*'?",
    }


def test_a_model_lends_its_deployments_if_it_lists_no_others() -> None:
    assert found("new", models=["one", "uno", "also"]) == {}
    assert found("new", models=["oen", "wide/x", "mixed", "new"]) == {
        "models[0]": "expected a configured model, found 'oen'; did you mean 'one'?",
        "models[1]": "expected a model that is no wildcard, found 'wide/x'; add a model of this name",
        "models[2]": "expected a model that lists no others, found 'mixed'; list theirs in its place",
        "models[3]": "expected a model that lists no others, found 'new'; list theirs in its place",
    }
    assert found("one", models=["two"]) == {
        "models": "expected a model that lists no others, found that 'mixed' lists this one; list theirs there"
    }


def test_fallbacks_end() -> None:
    cycle = "expected fallbacks that end, found a cycle: {}; remove one of them"

    assert found("new", fallbacks=["new"]) == {"fallbacks[0]": cycle.format("new -> new")}
    # Over an alias, over another kind of fallback, over the longest pattern that fits, over a new alias.
    assert found("four", fallbacks=["uno"]) == {
        "fallbacks[0]": cycle.format("four -> one -> two -> wide/three/* -> four")
    }
    assert found("new", aliases=["four"], fallbacks=["uno"]) == {
        "fallbacks[0]": cycle.format("new -> one -> two -> wide/three/* -> new")
    }


def test_a_name_that_takes_the_place_of_a_pattern_counts() -> None:
    # Until now `wide/x` was the pattern's.
    assert set(found("wide/x", fallbacks=["main"])) == {"fallbacks[0]"}


def test_a_long_cycle_is_shortened() -> None:
    stored = {f"m{n}": {"fallbacks": [f"m{n + 1}"]} for n in range(2000)}

    ((field, message),) = Neighbours(CONFIG, stored, ["m2000"]).problems(
        "m2000", {"fallbacks": ["m0"]}
    )

    assert field == "fallbacks[0]"
    assert message.count(" -> ") == MAX_SHOWN + 1
    assert "m2000 -> m0 -> m1" in message
    assert "… -> m2000" in message
