from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.config import ConfigError
from proxy.core.config.foreign import jsonc
from proxy.core.config.foreign.source import said
from tests.core.config.foreign.examples import plain

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1), inner, max_size=3
        )
    ),
    max_leaves=8,
)


def value(text: str) -> Any:
    return plain(said(jsonc.parse(text, "file.json")))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{"a": "1"}', {"a": "1"}),
        ('{\n\t"a": 1,\n\t"b": [1, 2,],\n}', {"a": 1, "b": [1, 2]}),
        ('// first\n{"a": /* in\nbetween */ 1, // "b": 2\n}', {"a": 1}),
        ('{"a": "http://x // y", "b": "/* z */"}', {"a": "http://x // y", "b": "/* z */"}),
        ('{"a": "x, }"}', {"a": "x, }"}),
        ('{"a": 1, /* c */ }', {"a": 1}),
        (r'{"a": "\ud83d\ude00\u00e9\/\\ud83d"}', {"a": "😀é/\\ud83d"}),
        ('{"a":true,"b":null,"c":-1.5e3}', {"a": True, "b": None, "c": -1500.0}),
        ('{"no": "on", "a": "yes"}', {"no": "on", "a": "yes"}),
    ],
)
def test_it_is_read_with_comments_and_without(text: str, result: Any) -> None:
    assert value(text) == result


def test_lines_are_kept() -> None:
    found = said(jsonc.parse('{ /* a\nb */\n// c\n"x": 1}', "file.json"))

    assert (found["x"].origin.line, found["x"].origin.path) == (4, "x")


@pytest.mark.parametrize(
    "between", ['/* "b": 2, */\n' * 60, "/" * 120 + "\n", "/**/" * 60, "// // " * 60 + "\n"]
)
def test_a_row_of_comments_takes_no_longer_than_its_length(between: str) -> None:
    assert value(f'{{"a": 1,\n{between}"z": 2}}') == {"a": 1, "z": 2}
    assert value(f'{{"a": 1,\n{between}}}') == {"a": 1}
    assert not jsonc.is_json(between + "x")


@pytest.mark.parametrize("text", ['{"a": 1', '{"a": 1, "a": 2}', '{"a" 1}', '["a"}', '{"a": "b}'])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        jsonc.parse(text, "file.json")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("{}", True),
        (" \n// a\n/* b */ [1]", True),
        ("\ufeff{", True),
        ("a: {}", False),
        ("", False),
        ("# {", False),
    ],
)
def test_it_is_told_from_yaml(text: str, is_one: bool) -> None:
    assert jsonc.is_json(text) is is_one


@settings(max_examples=40)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), VALUES))
def test_all_json_is_read(content: dict[str, Any]) -> None:
    assert value(orjson.dumps(content).decode()) == content


@given(VALUES)
def test_indented_json_is_read(content: Any) -> None:
    text = orjson.dumps({"a": content}, option=orjson.OPT_INDENT_2).decode()

    assert value(text) == {"a": content}
