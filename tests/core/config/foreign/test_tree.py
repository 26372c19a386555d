from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.config.document import Leaf, compose, resolve
from proxy.core.config.foreign.source import Origin, Own, Said
from proxy.core.config.foreign.tree import Reference, Translated, pruned, text
from proxy.core.config.problem import ConfigError
from proxy.core.config.references import References
from tests.core.config.foreign.examples import here

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "",
        "null",
        "true",
        "~",
        "1",
        "0x1",
        "1e5",
        "- a",
        "a: b",
        "#",
        "${A}",
        "$${A}",
        "*a",
        "a\u2028b",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(bool), inner, max_size=3)
    ),
    max_leaves=8,
)
_REFERENCES = References({"KEY": "of the environment"}, Path())


def value(_: Any, leaf: Leaf) -> Any:
    return resolve(leaf.text) if leaf.plain else _REFERENCES.resolve(leaf.text)


@settings(max_examples=60)
@given(st.dictionaries(TEXTS.filter(bool), VALUES, max_size=3))
def test_any_tree_comes_back_from_its_text_and_from_its_document(tree: dict[str, Any]) -> None:
    printed = compose(text(tree, ["made of something"], "file"), "printed")

    assert not printed.problems
    assert (printed.build(value) or {}) == tree
    assert Translated("file", tree, []).build(value) == tree


def test_each_value_says_where_it_comes_from() -> None:
    tree = {
        "server": {"port": here(5, "Server.Port"), "host": Said("x", None, "usual there")},
        "token": Said("x", Origin("environment", 1, 1, "TOKEN")),
        "list": [here("a", "L[0]"), {"b": 1, "c": []}],
    }

    assert text(tree, ["head", "tail\nof it"], "file") == (
        "# head\n"
        "# tail\\nof it\n"
        "\n"
        "server:\n"
        "  port: 5  # Server.Port\n"
        "  host: x  # usual there\n"
        "\n"
        "token: x  # environment: TOKEN\n"
        "\n"
        "list:\n"
        "  - a  # L[0]\n"
        "  - b: 1\n"
        "    c: []\n"
    )


def test_a_secret_of_a_variable_stays_in_it() -> None:
    of_a_variable = Said("sk-secret", here(1, "KEY").origin, "", "KEY")
    harmless = Said("5", here(1, "PORT").origin, "", "PORT")

    printed = text({"a": of_a_variable, "b": harmless, "c": Reference("${KEY}")}, [], "")

    assert "sk-secret" not in printed
    assert compose(printed, "printed").build(value) == {
        "a": "of the environment",
        "b": "5",
        "c": "of the environment",
    }


def test_what_is_not_said_is_left_out_but_not_of_somebody_s_own_mapping() -> None:
    tree = {"a": None, "b": {"c": None}, "d": [{"e": None, "f": 1}], "g": Own({"h": {}, "i": None})}

    assert pruned(tree) == {"d": [{"f": 1}], "g": {"h": {}, "i": None}}


def test_a_problem_is_said_where_the_value_was_written() -> None:
    document = Translated("file", {"a": {"b": here("x", "A.B", 7)}, "c": 1}, [])

    said = document.problem(("a", "b"), "wrong")
    assert (said.file, said.line, said.path) == ("file", 7, "A.B")
    # What was not written is said at the nearest thing that was.
    assert document.problem(("a", "z"), "missing").line == 7
    assert document.problem(("c",), "wrong").path == "c"
    assert document.problem(("a", 0), "wrong").path == "a[0]"
    assert document.written(("a", "b")) == "x"
    assert isinstance(ConfigError([said]), ValueError)
