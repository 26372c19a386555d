from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.config.document import MAX_DEPTH, Document, Leaf, compose, resolve
from proxy.core.config.problem import ConfigError, Path


def value(path: Path, leaf: Leaf) -> Any:
    return resolve(leaf.text) if leaf.plain else leaf.text


def read(text: str) -> Any:
    document = compose(text, "file.yaml")
    assert document.problems == []
    return document.build(value)


def problems(text: str) -> list[str]:
    try:
        document = compose(text, "file.yaml")
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return [str(problem) for problem in document.problems]


def only(text: str) -> str:
    (found,) = problems(text)
    return found


# --- values ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("-7", -7),
        ("+7", 7),
        ("0", 0),
        ("0x1f", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.e3", 1000.0),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        # Text in YAML 1.2, something else in 1.1: names and keys keep what was typed.
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("010", "010"),
        ("12:30", "12:30"),
        ("2027-01-31", "2027-01-31"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("-", "-"),
        ("1.2.3", "1.2.3"),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", "18446744073709551616"),
        ("9" * 40, "9" * 40),
    ],
)
def test_unquoted_words_become_what_yaml_1_2_says(text: str, expected: Any) -> None:
    found = resolve(text)

    assert found == expected
    assert type(found) is type(expected)


def test_quoted_words_are_text() -> None:
    assert read("a: '1'\nb: \"true\"\nc: |\n  null\nd: !!str 5") == {
        "a": "1",
        "b": "true",
        "c": "null\n",
        "d": "5",
    }


def test_a_name_is_text_whatever_it_looks_like() -> None:
    assert read("{4: a, on: b, 1.10: c, null: d, 'x y': e}") == {
        "4": "a",
        "on": "b",
        "1.10": "c",
        "null": "d",
        "x y": "e",
    }


def test_an_empty_file_is_nothing() -> None:
    assert read("") is None
    assert read("# only a comment\n") is None


def test_anchors_and_merge_keys_work_and_the_mapping_itself_wins() -> None:
    text = "base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\na: {<<: *b, x: 9}\nl: {<<: [*b, *o]}"

    content = read(text)

    assert content["a"] == {"x": 9, "y": 2}
    assert content["l"] == {"x": 1, "y": 2, "z": 4}


# --- what is refused ---


def test_a_name_that_occurs_twice_is_an_error_that_names_both_lines() -> None:
    found = only("models:\n  a: 1\n  b: 2\n  a: 3\n")

    assert found.startswith("file.yaml:4:3: models.a: ")
    assert "the first is on line 2" in found


