"""Values of the type they must have."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.core.errors import ProxyError
from proxy.dialects.gemini import reading


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (reading.an_object, {"top_k": 1}, {"topK": 1}),
        (reading.plain_object, {"top_k": None}, {"top_k": None}),
        (reading.a_list, [1], [1]),
        (reading.a_list, {"a": 1}, [{"a": 1}]),
        (reading.a_text, "a", "a"),
        (reading.texts, "a", ["a"]),
        (reading.a_word, "any", "ANY"),
        (reading.a_number, "1.5", 1.5),
        (reading.a_count, 2.0, 2),
        (reading.a_count, "2", 2),
        (reading.a_flag, False, False),
    ],
)
def test_what_is_right_is_taken(
    read: Callable[[object, str], object], value: object, expected: object
) -> None:
    assert read(value, "field") == expected


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (reading.an_object, []),
        (reading.a_list, 1),
        (reading.a_text, 1),
        (reading.texts, [1]),
        (reading.a_number, True),
        (reading.a_number, "x"),
        (reading.a_number, "inf"),
        (reading.a_number, float("nan")),
        (reading.a_count, 1.5),
        (reading.a_flag, 1),
    ],
)
def test_what_is_wrong_is_named(read: Callable[[object, str], object], value: object) -> None:
    with pytest.raises(ProxyError) as caught:
        read(value, "field")

    assert str(caught.value.param).startswith("field")
