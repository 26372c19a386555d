from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.template import fill, fill_text, gaps

VALUES: dict[str, object] = {"id": 7, "stream": True, "text": 'a "b" {id}', "none": None}


def test_a_gap_that_is_the_whole_text_keeps_the_kind_of_its_value() -> None:
    assert fill({"a": "{stream}", "b": ["{id}", "{none}"]}, VALUES) == {"a": True, "b": [7, None]}


def test_a_gap_inside_a_text_becomes_text() -> None:
    assert fill("{id}/{stream}", VALUES) == "7/true"


def test_what_is_filled_in_is_not_looked_into() -> None:
    assert fill("<{text}>", VALUES) == '<a "b" {id}>'


def test_other_braces_are_plain_text() -> None:
    for text in ('{"a": {}}', "{Id}", "{id", "{ id }", "{}", "{{0}}"):
        assert list(gaps(text)) == []
        assert fill(text, VALUES) == text


def test_what_is_no_text_stays_and_keys_are_no_templates() -> None:
    template = {"{id}": 1, "b": [None, True, 1.5, {"c": "d"}]}

    assert fill(template, VALUES) == template
    assert fill(template, VALUES) is not template


def test_gaps_are_found_wherever_they_are() -> None:
    assert sorted(gaps({"a": "{id}", "b": [{"c": "x{text}y{id}"}], "{stream}": 1})) == [
        "id",
        "id",
        "text",
    ]


def test_values_are_made_to_fit_where_only_text_will_do() -> None:
    assert fill_text("/c/{text}", VALUES, lambda value: value.replace(" ", "+")) == '/c/a+"b"+{id}'
    assert fill_text("{stream}", VALUES) == "true"


@given(st.text())
def test_any_text_is_a_template(text: str) -> None:
    names = dict.fromkeys(gaps(text), "")

    assert isinstance(fill_text(text, names), str)
