"""Two spellings of one field."""

from __future__ import annotations

from proxy.dialects.gemini.names import camel


def test_both_spellings_are_one_field() -> None:
    assert camel({"top_k": 1, "topP": 2, "parameters_json_schema": {"a_b": 3}}) == {
        "topK": 1,
        "topP": 2,
        "parametersJsonSchema": {"a_b": 3},
    }


def test_null_is_not_set_and_unknown_names_stay() -> None:
    assert camel({"top_k": None, "some_thing": 1}) == {"some_thing": 1}
