"""Arguments in pieces."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dialects.gemini.fragments import add, steps


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.a", ["a"]),
        ("$.a.b[0].c", ["a", "b", 0, "c"]),
        ("$['a b'][\"c\"]", ["a b", "c"]),
        ("$", None),
        ("a.b", None),
        ("$.a[", None),
        ("$..a", None),
        ("", None),
    ],
)
def test_a_path_is_steps(path: str, expected: object) -> None:
    assert steps(path) == expected


def together(*pieces: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for piece in pieces:
        add(arguments, piece)
    return arguments


def test_text_goes_on() -> None:
    assert together(
        {"jsonPath": "$.a", "stringValue": "x"}, {"json_path": "$.a", "string_value": "y"}
    ) == {"a": "xy"}


def test_values_have_their_types() -> None:
    assert together(
        {"jsonPath": "$.a", "numberValue": 2.0},
        {"jsonPath": "$.b", "numberValue": 2.5},
        {"jsonPath": "$.c", "boolValue": False},
        {"jsonPath": "$.d", "nullValue": "NULL_VALUE"},
        {"jsonPath": "$.e[2]", "stringValue": "x"},
        {"jsonPath": "$.e[0].f", "stringValue": "y"},
    ) == {"a": 2, "b": 2.5, "c": False, "d": None, "e": [{"f": "y"}, None, "x"]}


@pytest.mark.parametrize(
    "piece",
    [
        5,
        {},
        {"jsonPath": 5},
        {"jsonPath": "$.a.b", "stringValue": "x"},
        {"jsonPath": "$.a[0]", "numberValue": 1},
        {"jsonPath": "$[3]", "boolValue": True},
        {"jsonPath": "$.list[999999]", "numberValue": 1},
    ],
)
def test_pieces_that_fit_nowhere_are_left_out(piece: object) -> None:
    arguments = together({"jsonPath": "$.a", "stringValue": "x"})

    add(arguments, piece)

    assert arguments["a"] == "x"
    assert len(arguments.get("list", [])) < 5