def test_every_duplicate_is_reported() -> None:
    assert len(problems("{a: 1, a: 2, a: 3, b: {c: 1, c: 2}}")) == 3


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system [ls]",
        "a: !!python/name:os.system",
        "a: !env X",
        "!!set {a}",
        "a: !!binary aGk=",
        "a: !!timestamp 2027-01-01",
        "!!omap [a: 1]",
    ],
)
def test_tags_are_refused_and_nothing_is_constructed(text: str) -> None:
    assert "remove the tag" in only(text)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: [1, 2\nb: 3", "2:"),
        ("a: b: c", "1:5"),
        ("a:\n\t- 1", "2:1"),
        ("{a: ${X}}", "1:"),
        ("'never closed", "1:14"),
        ("a: *nowhere", "1:4"),
        ("a: &x [*x]", "1:8"),
        ("--- 1\n--- 2\n", "2:1"),
        ("? [a, b]\n: 1", "1:3"),
        ("? \n: 1", "1:"),
        ("a: {<<: 1}", "1:9"),
        ("a: \x00", "1:4"),
        ("one: 1\ntwo: \x1b[31m", "2:6"),
        ("a: \ud800", "1:4"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str, where: str) -> None:
    assert only(text).startswith(f"file.yaml:{where}")


def test_a_tab_and_an_unquoted_reference_get_advice() -> None:
    assert "not with tabs" in only("a:\n\t- 1")
    assert "in quotes" in only("{a: ${X}}")
    assert "in quotes" in only("a: b: c")


def test_depth_is_bounded_without_a_deep_stack() -> None:
    assert "levels" in only("[" * 100_000)
    assert "levels" in only("{a: " * (MAX_DEPTH + 1))


def test_depth_through_aliases_is_bounded_too() -> None:
    chain = ["a0: &a0 [1]"] + [f"a{n}: &a{n} [[[*a{n - 1}]]]" for n in range(1, 1000)]

    assert "levels" in only("\n".join(chain))


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    assert "values from aliases" in only("\n".join(lines))


# --- places ---


def test_a_place_is_that_of_the_value_or_of_its_name() -> None:
    document = compose("models:\n  gpt:\n    weight:   7\n    list: [a,  b]\n", "f")

    assert document.position(("models", "gpt", "weight")) == (3, 15)
    assert document.position(("models", "gpt", "weight"), key=True) == (3, 5)
    assert document.position(("models", "gpt", "list", 1)) == (4, 16)
    assert document.written(("models", "gpt", "weight")) == "7"


def test_what_is_not_in_the_file_is_placed_at_the_nearest_name_above() -> None:
    document = compose("a: 1\nmodels:\n  gpt: {}\n", "f")

    assert document.position(("models", "gpt", "deployments", 0)) == (3, 3)
    assert document.position(("nothing",)) == (1, 1)
    assert document.written(("models", "gpt", "weight")) is None


def test_the_file_and_the_path_are_part_of_a_problem() -> None:
    document = compose('models: {"gpt-4.1": {weight: x}}', "conf/h.yaml")

    problem = document.problem(("models", "gpt-4.1", "weight"), "expected a number")

    assert str(problem) == 'conf/h.yaml:1:30: models."gpt-4.1".weight: expected a number'


names = st.text("abcdefgh", min_size=1, max_size=4)
trees = st.recursive(
    st.integers(0, 9999) | names,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)


def block(tree: Any, indent: int = 0) -> str:
    """The tree in block style, each scalar on a line of its own."""
    pad = "  " * indent
    if isinstance(tree, dict) and tree:
        return "".join(f"{pad}{name}:{tail(item, indent)}" for name, item in tree.items())
    if isinstance(tree, list) and tree:
        return "".join(f"{pad}-{tail(item, indent)}" for item in tree)
    return f"{pad}{scalar(tree)}\n"


def tail(item: Any, indent: int) -> str:
    inner = block(item, indent + 1)
    return f"\n{inner}" if isinstance(item, (dict, list)) and item else f" {inner.strip()}\n"


def scalar(tree: Any) -> str:
    return {"[]": "[]", "{}": "{}"}.get(str(tree), str(tree))


def walk(tree: Any, path: Path = ()) -> Any:
    yield path, tree
    items = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for name, item in items:
        yield from walk(item, (*path, name))


@given(trees)
def test_every_value_is_found_where_it_was_written(tree: Any) -> None:
    text = block(tree)
    lines = text.splitlines()
    document = compose(text, "f")

    assert document.build(value) == tree
    for path, item in walk(tree):
        line, column = document.position(path)
        if not isinstance(item, (dict, list)):
            assert lines[line - 1][column - 1 :] == str(item)
            assert document.written(path) == str(item)
        if path and isinstance(path[-1], str):
            line, column = document.position(path, key=True)
            assert lines[line - 1][column - 1 :].startswith(f"{path[-1]}:")


@given(st.text(max_size=60) | st.text("{}[]:,-&*!|>'\"#%@`?\n \tab1<~", max_size=40))
def test_any_text_is_read_or_refused_with_places_inside_it(text: str) -> None:
    try:
        document: Document | None = compose(text, "f")
        found = document.problems if document else []
    except ConfigError as error:
        document, found = None, error.problems
        assert found
    lines = text.count("\n") + text.count("\r") + text.count("\x85") + 2
    for problem in found:
        assert 1 <= problem.line <= lines + text.count("\u2028") + text.count("\u2029")
        assert problem.column >= 1
    if document is not None:
        document.build(value)
