from __future__ import annotations

from typing import Any

import pytest

from proxy.core.config.plain import is_false, is_true, table, tables, texts


@pytest.mark.parametrize("value", [None, 0, "text", True])
def test_what_is_of_the_wrong_kind_is_absent(value: Any) -> None:
    assert table(value) == {}
    assert list(texts(value)) == []
    assert list(tables(value)) == []


def test_items_of_the_wrong_kind_are_passed_over_and_the_others_keep_their_places() -> None:
    mixed = ["a", 1, {"b": 2}, None, "c"]

    assert list(texts(mixed)) == [(0, "a"), (4, "c")]
    assert list(tables(mixed)) == [(2, {"b": 2})]


@pytest.mark.parametrize(
    ("value", "true", "false"),
    [
        (True, True, False),
        ("Yes", True, False),
        (False, False, True),
        ("off", False, True),
        (1, True, False),
        (1.0, True, False),
        (0, False, True),
        (0.0, False, True),
        *((other, False, False) for other in (2, -1, 0.5, None, "maybe", [], [0])),
    ],
)
def test_truth_as_the_schema_reads_it(value: Any, true: bool, false: bool) -> None:
    assert (is_true(value), is_false(value)) == (true, false)
